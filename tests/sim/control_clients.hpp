// SPDX-License-Identifier: BSD-3-Clause
//
// Operators, and others, at the group's control socket: they ask, say nothing, talk nonsense or hang up, at any time. A request
// that is one may go unanswered only if who has taken it is gone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel.hpp"

namespace tandem::sim {

class ControlClients {
 public:
  ControlClients(Kernel& kernel, std::uint64_t seed) : kernel_(kernel), prng_(seed, 8) {}

  /// Somebody connects. `switchovers`: may ask for one.
  void come(bool switchovers);
  /// Takes what was answered and judges it.
  void look();
  /// Those that do not go by themselves hang up.
  void hang_up();
  /// Requests that somebody alive has, and has not answered.
  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  [[nodiscard]] std::uint64_t answers() const { return answers_; }

 private:
  struct Client {
    Ref<Socket> socket;
    std::string rest;  ///< of the request, sent later
    std::string answer;
    bool asks = false;                ///< a whole line, so that an answer is due
    std::uint64_t killed_before = 0;  ///< processes, when it came
  };
  void send(Client& client, std::string_view text);

  Kernel& kernel_;
  Prng prng_;
  std::vector<Client> clients_;
  std::uint64_t requests_ = 0, answers_ = 0;
};

}  // namespace tandem::sim
