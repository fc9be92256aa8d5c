// SPDX-License-Identifier: BSD-3-Clause
#include "application.hpp"

#include <cstring>

#include "world.hpp"

namespace tandem::sim {

void Application::on_start(Node& node) {
  ledger_.clear();
  for (const bool wants : {true, false}) {
    node.listen(wants ? kStreamPort : kNotePort, replicated, [this, wants](Connection&) -> std::unique_ptr<Handler> {
      return std::make_unique<Exchange>(world_, false, wants, nullptr);
    });
    node.define_service(wants ? kStreamClient : kNoteClient, [this, wants](Connection&) -> std::unique_ptr<Handler> {
      return std::make_unique<Exchange>(world_, true, wants, opening_);
    });
  }
}

void Application::on_primary(Node& node, bool) {
  World::Context* const context = world_.context(process_);
  context->primary = true;
  world_.forget_active_opens();
  node.stack().for_each_connection([this](Connection& connection) {
    const auto* const exchange = static_cast<const Exchange*>(connection.handler());
    if (exchange != nullptr && exchange->is_client() && exchange->knows_plan())
      world_.active_open_exists(exchange->plan().number);
  });
}

void Application::note_new(Node& node) {
  node.stack().for_each_connection([this, &node](Connection& connection) {
    const auto* const exchange = static_cast<const Exchange*>(connection.handler());
    if (exchange == nullptr || !exchange->knows_plan()) return;
    const std::uint32_t number = exchange->plan().number;
    if (!ledger_.insert(number).second) return;
    node.note({reinterpret_cast<const std::uint8_t*>(&number), sizeof number});
  });
}

std::uint64_t Application::on_turn(Node& node, std::uint64_t now_ns) {
  World::Context* const context = world_.context(process_);
  if (context->switchover_wanted && node.request_switchover()) context->switchover_wanted = false;
  note_new(node);
  if (now_ns < next_poke_ns_) return next_poke_ns_;
  next_poke_ns_ = now_ns + world_.poke_interval_ns();
  node.stack().for_each_connection([](Connection& connection) {
    if (auto* const exchange = static_cast<Exchange*>(connection.handler())) exchange->poke(connection, 4096);
  });
  while (const Plan* const plan = world_.next_active_open()) {
    opening_ = plan;
    const std::uint16_t service = plan->number % 2 == 0 ? kStreamClient : kNoteClient;
    Connection* const connection =
        node.connect({world_.peer_address(), plan->number % 3 == 0 ? kNotePort : kStreamPort}, replicated, service);
    // Without memory there is none; it is tried again.
    if (connection == nullptr) {
      opening_ = nullptr;
      world_.active_open_failed(plan->number);
      break;
    }
    connection->note({reinterpret_cast<const std::uint8_t*>(plan), sizeof *plan});
    opening_ = nullptr;
  }
  return next_poke_ns_;
}

Exchange::View Application::view(const Handler& handler) const { return static_cast<const Exchange&>(handler).view(); }

std::vector<std::uint64_t> Application::state() const { return {ledger_.begin(), ledger_.end()}; }

std::string Application::difference(const std::vector<std::uint64_t>& primary,
                                    const std::vector<std::uint64_t>& twin) const {
  const auto list = [](const std::vector<std::uint64_t>& ledger) {
    std::string text;
    for (const std::uint64_t number : ledger) text += " " + std::to_string(number);
    return text;
  };
  return "the primary has noted exchanges" + list(primary) + ", the twin" + list(twin);
}

void Application::on_note(Node&, Bytes bytes) {
  std::uint32_t number = 0;
  if (bytes.size() != sizeof number)
    return world_.wrong("a note of the application has another length than was written");
  std::memcpy(&number, bytes.data(), sizeof number);
  ledger_.insert(number);
}

bool Application::save(Node&, std::uint64_t& cursor, std::size_t, std::vector<std::uint8_t>& piece) {
  const std::uint64_t saved_ns = world_.log_time_ns();
  const auto* const time = reinterpret_cast<const std::uint8_t*>(&saved_ns);
  piece.insert(piece.end(), time, time + sizeof saved_ns);
  // Few at a time, so that a snapshot of it takes many steps.
  constexpr std::size_t kNumbers = 2;
  auto at = ledger_.lower_bound(static_cast<std::uint32_t>(cursor));
  for (std::size_t i = 0; i < kNumbers && at != ledger_.end(); ++i, ++at) {
    const std::uint32_t number = *at;
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&number);
    piece.insert(piece.end(), bytes, bytes + sizeof number);
    cursor = std::uint64_t{number} + 1;
  }
  return at != ledger_.end();
}

bool Application::restore(Node&, Bytes bytes) {
  std::uint64_t saved_ns = 0;
  if (bytes.size() < sizeof saved_ns || bytes.size() % sizeof(std::uint32_t) != 0) return false;
  std::memcpy(&saved_ns, bytes.data(), sizeof saved_ns);
  bytes = bytes.subspan(sizeof saved_ns);
  world_.restored(saved_ns);
  for (; !bytes.empty(); bytes = bytes.subspan(sizeof(std::uint32_t))) {
    std::uint32_t number = 0;
    std::memcpy(&number, bytes.data(), sizeof number);
    ledger_.insert(number);
  }
  return true;
}

}  // namespace tandem::sim
