// SPDX-License-Identifier: BSD-3-Clause
//
// Strangers at the group's attach socket: they say nothing, talk nonsense, hand over descriptors that nobody asked for, answer before
// they are asked, are of another version or another user, and hang up at any time. None of them becomes a twin, none keeps one
// away, and nothing of theirs stays behind.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.hpp"

namespace tandem::sim {

class AttachClients {
 public:
  AttachClients(Kernel& kernel, std::uint64_t seed);

  void come();
  /// Reads what they were told and judges it.
  void look();
  void hang_up();
  /// Descriptors of theirs that somebody else holds.
  [[nodiscard]] std::size_t left_behind() const;
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  void say(Socket& socket);

  Kernel& kernel_;
  Prng prng_;
  struct Client {
    Ref<Socket> socket;
    bool foreign = false;  ///< of another user
  };
  std::vector<Client> clients_;
  Ref<Signals> token_;  ///< what they hand over
  std::uint64_t refused_ = 0;
};

}  // namespace tandem::sim
