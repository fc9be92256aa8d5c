// SPDX-License-Identifier: BSD-3-Clause
//
// World's part in the exchanges of a run: which there are, who has opened, received and closed what, and whether that was to be.
#include <algorithm>

#include "tandem/node.hpp"
#include "tandem/stack.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
/// What a client that does not read sends in the time.
constexpr std::uint32_t kDeafClientBytes = 20'000;
/// More than a window, and than a queue.
constexpr std::uint64_t kBulkBytes = 300'000;
/// Beyond those of a flood: some checks know connections by their ports alone.
constexpr std::uint16_t kPortAgain = 5000;
constexpr std::uint64_t kOpenAgain_ns = 2 * kMs;
/// Of the stack's, by which it measures long times.
constexpr std::uint64_t kTick_ns = 100 * kMs;

}  // namespace

void World::start_traffic() {
  const std::uint32_t flags_all =
      exchange_flag::kServerCloses | exchange_flag::kClientHalfCloses | exchange_flag::kPaced;
  for (std::uint32_t i = 0; i < setup_.transfers; ++i) {
    Transfer& transfer = transfers_.emplace_back();
    transfer.plan.number = i + 1;
    transfer.plan.client_bytes = static_cast<std::uint32_t>(script_.skewed(setup_.max_bytes));
    transfer.plan.server_bytes = static_cast<std::uint32_t>(script_.skewed(setup_.max_bytes));
    transfer.plan.piece = static_cast<std::uint32_t>(1 + script_.skewed(3000));
    transfer.plan.flags = static_cast<std::uint8_t>(script_.next() & flags_all);
    if (setup_.bulk) {
      transfer.plan.client_bytes = static_cast<std::uint32_t>(script_.skewed(kBulkBytes));
      transfer.plan.server_bytes = static_cast<std::uint32_t>(script_.skewed(kBulkBytes));
      transfer.plan.flags |= script_.one_in(2) ? exchange_flag::kLazyServer : exchange_flag::kLazyClient;
    }
    if (setup_.aborts && script_.one_in(3))
      transfer.plan.flags |= script_.one_in(2) ? exchange_flag::kClientAborts : exchange_flag::kServerAborts;
    // Of what was reset a cookie knows nothing: the handshake's last ACK, when it comes late or twice, opens it anew (RFC 4987 section 3.6).
    if (setup_.syn_flood && (setup_.faults.duplication_permille != 0 || setup_.faults.reordering_permille != 0))
      transfer.plan.flags &= static_cast<std::uint8_t>(~(exchange_flag::kClientAborts | exchange_flag::kServerAborts));
    if (setup_.lazy && script_.one_in(2))
      transfer.plan.flags |= script_.one_in(2) ? exchange_flag::kLazyServer : exchange_flag::kLazyClient;
    if (setup_.deaf) {
      // More than its window holds, whatever it sends itself.
      transfer.plan.server_bytes += 4 * setup_.window_bytes;
      transfer.plan.client_bytes = std::max(transfer.plan.client_bytes, kDeafClientBytes);
      transfer.plan.flags = exchange_flag::kLazyClient;
    }
    transfer.from_us = setup_.active_opens && script_.one_in(3);
    transfer.port = script_.one_in(2) ? kStreamPort : kNotePort;
    if (setup_.ports_again && !transfer.from_us) {
      // The same ends again, where the last exchange of theirs has left us in TIME-WAIT. A reset would leave nothing of it.
      transfer.from_port = static_cast<std::uint16_t>(kPortAgain + script_.below(kPortsAgain));
      transfer.port = kStreamPort;
      transfer.plan.flags = static_cast<std::uint8_t>(
          (transfer.plan.flags | exchange_flag::kServerCloses) &
          ~(exchange_flag::kClientHalfCloses | exchange_flag::kClientAborts | exchange_flag::kServerAborts));
    }
    if (setup_.lingers && !transfer.from_us && script_.one_in(2)) {
      // Its port is never free again.
      transfer.from_port = 0;
      transfer.plan.lingers = 1;
      transfer.plan.flags = exchange_flag::kServerCloses;
    }
    transfer.open_at_ns = start_ns_ + 2 * kMs + script_.skewed(40 * kMs) * setup_.stretch();
  }
  for (std::size_t i = 0; i < transfers_.size(); ++i) {
    if (transfers_[i].from_us) continue;
    kernel_->at(transfers_[i].open_at_ns, [this, i] { open_transfer(transfers_[i]); });
  }
}

std::uint64_t World::deaf_for_ns() const {
  // A second and a half passes before what is left of a nearly shut window is filled, and as much before the first probe.
  constexpr std::uint64_t kDeafFor_ns = 5000 * kMs;
  return setup_.deaf && setup_.script == nullptr && bgp_plan_ == nullptr ? kDeafFor_ns : 0;
}

void World::add_exchange(Script::Item item) {
  Transfer& transfer = transfers_.emplace_back();
  transfer.plan = item.plan;
  transfer.plan.number = static_cast<std::uint32_t>(transfers_.size());
  transfer.from_us = item.from_us;
  transfer.port = item.port;
  transfer.open_at_ns = start_ns_ + item.open_after_ns;
  if (transfer.from_us) return;
  kernel_->at(transfer.open_at_ns, [this, i = transfers_.size() - 1] { open_transfer(transfers_[i]); });
}

/// Where a connection did not end in order its port may never be free again, or draw resets for what is still on its way.
bool World::is_port_spoilt(std::uint16_t port) const {
  return std::any_of(transfers_.begin(), transfers_.end(), [port](const Transfer& item) {
    return item.from_port == port && item.opened && (item.may_break || item.broken);
  });
}

void World::open_transfer(Transfer& transfer) {
  transfer.may_break = closing_ != 0;
  if (is_port_spoilt(transfer.from_port)) transfer.from_port = 0;
  transfer.opened_ns = kernel_->now_ns;
  transfer.opened = peer_->open({address_of(setup_.v6, 1).address, transfer.port}, transfer.plan, transfer.from_port);
  if (transfer.opened) {
    kernel_->trace("the peer opens exchange %u, port %u: %u bytes there, %u back, flags %u", transfer.plan.number,
                   transfer.port, transfer.plan.client_bytes, transfer.plan.server_bytes, transfer.plan.flags);
  } else if (transfer.from_port != 0) {
    // What it had with this port before is not over for it.
    kernel_->after(kOpenAgain_ns, [this, number = transfer.plan.number] { open_transfer(transfers_[number - 1]); });
  } else {
    violation("set-up", "the peer cannot open a connection");
  }
}

World::Transfer* World::transfer(std::uint32_t number) {
  return number >= 1 && number <= transfers_.size() ? &transfers_[number - 1] : nullptr;
}

const Plan* World::next_active_open() {
  const HeapScope heap;
  for (Transfer& item : transfers_) {
    if (!item.from_us || item.opened || item.open_at_ns > kernel_->now_ns) continue;
    item.opened = true;
    item.opened_ns = kernel_->now_ns;
    kernel_->trace("we open exchange %u: %u bytes there, %u back, flags %u", item.plan.number, item.plan.client_bytes,
                   item.plan.server_bytes, item.plan.flags);
    return &item.plan;
  }
  return nullptr;
}

void World::forget_active_opens() {
  for (Transfer& item : transfers_) item.opened = item.opened && (!item.from_us || item.met || item.is_done());
}

void World::active_open_failed(std::uint32_t number) {
  if (Transfer* const item = transfer(number)) item->opened = false;
}

void World::active_open_exists(std::uint32_t number) {
  if (Transfer* const item = transfer(number)) item->opened = true;
}

IpAddress World::peer_address() const { return address_of(setup_.v6, 2).address; }

void World::wrong(std::string text) { shown_wrong("every byte, once and in order", std::move(text)); }

void World::shown_wrong(std::string_view rule, std::string text) {
  // One that was removed while it stood still finds its log written over. It looks at its word behind what it was at, and nothing of
  // what it was shown counts.
  if (const Process* const process = kernel_->current; process != nullptr && is_written_over(*process))
    return kernel_->trace("process %d, which was removed: %s", process->pid, text.c_str());
  violation(rule, std::move(text));
}

void World::met(std::uint32_t number) {
  if (Transfer* const item = transfer(number)) item->met = item->opened = true;
}

void World::received_all(std::uint32_t number, bool at_client) {
  if (Transfer* const item = transfer(number)) (at_client ? item->received_at_client : item->received_at_server) = true;
}

void World::ended_early(std::uint32_t number, std::string text) {
  // At the end of a run a group closes what it has, also exchanges of a group before it that nobody waits for.
  const Transfer* const item = transfer(number);
  if (item == nullptr || (!item->may_break && !deadly_victim(number))) wrong(std::move(text));
}

void World::was_reset(std::uint32_t number, bool at_client) {
  const HeapScope heap;
  Transfer* const item = transfer(number);
  kernel_->trace("exchange %u was reset at the %s", number, at_client ? "client" : "server");
  if (item == nullptr) return;
  // A client that has never closed: its connection is given up when it has been silent for as long as that takes, and not before.
  if (item->plan.lingers != 0 && item->received_at_client && !at_client) {
    item->given_up_ns = kernel_->now_ns;
    const std::uint64_t least_ns = std::uint64_t{StackLimits{}.fin_wait_2_ms} * kMs - kTick_ns;
    if (item->given_up_ns < item->opened_ns + least_ns && !item->may_break)
      violation("FIN-WAIT-2", "exchange " + std::to_string(number) + " was given up too early");
    return;
  }
  item->broken = true;
  if (!item->may_break && !item->reset_wanted && !deadly_victim(number))
    violation("no reset that nobody asked for",
              "exchange " + std::to_string(number) + " was reset at the " + (at_client ? "client" : "server"));
}

void World::was_closed(std::uint32_t number, bool at_client) {
  if (Transfer* const item = transfer(number)) (at_client ? item->closed_at_client : item->closed_at_server) = true;
}

void World::resets(std::uint32_t number) {
  if (Transfer* const item = transfer(number)) item->reset_wanted = true;
}

std::uint64_t World::log_time_ns() { return context(*kernel_->current)->node->now_ns(); }

void World::restored(std::uint64_t saved_ns) {
  if (const std::uint64_t now_ns = log_time_ns(); now_ns != saved_ns)
    shown_wrong("the twin's view (I3)", "a state that was saved at " + std::to_string(saved_ns) +
                                            " ns is restored at " + std::to_string(now_ns) + " ns");
}

std::uint64_t World::client_may_write(std::uint32_t number) {
  const Transfer* const item = transfer(number);
  if (item != nullptr && setup_.script != nullptr)
    return setup_.script->client_may_write(item->plan, kernel_->now_ns - item->opened_ns);
  if (item == nullptr || faults_stopped_) return UINT64_MAX;
  // Spread over the time in which things happen.
  const std::uint64_t elapsed = kernel_->now_ns - item->opened_ns;
  const std::uint64_t whole = setup_.disturbances * 8 * kMs + deaf_for_ns();
  if (setup_.quiet && elapsed >= whole / 4) return sizeof(Plan) + item->plan.client_bytes / 4;
  return sizeof(Plan) + (elapsed >= whole ? item->plan.client_bytes : item->plan.client_bytes * elapsed / whole);
}

bool World::may_close(std::uint32_t number) {
  const Transfer* const item = transfer(number);
  return item == nullptr || setup_.script == nullptr ||
         setup_.script->may_close(item->plan, kernel_->now_ns - item->opened_ns);
}

bool World::all_done() const {
  if (bgp_plan_ != nullptr) return bgp_settled_;
  return std::all_of(transfers_.begin(), transfers_.end(),
                     [](const Transfer& item) { return item.may_break || item.is_done(); });
}

}  // namespace tandem::sim
