// SPDX-License-Identifier: BSD-3-Clause
//
// The connections of a stack: how they come to be, how lwIP reaches them, and how they are buried.
#include <algorithm>
#include <cassert>
#include <utility>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

namespace {

Connection::Impl& impl_of(void* data) { return *static_cast<Connection::Impl*>(data); }

void on_destroyed(u8_t /*id*/, void* data) {
  if (data == nullptr) {
    return;
  }
  auto& connection = impl_of(data);
  connection.pcb = nullptr;
  connection.stack.lost.push_back(&connection);
}

constexpr tcp_ext_arg_callbacks kConnectionCallbacks{on_destroyed, nullptr};

err_t on_received(void* argument, tcp_pcb* /*pcb*/, pbuf* data, err_t /*error*/) {
  auto& connection = impl_of(argument);
  if (data == nullptr) {
    connection.take_fin();
  } else {
    connection.take_data(data);
  }
  return ERR_OK;
}

err_t on_sent(void* argument, tcp_pcb* /*pcb*/, u16_t /*length*/) {
  auto& connection = impl_of(argument);
  connection.update_acked();
  connection.feed();
  connection.stack.give_work(connection);
  return ERR_OK;
}

EndReason reason_of(const Connection::Impl& connection, err_t error) {
  if (connection.abort_requested) {
    return EndReason::aborted;
  }
  switch (error) {
    case ERR_CLSD:
      return EndReason::none;
    case ERR_RST:
      return connection.active_open && !connection.connected && !connection.connect_due ? EndReason::refused
                                                                                        : EndReason::reset_by_peer;
    default:
      return connection.stack.next_hop_answers(connection.remote.address) ? EndReason::timed_out
                                                                          : EndReason::unreachable;
  }
}

void on_error(void* argument, err_t error) {
  auto& connection = impl_of(argument);
  connection.end_reason = reason_of(connection, error);
  connection.reset = error != ERR_CLSD;
  connection.stack.counters.resets_received += error == ERR_RST ? 1 : 0;
  connection.stack.lost.push_back(&connection);
}

err_t on_connected(void* argument, tcp_pcb* pcb, err_t /*error*/) {
  auto& connection = impl_of(argument);
  connection.irs = pcb->rcv_nxt - 1;
  connection.connect_due = true;
  connection.stack.give_work(connection);
  return ERR_OK;
}

constexpr std::uint16_t kFirstLocalPort = 49152;  // RFC 6335 section 6
constexpr std::uint32_t kLocalPorts = 65536 - kFirstLocalPort;

}  // namespace

Connection::Impl::Impl(Stack::Impl& owner, ConnectionId name, std::uint16_t number, Replication replication)
    : handle(*this),
      stack(owner),
      id(name),
      service(number),
      send(owner.send_chunks),
      replicated(replication == Replication::replicated) {
  send.reset(0);
}

Connection::Impl::~Impl() = default;

Connection::Impl& Stack::Impl::add_connection(ConnectionId id, std::uint16_t service, Replication replication,
                                              const Endpoint& local, const Endpoint& remote) {
  auto made = std::make_unique<Connection::Impl>(*this, id, service, replication);
  auto& connection = *made;
  connection.local = local;
  connection.remote = remote;
  connections.emplace(id, std::move(made));
  connection.place = everyone.size();
  everyone.push_back({id, &connection});
  by_tuple.insert_or_assign(Tuple{local, remote}, &connection);
  next_id = std::max(next_id, id + 1);
  return connection;
}

void Stack::Impl::attach(Connection::Impl& connection, tcp_pcb& pcb) {
  // Nothing needs lwIP's polling: what could not leave is tried again by run_handlers.
  constexpr u8_t kSeldom = 0xff;
  connection.pcb = &pcb;
  tcp_arg(&pcb, &connection);
  tcp_recv(&pcb, on_received);
  tcp_sent(&pcb, on_sent);
  tcp_err(&pcb, on_error);
  tcp_poll(&pcb, nullptr, kSeldom);
  pcb.connected = on_connected;
  tcp_ext_arg_set_callbacks(&pcb, ext_arg_id, &kConnectionCallbacks);
  tcp_ext_arg_set(&pcb, ext_arg_id, &connection);
  apply_window_clamp(pcb);
}

void Stack::Impl::announce(Connection::Impl& connection) {
  if (!connection.replicated || connection.announced) {
    return;
  }
  connection.announced = true;
  connection.state_unshown = true;
  touch(connection);
  if (observer != nullptr) {
    observer->on_open(connection.handle);
  }
}

void Stack::Impl::forget(Connection::Impl& connection) {
  note_time_wait(connection, false);
  note_live(connection, false);
  note_unsettled(connection, false);
  if (connection.listed) {
    unlist_dormant(connection);
  }
  uncount_half_open(connection);
  unwatch_closing(connection);
  const auto tuple = by_tuple.find(Tuple{connection.local, connection.remote});
  if (tuple != by_tuple.end() && tuple->second == &connection) {
    by_tuple.erase(tuple);
  }
  last_touched = last_touched == &connection ? nullptr : last_touched;
  const auto place = connections.find(connection.id);
  assert(place != connections.end());
  graveyard.push_back(std::move(place->second));
  connections.erase(place);
  everyone[connection.place] = everyone.back();
  everyone[connection.place].connection->place = connection.place;
  everyone.pop_back();
}

void Stack::Impl::note_time_wait(Connection::Impl& connection, bool in_time_wait) {
  if (connection.in_time_wait != in_time_wait) {
    connection.in_time_wait = in_time_wait;
    time_wait_count += in_time_wait ? 1 : std::size_t(-1);
  }
}

void Stack::Impl::note_live(Connection::Impl& connection, bool live) {
  if (connection.live == live) {
    return;
  }
  connection.live = live;
  if (live) {
    neighbours.pin(connection.remote.address);
  } else {
    neighbours.unpin(connection.remote.address);
  }
}

std::uint16_t Stack::Impl::pick_port(const IpAddress& local, const Endpoint& remote) {
  // RFC 6056 section 3.3.1, simple port randomisation: a random start, then the next that is free for this destination.
  const auto start = random_value();
  for (std::uint32_t i = 0; i < kLocalPorts; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstLocalPort + (start + i) % kLocalPorts);
    if (!by_tuple.contains(Tuple{{local, port}, remote}) && find_listener({local, port}) == nullptr) {
      return port;
    }
  }
  return 0;
}

void Stack::Impl::touch(Connection::Impl& connection) {
  if (!connection.in_touched) {
    connection.in_touched = true;
    touched.push_back(&connection);
  }
}

void Stack::Impl::give_work(Connection::Impl& connection) {
  if (!connection.in_work) {
    connection.in_work = true;
    work.push_back(&connection);
  }
}

void Stack::Impl::starve(Connection::Impl& connection) {
  if (!connection.in_starved) {
    connection.in_starved = true;
    starved.push_back(&connection);
  }
}

void Stack::Impl::settle() {
  evict_time_wait();
  // Handlers that are called from here may lose further connections; those join the end of the list.
  for (std::size_t i = 0; i < lost.size(); ++i) {
    auto& connection = *lost[i];
    if (connection.gone) {
      continue;
    }
    if (connection.pcb != nullptr && connection.abort_requested) {
      if (connection.pcb->state == SYN_SENT && connection.close_requested) {
        tcp_close(connection.pcb);
      } else {
        connection.reset = true;
        connection.end_reason = EndReason::aborted;
        // An ACK that is owed would leave in front of the RST, when what it should mention as SACKed has been let go.
        tcp_clear_flags(connection.pcb, TF_ACK_DELAY | TF_ACK_NOW);
        tcp_abort(connection.pcb);
        connection.reset = true;
      }
    }
    if (connection.pcb == nullptr) {
      connection.finish(connection.reset);
    }
  }
  lost.clear();
}

bool Stack::Impl::run_handlers() {
  constexpr int kPasses = 4;
  settle();
  std::vector<Connection::Impl*> later, unserved;
  bool served = false;
  for (int pass = 0; pass < kPasses && !work.empty(); ++pass) {
    const auto batch = std::exchange(work, {});
    for (auto* const connection : batch) {
      connection->in_work = false;
    }
    for (auto* const connection : batch) {
      if (connection->gone) {
        continue;
      }
      if (served && out_of_time()) {
        unserved.push_back(connection);
        continue;
      }
      served = true;
      bool again = connection->serve(Serving::in_time);
      TANDEM_STEP("handler.served");
      connection->flush();
      // Memory or the device was short. Without a segment in hand lwIP would not take the mark away again, and the next ACK or
      // timer brings the connection back.
      again = again || (connection->pcb != nullptr && connection->pcb->unsent != nullptr &&
                        (connection->pcb->flags & TF_NAGLEMEMERR) != 0);
      if (again) {
        later.push_back(connection);
      }
    }
    settle();
    if (!unserved.empty()) {
      break;
    }
  }
  if (!unserved.empty()) {
    // They have waited longest.
    for (auto* const connection : std::exchange(work, {})) {
      connection->in_work = false;
      unserved.push_back(connection);
    }
  }
  for (const auto& waiting : {&unserved, &later}) {
    for (auto* const connection : *waiting) {
      if (!connection->gone) {
        give_work(*connection);
      }
    }
  }
  return !work.empty() || !starved.empty();
}

void Stack::Impl::end_turn() {
  settle();
  for (auto* const connection : touched) {
    connection->in_touched = false;
    if (connection->gone) {
      continue;
    }
    connection->receive.trim();
    if (connection->pcb != nullptr) {
      connection->update_acked();
      watch_closing(*connection);
    }
    if (!connection->announced || observer == nullptr) {
      continue;
    }
    const TcpState state = connection->state();
    if (connection->state_unshown || state != connection->shown) {
      TcpState told = state;
      if (TANDEM_PLANTED(snd_nxt_lags) && !connection->state_unshown &&
          seq_before(state.snd_una, connection->shown.snd_nxt))
        told.snd_nxt = connection->shown.snd_nxt;
      connection->state_unshown = false;
      connection->shown = state;
      observer->on_state(connection->handle, told);
    }
  }
  touched.clear();
  clock_is_stale = true;
  if (!dormant) {
    neighbours.show_news(observer);
  }
  if (!graveyard.empty()) {
    const auto is_gone = [](const Connection::Impl* connection) { return connection->gone; };
    std::erase_if(work, is_gone);
    std::erase_if(starved, is_gone);
    std::erase_if(kicking, is_gone);
    last_touched = nullptr;
    graveyard.clear();
  }
}

void Stack::Impl::apply_window_clamp(tcp_pcb& pcb) const {
  const std::size_t window = options.receive_window_bytes;
  const std::size_t clamped = window_clamp == 0 ? window : std::min(window, window_clamp);
  tandem_tcp_set_rcv_wnd_max(&pcb, static_cast<u32_t>(std::max<std::size_t>(clamped, 1)));
}

}  // namespace tandem
