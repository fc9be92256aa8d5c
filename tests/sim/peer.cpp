// SPDX-License-Identifier: BSD-3-Clause
#include "peer.hpp"

#include <algorithm>

#include "stack_scope.hpp"

namespace tandem::sim {

Peer::Peer(Kernel& kernel, const Options& options, Transmit transmit, TrafficObserver& observer)
    : kernel_(kernel), options_(options), transmit_(std::move(transmit)), observer_(observer), arena_(Arena::take()) {
  const HeapScope heap(arena_);
  StackOptions stack_options;
  stack_options.addresses = options_.addresses;
  stack_options.send_queue_bytes = stack_options.receive_window_bytes = options_.window_bytes;
  stack_options.now_ns = [&kernel] { return kernel.now_ns; };
  for (std::size_t i = 0; i < stack_options.secret.size(); ++i)
    stack_options.secret[i] = static_cast<std::uint8_t>(options_.seed >> (i % 8 * 8) | 1);
  stack_ = new Stack(std::move(stack_options), *this);
  if (options_.make_program) {
    program_ = options_.make_program();
    program_->set_up(*stack_);
  } else {
    serve_exchanges();
  }
  schedule_turn(kernel_.now_ns);
}

void Peer::serve_exchanges() {
  for (const std::uint16_t service : {kStreamPort, kNotePort}) {
    stack_->define_service(service, [this](Connection&) -> std::unique_ptr<Handler> {
      return std::make_unique<Exchange>(observer_, false, false, nullptr);
    });
    for (const IpPrefix& prefix : options_.addresses) stack_->listen({prefix.address, service}, unreplicated, service);
  }
  stack_->define_service(kStreamClient, [this](Connection&) -> std::unique_ptr<Handler> {
    return std::make_unique<Exchange>(observer_, true, false, opening_);
  });
}

Peer::~Peer() {
  // Nothing is freed: the whole heap goes.
  if (arena_->holds(StackScope::resident())) StackScope::forget_resident();
  arena_->give_back();
}

bool Peer::open(const Endpoint& server, const Plan& plan, std::uint16_t from_port) {
  const HeapScope heap(arena_);
  opening_ = &plan;
  Connection* const connection =
      stack_->connect({options_.addresses.front().address, from_port}, server, unreplicated, kStreamClient);
  opening_ = nullptr;
  schedule_turn(kernel_.now_ns + 1'000);
  return connection != nullptr;
}

std::size_t Peer::connections() {
  const HeapScope heap(arena_);
  return stack_->connection_count();
}

void Peer::arrive(Bytes frame) {
  std::uint32_t place = 0;
  while (place < frames_.size() && frames_[place].in_use) ++place;
  if (place == frames_.size()) frames_.emplace_back();
  frames_[place].in_use = true;
  frames_[place].bytes.assign(frame.begin(), frame.end());
  arrived_.push_back(place);
  schedule_turn(kernel_.now_ns + kernel_.scheduling.between(1'000, 8'000));
}

void Peer::move(const MacAddress& mac) {
  options_.mac = mac;
  {
    const HeapScope heap(arena_);
    stack_->link_changed();
  }
  schedule_turn(kernel_.now_ns);
}

bool Peer::has_outstanding() const {
  bool has = false;
  stack_->for_each_connection([&has](Connection& connection) {
    const TcpState state = connection.state();
    has = has || state.snd_una != state.snd_nxt;
  });
  return has;
}

void Peer::poke(std::size_t lazy_bytes) {
  poke_bytes_ = lazy_bytes;
  poke_due_ = true;
  schedule_turn(kernel_.now_ns);
}

void Peer::schedule_turn(std::uint64_t at_ns) {
  if (next_turn_ns_ <= at_ns) return;
  next_turn_ns_ = at_ns;
  const HeapScope heap;
  kernel_.at(at_ns, [this, generation = ++turn_generation_] {
    if (generation == turn_generation_) turn();
  });
}

void Peer::turn() {
  next_turn_ns_ = UINT64_MAX;
  {
    const HeapScope heap(arena_);
    while (!arrived_.empty()) {
      const std::uint32_t place = arrived_.front();
      {
        const HeapScope ours;
        arrived_.pop_front();
      }
      stack_->input({frames_[place].bytes, place});
    }
    stack_->run_timers();
    const bool poked = std::exchange(poke_due_, false);
    if (poked && program_ != nullptr) {
      program_->on_poke(*stack_);
    } else if (poked) {
      const std::size_t bytes = poke_bytes_;
      stack_->for_each_connection([bytes](Connection& connection) {
        if (auto* const exchange = static_cast<Exchange*>(connection.handler())) exchange->poke(connection, bytes);
      });
    }
    work_left_ = stack_->run_handlers();
    if (program_ != nullptr) program_wants_ns_ = program_->on_turn(*stack_, kernel_.now_ns);
    stack_->end_turn();
  }
  const std::size_t count = std::exchange(staged_count_, 0);
  for (std::size_t i = 0; i < count; ++i) transmit_(staged_[i]);
  std::uint64_t next = 0;
  {
    const HeapScope heap(arena_);
    next = std::min(stack_->next_timer_ns(), program_wants_ns_);
  }
  schedule_turn(work_left_ ? kernel_.now_ns + 1'000 : std::max(next, kernel_.now_ns + 1'000));
}

std::span<std::uint8_t> Peer::tx_reserve(std::uint32_t bytes) {
  const HeapScope heap;
  if (staged_count_ == staged_.size()) staged_.emplace_back();
  staged_[staged_count_].resize(bytes);
  return staged_[staged_count_];
}

void Peer::tx_stage() { ++staged_count_; }

void Peer::rx_done(std::uint32_t cookie) { frames_[cookie].in_use = false; }

}  // namespace tandem::sim
