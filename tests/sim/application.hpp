// SPDX-License-Identifier: BSD-3-Clause
//
// Our side's application: serves exchanges and opens some itself, and keeps a ledger of all that it has met, which travels to the
// twin as notes and to a late joiner as saved state.
#pragma once

#include <cstdint>
#include <set>

#include "hosted.hpp"
#include "tandem/node.hpp"
#include "traffic.hpp"

namespace tandem::sim {

class World;
struct Process;

class Application final : public Hosted {
 public:
  Application(World& world, Process& process) : world_(world), process_(process) {}

  void on_start(Node& node) override;
  void on_primary(Node& node, bool takeover) override;
  std::uint64_t on_turn(Node& node, std::uint64_t now_ns) override;
  void on_note(Node& node, Bytes bytes) override;
  bool save(Node& node, std::uint64_t& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece) override;
  bool restore(Node& node, Bytes bytes) override;

  [[nodiscard]] Exchange::View view(const Handler& handler) const override;
  [[nodiscard]] std::vector<std::uint64_t> state() const override;
  [[nodiscard]] std::string difference(const std::vector<std::uint64_t>& primary,
                                       const std::vector<std::uint64_t>& twin) const override;

 private:
  void note_new(Node& node);

  World& world_;
  Process& process_;
  std::set<std::uint32_t> ledger_;
  const Plan* opening_ = nullptr;
  std::uint64_t next_poke_ns_ = 0;
};

}  // namespace tandem::sim
