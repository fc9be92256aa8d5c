// SPDX-License-Identifier: BSD-3-Clause
//
// Dormant to alive (design.md section 6, steps 5 to 7). What a peer waits for is linked at once, the rest when a packet asks for it
// or some each turn, so that the time to the first packet does not grow with the number of connections.
#include <algorithm>
#include <stdexcept>
#include <utility>

#include "connection_impl.hpp"
#include "lwip.hpp"
#include "stack_impl.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

namespace {

// What linking costs is building the segments that are in flight, some tens of nanoseconds each; so budgets count segments.
// The packets that are already in the ring come first and link what they belong to.
constexpr std::size_t kBudgetAtOnce = 128;
constexpr std::size_t kBudgetPerTurn = 1024;
constexpr std::size_t kSegmentsPerConnection = 16;  ///< what the rest of a connection costs

std::size_t cost_of(const Connection::Impl& connection) {
  const TcpState& state = connection.shown;
  return kSegmentsPerConnection + (state.snd_nxt - state.snd_una) / state.mss;
}

}  // namespace

void Stack::Impl::prepare() {
  if (!dormant || prepared) {
    return;
  }
  prepared = true;
  muted = true;
  bring_up();
  muted = false;
  for (const auto& listener : listeners) {
    // What cannot be opened now is tried again, and said, by activate().
    open_listener(*listener);
  }
}

void Stack::Impl::activate(Adoption how) {
  if (!dormant) {
    return;
  }
  dormant = false;
  adoption = how;
  clock_is_stale = true;
  // Nobody says whether the process before has sent any.
  expect_cookies();
  start_timers();
  if (!prepared) {
    // What lwIP says as it comes up is said below, or need not be said at all.
    muted = true;
    bring_up();
    muted = false;
  }
  TANDEM_STEP("activate.up");
  if (how != Adoption::exact) {
    // Before all else: a switch is to know the way back before the first answer comes.
    announce();
    announce_if_due();
  }
  TANDEM_STEP("activate.neighbours");
  for (const auto& listener : listeners) {
    if (listener->pcb == nullptr && !open_listener(*listener)) {
      throw std::runtime_error("cannot listen on " + listener->local.to_string() +
                               " after the takeover: memory is short");
    }
  }
  renumber();
  TANDEM_STEP("activate.listeners");
  if (how != Adoption::exact) {
    // No packet asks for a connection whose peer has to be asked first.
    link_for_a_turn();
    return;
  }
  std::size_t spent = 0;
  for (bool first = true; urgent.newest() != nullptr; first = false) {
    spent += cost_of(*urgent.newest());
    if ((spent > kBudgetAtOnce && !first) || !bring_to_life(*urgent.newest())) {
      break;
    }
  }
  // The turn that follows sends what these have to say, and waits for no others.
  linked_at_once = true;
}

void Stack::Impl::link_for_a_turn() {
  if (std::exchange(linked_at_once, false)) {
    return;
  }
  for (std::size_t spent = 0; spent < kBudgetPerTurn;) {
    auto* const next = urgent.newest() != nullptr ? urgent.newest() : idle.newest();
    if (next == nullptr) {
      return;
    }
    spent += cost_of(*next);
    if (!bring_to_life(*next)) {
      return;
    }
  }
}

bool Stack::Impl::bring_to_life(Connection::Impl& connection) {
  if (!connection.link(adoption)) {
    return false;
  }
  connection.promote_due = connection.handler != nullptr;
  // The turn in which the primary had to tell its handler that it is connected may not have come.
  connection.connect_due =
      connection.handler != nullptr && !connection.connected && connection.pcb->state >= ESTABLISHED;
  connection.offer_due = !connection.receive.empty();
  connection.room_due = true;
  if (connection.pcb->state == SYN_RCVD && !connection.active_open && connection.half_open_at == nullptr) {
    count_half_open(connection, find_listener(connection.local));
  }
  touch(connection);
  give_work(connection);
  if (connection.abort_requested) {
    lost.push_back(&connection);
  }
  TANDEM_STEP("activate.connection");
  if (in_input) {
    // The packet that asked for it is being processed; lwIP answers it.
    return true;
  }
  if (adoption == Adoption::kicked) {
    kick(connection);
  } else {
    connection.flush();
  }
  return true;
}

Connection::Impl* Stack::Impl::import_connection(const ConnectionImage& image, Replication replication,
                                                 std::string_view& why) {
  auto* const connection = add_image(next_id, image, replication, &why);
  if (connection == nullptr) {
    return nullptr;
  }
  if (dormant) {
    list_dormant(*connection);
    connection->announced = connection->replicated;
    return connection;
  }
  if (!bring_to_life(*connection)) {
    connection->gone = true;
    connection->handler.reset();
    forget(*connection);
    why = "memory is short";
    return nullptr;
  }
  announce(*connection);
  return connection;
}

bool Stack::Impl::link_some(std::size_t count) {
  for (std::size_t i = 0; i < count && !dormant; ++i) {
    auto* const next = urgent.newest() != nullptr ? urgent.newest() : idle.newest();
    if (next == nullptr || !bring_to_life(*next)) {
      break;
    }
  }
  return urgent.size() + idle.size() != 0;
}

}  // namespace tandem
