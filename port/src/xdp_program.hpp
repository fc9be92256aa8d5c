// SPDX-License-Identifier: BSD-3-Clause
//
// The steering program (bpf/steer.bpf.c) of one interface: loaded, attached through a bpf_link, its maps filled.
#pragma once

#include <cstdint>
#include <string>

#include "interface.hpp"
#include "tandem/device.hpp"
#include "unique_fd.hpp"

namespace tandem {

struct XdpCounters {
  std::uint64_t taken = 0, passed = 0, no_socket = 0, truncated = 0, too_large = 0, other_vlan = 0;
};

/// What is looked at beside whose a frame is.
struct XdpFrames {
  std::uint32_t largest = 0xffff'ffff;  ///< bytes of a frame that the socket can take
  std::uint16_t vlan = 0;               ///< the tag that frames of ours have; 0: none, or a priority alone
  bool frags = false;                   ///< packets may lie in several buffers
};

class XdpProgram {
 public:
  /// Loads and attaches, natively or generically. Until set_socket, what is ours is dropped. Throws DeviceError:
  /// unsupported when the driver has no native mode, busy when another program is attached.
  XdpProgram(const std::string& interface, const InterfaceInfo& info, std::uint32_t queue, const Steering& steering,
             bool native, std::uint64_t busy_retry_ns = 2'000'000'000, const XdpFrames& frames = {});
  /// Twin: what it was given.
  XdpProgram(UniqueFd link, UniqueFd map, UniqueFd counters);

  void set_socket(std::uint32_t queue, int socket);
  [[nodiscard]] XdpCounters counters() const;

  [[nodiscard]] int link_fd() const { return link_.get(); }
  [[nodiscard]] int map_fd() const { return map_.get(); }
  [[nodiscard]] int counters_fd() const { return counters_.get(); }

 private:
  UniqueFd link_, map_, counters_;
};

/// Silences libbpf and libxdp, and gives what they complained about since the last call, for an error's text.
[[nodiscard]] std::string take_bpf_complaints();

}  // namespace tandem
