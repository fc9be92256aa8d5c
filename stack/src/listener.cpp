// SPDX-License-Identifier: BSD-3-Clause
//
// Services, listeners and passive opens. A connection exists for us from its SYN on, since its SYN-ACK already speaks for us.
#include <algorithm>
#include <stdexcept>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

namespace {

err_t on_passive_open(u8_t id, tcp_pcb_listen* listening, tcp_pcb* opened) {
  auto& listener = *static_cast<Listener*>(listening->ext_args[id].data);
  return StackScope::current().accept_syn(*opened, listener) ? ERR_OK : ERR_VAL;
}

constexpr tcp_ext_arg_callbacks kListenerCallbacks{nullptr, on_passive_open};

/// What answers a cookie comes within a few repetitions of the client's, or not at all.
constexpr std::uint64_t kFloodEcho_ns = 10'000'000'000;

err_t on_accepted(void* argument, tcp_pcb* pcb, err_t error) {
  if (pcb == nullptr || argument == nullptr) {
    return error == ERR_OK ? err_t{ERR_VAL} : error;
  }
  auto& connection = *static_cast<Connection::Impl*>(argument);
  return connection.stack.accept(connection) ? err_t{ERR_OK} : err_t{ERR_VAL};
}

}  // namespace

bool Stack::Impl::make_handler(Connection::Impl& connection) {
  const auto service = services.find(connection.service);
  if (service == services.end()) {
    return false;
  }
  connection.handler = service->second(connection.handle);
  if (connection.handler == nullptr) {
    return false;
  }
  connection.wants_stream = connection.handler->wants_stream();
  return true;
}

Listener* Stack::Impl::find_listener(const Endpoint& local) {
  Listener* any = nullptr;
  for (const auto& listener : listeners) {
    if (listener->local == local) {
      return listener.get();
    }
    if (listener->local.port == local.port && listener->local.address.is_any() &&
        listener->local.address.version == local.address.version) {
      any = listener.get();
    }
  }
  return any;
}

tcp_pcb_listen* Stack::Impl::listener_pcb_for(const Endpoint& local) {
  const Listener* const listener = find_listener(local);
  return listener == nullptr ? nullptr : listener->pcb;
}

bool Stack::Impl::open_listener(Listener& listener) {
  const ip_addr_t address = to_lwip(listener.local.address);
  tcp_pcb* const pcb = tcp_new_ip_type(listener.local.address.is_v6() ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  if (pcb == nullptr) {
    return false;
  }
  if (tcp_bind(pcb, &address, listener.local.port) != ERR_OK) {
    tcp_close(pcb);
    return false;
  }
  tcp_ext_arg_set_callbacks(pcb, ext_arg_id, &kListenerCallbacks);
  tcp_ext_arg_set(pcb, ext_arg_id, &listener);
  tcp_pcb* const listening = tcp_listen(pcb);
  if (listening == nullptr) {
    // What its extension refers to is no connection, and closing takes it for one.
    tcp_ext_arg_set_callbacks(pcb, ext_arg_id, nullptr);
    tcp_ext_arg_set(pcb, ext_arg_id, nullptr);
    tcp_close(pcb);
    return false;
  }
  tcp_accept(listening, on_accepted);
  listener.pcb = reinterpret_cast<tcp_pcb_listen*>(listening);
  return true;
}

void Stack::Impl::listen(const Endpoint& local, Replication replication, std::uint16_t service, int backlog) {
  const auto fail = [&](const std::string& why) {
    throw std::runtime_error("cannot listen on " + local.to_string() + ": " + why);
  };
  if (local.port == 0) {
    fail("a port is required");
  }
  if (!local.address.is_any() && !owns(local.address)) {
    fail("the address is none of this stack's; give one of them or the any address");
  }
  if (!services.contains(service)) {
    fail("service " + std::to_string(service) + " is not defined; define it first");
  }
  const auto clashes = [&](const auto& other) {
    return other->local.port == local.port && other->local.address.version == local.address.version &&
           (other->local.address == local.address || other->local.address.is_any() || local.address.is_any());
  };
  if (std::any_of(listeners.begin(), listeners.end(), clashes)) {
    fail("the port is taken; choose another");
  }
  auto listener = std::make_unique<Listener>();
  listener->local = local;
  listener->replication = replication;
  listener->service = service;
  listener->backlog = static_cast<std::size_t>(std::max(backlog, 1));
  if ((!dormant || prepared) && !open_listener(*listener)) {
    fail("the port is taken; choose another");
  }
  listeners.push_back(std::move(listener));
}

void Stack::Impl::unlisten(const Endpoint& local) {
  const auto place =
      std::find_if(listeners.begin(), listeners.end(), [&](const auto& listener) { return listener->local == local; });
  if (place == listeners.end()) {
    return;
  }
  for (const auto& [id, connection] : connections) {
    if (connection->half_open_at == place->get()) {
      uncount_half_open(*connection);
    }
  }
  if ((*place)->pcb != nullptr) {
    tcp_close(reinterpret_cast<tcp_pcb*>((*place)->pcb));
  }
  listeners.erase(place);
}

tandem_tcp_admission Stack::Impl::admit(const Listener& listener) {
  if (is_full()) {
    ++counters.connections_refused;
    return TANDEM_SYN_DROP;
  }
  // Only a cookie's numbers could not begin behind those of the connection before.
  if ((listener.half_open < listener.backlog && counters.half_open < options.limits.half_open) || least_iss) {
    // A SYN that comes again is given the number that the cookie for it had: its ACK may answer either. Only then: what a
    // peer repeats to a connection that is no more could be taken for such an ACK.
    return !least_iss && is_flooded() ? TANDEM_SYN_KEEP_BY_COOKIE : TANDEM_SYN_KEEP;
  }
  ++counters.syn_cookies_sent;
  expect_cookies();
  flooded_until_ns = now_ns() + kFloodEcho_ns;
  return TANDEM_SYN_COOKIE;
}

bool Stack::Impl::is_flooded() {
  return now_ns() < flooded_until_ns || counters.half_open >= options.limits.half_open ||
         std::any_of(listeners.begin(), listeners.end(),
                     [](const auto& listener) { return listener->half_open >= listener->backlog; });
}

bool Stack::Impl::accept_syn(tcp_pcb& pcb, Listener& listener) {
  const Endpoint local{from_lwip(pcb.local_ip), pcb.local_port};
  const Endpoint remote{from_lwip(pcb.remote_ip), pcb.remote_port};
  // Our own count of half-open connections goes beyond the 255 that lwIP's can hold.
  tcp_backlog_accepted(&pcb);
  if (remote.port == 0 || is_full() || by_tuple.contains({local, remote})) {
    ++counters.connections_refused;
    return false;
  }
  // Its handler is made when the peer has shown that it is there.
  auto& connection = add_connection(next_id, listener.service, listener.replication, local, remote);
  connection.iss = pcb.lastack;
  connection.irs = pcb.rcv_nxt - 1;
  attach(connection, pcb);
  // Only a cookie's SYN-ACK has left already.
  counters.syn_cookies_accepted += pcb.snd_nxt != pcb.lastack ? 1 : 0;
  count_half_open(connection, &listener);
  announce(connection);
  touch(connection);
  return true;
}

bool Stack::Impl::accept(Connection::Impl& connection) {
  uncount_half_open(connection);
  if (!make_handler(connection)) {
    ++counters.connections_refused;
    return false;
  }
  ++counters.connections_opened;
  connection.connect_due = true;
  give_work(connection);
  return true;
}

void Stack::Impl::count_half_open(Connection::Impl& connection, Listener* listener) {
  connection.half_open_at = listener;
  if (listener != nullptr) {
    ++listener->half_open;
    ++counters.half_open;
    // Whoever takes over has sent no cookie yet, but is as full as the one that has.
    if (listener->half_open >= listener->backlog || counters.half_open >= options.limits.half_open)
      flooded_until_ns = now_ns() + kFloodEcho_ns;
  }
}

void Stack::Impl::uncount_half_open(Connection::Impl& connection) {
  if (connection.half_open_at != nullptr) {
    --connection.half_open_at->half_open;
    --counters.half_open;
    connection.half_open_at = nullptr;
  }
}

std::uint64_t Stack::Impl::cookie_period_ns() const { return 64'000'000'000; }

void Stack::Impl::expect_cookies() { cookies_until_ns = now_ns() + TANDEM_TCP_COOKIE_PERIODS * cookie_period_ns(); }

}  // namespace tandem
