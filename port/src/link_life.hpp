// SPDX-License-Identifier: BSD-3-Clause
//
// An interface over its whole life: up and down, another MTU or MAC address, removed, there again. A netlink socket says that
// something has changed, and what is then asked for is how it is now: no message is taken apart, and one that was lost for want of
// room costs nothing.
//
//   bound  --removed-->  gone  --one of the same name is there-->  returned  --bind()-->  bound
#pragma once

#include <cstdint>
#include <string>

#include "tandem/device.hpp"
#include "unique_fd.hpp"

namespace tandem {

/// How an interface is at this moment.
struct LinkView {
  int index = 0;  ///< 0: there is none of this name
  bool set_up = false;
  bool running = false;  ///< the other end is there (a carrier)
  std::uint32_t mtu = 0;
  MacAddress mac;
  bool operator==(const LinkView&) const = default;
};

/// Asks without ever waiting for a lock that others configure interfaces under.
[[nodiscard]] LinkView look_at_interface(const std::string& name);

/// What an operator is told when an interface takes larger packets than `largest_mtu`, which is what the frames of the group's first
/// process were made for and its twins go on with; empty when there is nothing to tell.
[[nodiscard]] std::string wider_than_frames(const std::string& name, const LinkView& view, std::uint32_t largest_mtu);

class LinkLife {
 public:
  /// Watches the interface of this name, which the device is bound to now. `wants_running`: one that comes back is of use only when
  /// it is up and has a carrier. Throws DeviceError.
  LinkLife(std::string name, bool wants_running);

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Takes what has come; never waits.
  LinkChange look();
  [[nodiscard]] const LinkView& view() const { return view_; }
  /// Whether the device is bound to the interface that there is, and packets can pass.
  [[nodiscard]] bool is_up() const { return bound_ != 0 && bound_ == view_.index && view_.set_up && view_.running; }
  [[nodiscard]] std::string reason() const;
  /// The device was opened again.
  void bind();

 private:
  std::string name_;
  bool wants_running_;
  UniqueFd fd_;
  LinkView view_;
  int bound_ = 0;
};

}  // namespace tandem
