// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "lwip.hpp"
#include "tandem/stack.hpp"
#include "tandem/udp.hpp"

namespace tandem {

class LwipUdpEndpoint final : public UdpEndpoint {
 public:
  /// Throws std::runtime_error when the port is taken. Within a StackScope.
  LwipUdpEndpoint(Stack::Impl& stack, const Endpoint& local, Receiver receiver);
  ~LwipUdpEndpoint() override;
  LwipUdpEndpoint(const LwipUdpEndpoint&) = delete;
  LwipUdpEndpoint& operator=(const LwipUdpEndpoint&) = delete;

  [[nodiscard]] Endpoint local() const override { return local_; }
  bool send(const Endpoint& to, Bytes datagram) override;
  /// The stack goes: nothing is received or sent any more. Within a StackScope.
  void detach();

 private:
  static void on_datagram(void* argument, udp_pcb* pcb, pbuf* packet, const ip_addr_t* from, u16_t port);

  Stack::Impl* stack_;
  Receiver receiver_;
  Endpoint local_;
  udp_pcb* pcb_ = nullptr;
};

}  // namespace tandem
