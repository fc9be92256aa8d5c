// SPDX-License-Identifier: BSD-3-Clause
//
// Carries flows on the kernel's sockets.
#pragma once

#include <memory>
#include <vector>

#include "driver.hpp"

namespace tandem::perf {

class KernelDriver final : public Driver {
 public:
  /// Throws std::system_error.
  KernelDriver(const Settings& settings, Meter& meter, Report report);
  ~KernelDriver() override;

  /// Until all flows are done or the limit is reached; a server until its time is over. SIGTERM and SIGINT end the time.
  void run();

 private:
  class Socket;
  struct Listener {
    int fd = -1;
    std::uint16_t well_known = 0;
  };

  void listen(std::uint16_t well_known);
  void accept(const Listener& listener);
  void open_one();
  void handle(Socket& socket, unsigned events);
  void receive(Socket& socket);
  /// After every call of a flow: interest, timer, end.
  void settle(Socket& socket);
  void count_retransmissions(const Socket& socket);
  void remove(Socket& socket);
  void wait(std::uint64_t now_ns);
  void poll_directly();

  int epoll_ = -1;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<Socket>> sockets_;  ///< by flow number
  std::vector<std::unique_ptr<Socket>> removed_;  ///< until the events of this round are dealt with
  std::size_t connecting_ = 0;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace tandem::perf
