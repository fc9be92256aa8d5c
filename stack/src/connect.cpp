// SPDX-License-Identifier: BSD-3-Clause
//
// Active opens: what can be known to be in vain is said at once, with its reason.
#include <algorithm>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {
namespace {

bool holds(const IpPrefix& prefix, const IpAddress& address) {
  if (prefix.address.version != address.version) {
    return false;
  }
  for (unsigned bit = 0; bit < prefix.length; ++bit) {
    const std::uint8_t mask = 0x80 >> bit % 8;
    if (((prefix.address.octets[bit / 8] ^ address.octets[bit / 8]) & mask) != 0) {
      return false;
    }
  }
  return true;
}

bool is_link_local(const IpAddress& address) {
  return address.is_v6() && address.octets[0] == 0xfe && (address.octets[1] & 0xc0) == 0x80;
}

Connection::Impl* open_actively(Stack::Impl& stack, const Endpoint& here, const ip_addr_t& from, const ip_addr_t& to,
                                const Endpoint& remote, Replication replication, std::uint16_t service,
                                EndReason& why) {
  tcp_pcb* const pcb = tcp_new_ip_type(IP_GET_TYPE(&to));
  if (pcb == nullptr) {
    why = EndReason::no_memory;
    return nullptr;
  }
  // Not by tcp_bind(), which would keep the local port for one connection alone.
  pcb->local_ip = from;
  pcb->local_port = here.port;
  auto& connection = stack.add_connection(stack.next_id, service, replication, here, remote);
  connection.active_open = true;
  stack.attach(connection, *pcb);
  why = stack.make_handler(connection) ? EndReason::none : EndReason::no_service;
  if (why == EndReason::none && tcp_connect(pcb, &to, remote.port, pcb->connected) != ERR_OK) {
    why = EndReason::no_memory;
  }
  if (why != EndReason::none) {
    connection.pcb = nullptr;
    connection.gone = true;
    connection.handler.reset();
    stack.forget(connection);
    tcp_ext_arg_set(pcb, stack.ext_arg_id, nullptr);
    tcp_err(pcb, nullptr);
    tcp_abandon(pcb, 0);
    return nullptr;
  }
  connection.iss = pcb->lastack;
  ++stack.counters.connections_opened;
  stack.announce(connection);
  stack.touch(connection);
  return &connection;
}

}  // namespace

bool Stack::Impl::is_on_link(const IpAddress& address) const {
  return is_link_local(address) || std::any_of(options.addresses.begin(), options.addresses.end(),
                                               [&](const IpPrefix& own) { return holds(own, address); });
}

const IpAddress* Stack::Impl::gateway_for(const IpAddress& address) const {
  const auto found = std::find_if(options.gateways.begin(), options.gateways.end(),
                                  [&](const IpAddress& gateway) { return gateway.version == address.version; });
  return found == options.gateways.end() ? nullptr : &*found;
}

bool Stack::Impl::next_hop_answers(const IpAddress& remote) { return neighbours.can_reach(remote); }

Connection::Impl* Stack::Impl::connect(const Endpoint& local, const Endpoint& remote, Replication replication,
                                       std::uint16_t service, EndReason& why) {
  const auto refuse = [&why](EndReason reason) {
    why = reason;
    return nullptr;
  };
  if (dormant) {
    return refuse(EndReason::not_primary);
  }
  if (remote.port == 0 || remote.address.is_any()) {
    return refuse(EndReason::bad_remote);
  }
  if (local.address.version != remote.address.version) {
    return refuse(EndReason::no_address);
  }
  if (is_full()) {
    return refuse(EndReason::limit);
  }
  if (!services.contains(service)) {
    return refuse(EndReason::no_service);
  }
  if (!owns(remote.address) && !is_on_link(remote.address) && gateway_for(remote.address) == nullptr) {
    return refuse(std::any_of(options.addresses.begin(), options.addresses.end(),
                              [&](const IpPrefix& own) { return own.address.version == remote.address.version; })
                      ? EndReason::no_route
                      : EndReason::no_address);
  }
  catch_up();
  ip_addr_t to = to_lwip(remote.address);
  add_zone(to);
  ip_addr_t from = to_lwip(local.address);
  if (local.address.is_any()) {
    netif* const interface = ip_route(&from, &to);
    const ip_addr_t* const chosen = interface == nullptr ? nullptr : ip_netif_get_local_ip(interface, &to);
    if (chosen == nullptr) {
      return refuse(EndReason::no_address);
    }
    from = *chosen;
  } else if (!owns(local.address)) {
    return refuse(EndReason::no_address);
  } else {
    add_zone(from);
  }
  Endpoint here{from_lwip(from), local.port};
  if (here.port == 0) {
    here.port = pick_port(here.address, remote);
  }
  if (here.port == 0) {
    return refuse(EndReason::no_port);
  }
  if (by_tuple.contains({here, remote})) {
    return refuse(EndReason::in_use);
  }
  return open_actively(*this, here, from, to, remote, replication, service, why);
}

}  // namespace tandem
