// SPDX-License-Identifier: BSD-3-Clause
//
// World's part in the exchanges of a run: who has opened, received and closed what, and whether that was to be.
#include <algorithm>

#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

}  // namespace

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

void World::wrong(std::string text) { violation("every byte, once and in order", std::move(text)); }

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
