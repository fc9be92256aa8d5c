// SPDX-License-Identifier: BSD-3-Clause
//
// The interface's life as a node lives it, on both roles: what changes is said once, the stack adapts, and an interface that was
// removed and is there again is opened anew.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/loop.hpp"

namespace tandem::ha {

struct Group;

class LinkLife {
 public:
  explicit LinkLife(Group& group) : group_(group) {}

  /// The group's device is open: follows what becomes of its link.
  void watch();
  void unwatch();
  /// Whether frames that arrive end a sleep.
  void watch_frames(bool wanted);
  void look();
  /// Says once what arrives for us and cannot be used, and what to do about it.
  void diagnose();
  /// When an interface that is there again is to be tried again; 0 = none is.
  [[nodiscard]] std::uint64_t reopen_at_ns() const { return reopen_at_ns_; }

 private:
  /// False: it is to be tried again.
  bool reopen();
  void say_warning();

  Group& group_;
  std::vector<Loop::WatchId> link_watches_;
  std::vector<Loop::WatchId> frames_watches_;  ///< of the device's poll_fds
  bool link_event_ = false;                    ///< something has been told about it
  bool link_was_up_ = true;                    ///< as the log says
  std::uint32_t link_mtu_ = 0;
  std::uint64_t reopen_at_ns_ = 0;
  std::uint64_t reopen_pause_ns_ = 0;
  bool said_not_open_ = false;
  std::string said_warning_;
  std::uint64_t diagnosed_ns_ = 0;
  std::uint64_t no_socket_before_ = 0;
  bool said_unfinished_ = false, said_refused_ = false, said_no_socket_ = false, said_too_large_ = false,
       said_vlan_ = false;
};

}  // namespace tandem::ha
