// SPDX-License-Identifier: BSD-3-Clause
//
// The host at the other end of the wire: a plain stack that never dies, with a test application driven by the run's script.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "arena.hpp"
#include "kernel.hpp"
#include "peer_program.hpp"
#include "tandem/stack.hpp"
#include "traffic.hpp"

namespace tandem::sim {

class Peer final : public LinkDevice {
 public:
  struct Options {
    MacAddress mac;
    std::vector<IpPrefix> addresses;
    std::uint32_t mtu = 1500;
    std::size_t window_bytes = 65536;
    std::uint64_t seed = 0;
    /// Made in the peer's heap, and used instead of exchanges.
    std::function<PeerProgram*()> make_program;
  };
  using Transmit = std::function<void(Bytes frame)>;

  Peer(Kernel& kernel, const Options& options, Transmit transmit, TrafficObserver& observer);
  ~Peer() override;

  /// Opens an exchange (port of the server), from a port that was chosen or any. False when the stack cannot.
  bool open(const Endpoint& server, const Plan& plan, std::uint16_t from_port = 0);
  void arrive(Bytes frame);
  /// Has another link address from now on, and says so.
  void move(const MacAddress& mac);
  /// Whether it has sent something that was not acknowledged.
  [[nodiscard]] bool has_outstanding() const;
  /// Applications read and write again.
  void poke(std::size_t lazy_bytes);
  [[nodiscard]] Stack& stack() { return *stack_; }
  [[nodiscard]] std::size_t connections();
  [[nodiscard]] PeerProgram* program() { return program_; }

  // ---- LinkDevice ----
  [[nodiscard]] MacAddress mac() const override { return options_.mac; }
  [[nodiscard]] LinkCapabilities capabilities() const override { return {.mtu = options_.mtu}; }
  std::span<std::uint8_t> tx_reserve(std::uint32_t bytes) override;
  void tx_stage() override;
  void rx_done(std::uint32_t cookie) override;

 private:
  void serve_exchanges();
  void schedule_turn(std::uint64_t at_ns);
  void turn();

  Kernel& kernel_;
  Options options_;
  Transmit transmit_;
  TrafficObserver& observer_;
  Arena* arena_;
  Stack* stack_ = nullptr;
  PeerProgram* program_ = nullptr;
  struct Frame {
    std::vector<std::uint8_t> bytes;
    bool in_use = false;
  };
  std::deque<Frame> frames_;
  std::deque<std::uint32_t> arrived_;
  std::vector<std::vector<std::uint8_t>> staged_;
  std::size_t staged_count_ = 0;
  std::uint64_t next_turn_ns_ = UINT64_MAX;
  std::uint64_t turn_generation_ = 0;
  const Plan* opening_ = nullptr;
  bool work_left_ = false;
  std::size_t poke_bytes_ = 0;
  bool poke_due_ = false;
  std::uint64_t program_wants_ns_ = UINT64_MAX;
};

}  // namespace tandem::sim
