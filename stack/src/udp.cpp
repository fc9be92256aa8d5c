// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/udp.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "lwip.hpp"
#include "stack_impl.hpp"
#include "udp_endpoint.hpp"

namespace tandem {

namespace {

constexpr std::size_t kMaxDatagramBytes = 65507;

}  // namespace

LwipUdpEndpoint::LwipUdpEndpoint(Stack::Impl& stack, const Endpoint& local, Receiver receiver)
    : stack_(&stack), receiver_(std::move(receiver)) {
  pcb_ = udp_new_ip_type(local.address.is_v6() ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  ip_addr_t address = to_lwip(local.address);
  stack.add_zone(address);
  if (pcb_ == nullptr || udp_bind(pcb_, &address, local.port) != ERR_OK) {
    if (pcb_ != nullptr) {
      udp_remove(pcb_);
    }
    throw std::runtime_error("cannot open UDP " + local.to_string() + ": the port is taken; choose another");
  }
  local_ = {local.address, pcb_->local_port};
  udp_recv(pcb_, on_datagram, this);
  stack.udp_endpoints.push_back(this);
}

LwipUdpEndpoint::~LwipUdpEndpoint() {
  if (stack_ != nullptr) {
    const StackScope scope(*stack_);
    detach();
  }
}

void LwipUdpEndpoint::detach() {
  udp_remove(pcb_);
  pcb_ = nullptr;
  std::erase(stack_->udp_endpoints, this);
  stack_ = nullptr;
}

bool LwipUdpEndpoint::send(const Endpoint& to, Bytes datagram) {
  if (stack_ == nullptr || stack_->dormant || datagram.size() > kMaxDatagramBytes ||
      to.address.version != local_.address.version) {
    return false;
  }
  const StackScope scope(*stack_);
  const auto length = static_cast<u16_t>(datagram.size());
  pbuf* const packet = pbuf_alloc(PBUF_TRANSPORT, length, PBUF_RAM);
  if (packet == nullptr) {
    return false;
  }
  pbuf_take(packet, datagram.data(), length);
  ip_addr_t address = to_lwip(to.address);
  stack_->add_zone(address);
  const err_t error = udp_sendto(pcb_, packet, &address, to.port);
  pbuf_free(packet);
  return error == ERR_OK;
}

void LwipUdpEndpoint::on_datagram(void* argument, udp_pcb* /*pcb*/, pbuf* packet, const ip_addr_t* from, u16_t port) {
  auto& endpoint = *static_cast<LwipUdpEndpoint*>(argument);
  const Endpoint source{from_lwip(*from), port};
  if (packet->len == packet->tot_len) {
    endpoint.receiver_(endpoint, source, {static_cast<const std::uint8_t*>(packet->payload), packet->len});
  } else {
    std::vector<std::uint8_t> whole(packet->tot_len);
    pbuf_copy_partial(packet, whole.data(), packet->tot_len, 0);
    endpoint.receiver_(endpoint, source, whole);
  }
  pbuf_free(packet);
}

}  // namespace tandem
