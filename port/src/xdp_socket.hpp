// SPDX-License-Identifier: BSD-3-Clause
//
// One AF_XDP socket with its four rings, mapped by primary and twin in the same way.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "ring.hpp"
#include "tandem/device.hpp"
#include "unique_fd.hpp"
#include "wire_memory.hpp"

namespace tandem {

/// As `uname -r` says; empty when it cannot be asked.
std::string kernel_release();
/// Whether a kernel of this release (`uname -r`) lets rings be mapped only before their socket is bound: before Linux 6.4.
bool maps_no_bound_rings(const std::string& release);

/// What a packet that needs several frames takes, on a kernel of this release, and what to do without.
std::string several_frames_advice(const std::string& release);

/// What it means that the kernel refuses a socket, and what to do about it; no advice where nothing is known.
struct Refusal {
  DeviceError::Kind kind = DeviceError::Kind::system;
  std::string advice;
};
/// `error`: of errno. `multi_buffer`: several frames a packet were asked for. `release`: of the kernel.
Refusal why_refused(int error, bool multi_buffer, const std::string& release);

class XdpSocket {
 public:
  /// Makes and binds a socket over the frames of `memory`. Throws DeviceError: unsupported when this queue cannot do zero
  /// copy, several frames a packet (or AF_XDP at all), busy when another socket has kept the queue for `busy_retry_ns`.
  static XdpSocket open(const std::string& interface, std::uint32_t queue, const WireMemory& memory, bool zerocopy,
                        std::uint64_t busy_retry_ns, bool multi_buffer);
  /// Maps the rings of a socket that is bound already; takes and gives nothing.
  XdpSocket(UniqueFd fd, std::uint32_t ring_entries);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const Rings& rings() const { return rings_; }
  [[nodiscard]] bool is_zerocopy() const;
  /// Has the kernel send what stands in the TX ring, as far as it takes it now.
  void transmit();
  /// One call into the kernel: at most 32 packets in copy mode.
  void kick();
  /// Has the kernel look at the fill ring, where it asked for that.
  void wake_receive() const;
  /// Adds what the kernel counted.
  void add_statistics(DeviceStatistics& statistics) const;

 private:
  void call();

  std::uint64_t tx_calls_ = 0;
  std::uint32_t tx_largest_call_ = 0;
  UniqueFd fd_;
  std::array<Mapping, 4> mappings_;
  Rings rings_;
};

}  // namespace tandem
