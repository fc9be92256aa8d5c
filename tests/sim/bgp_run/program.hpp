// SPDX-License-Identifier: BSD-3-Clause
//
// The application of tandem-bgpd in a simulated process, as its main puts it into a node; and what it must have in common with its
// twin's at each transaction: sessions, what each neighbour has announced, what each was told, and the best routes.
#pragma once

#include "bgp_application.hpp"
#include "bgp_run/plan.hpp"
#include "hosted.hpp"

namespace tandem::sim {

class BgpPeer;
class World;
struct Process;

class BgpProgram final : public Hosted {
 public:
  BgpProgram(World& world, Process& process, const BgpPlan& plan);

  // ---- What a node asks: tandem-bgpd answers ----
  void on_start(Node& node) override;
  void on_primary(Node& node, bool takeover) override;
  void on_stop(Node& node) override { real_.on_stop(node); }
  std::uint64_t on_turn(Node& node, std::uint64_t now_ns) override;
  void on_note(Node& node, Bytes bytes) override { real_.on_note(node, bytes); }
  bool save(Node& node, std::uint64_t& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece) override {
    return real_.save(node, cursor, max_bytes, piece);
  }
  bool restore(Node& node, Bytes piece) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> fingerprint() const override {
    return real_.fingerprint();
  }
  bool control(Node& node, std::string_view command, std::uint64_t& cursor, std::string& text) override {
    return real_.control(node, command, cursor, text);
  }
  bool metrics(Node& node, std::uint64_t& cursor, std::string& text) override {
    return real_.metrics(node, cursor, text);
  }

  // ---- Hosted ----
  [[nodiscard]] Exchange::View view(const Handler& handler) const override;
  [[nodiscard]] std::vector<std::uint64_t> state() const override;
  [[nodiscard]] std::string difference(const std::vector<std::uint64_t>& primary,
                                       const std::vector<std::uint64_t>& twin) const override;

  /// At rest: where its tables are not what the neighbours said and heard; empty: nowhere. In the process's own heap.
  [[nodiscard]] std::string wrong_tables(const BgpPeer& peer) const;

 private:
  [[nodiscard]] std::vector<std::uint64_t> read_state() const;
  [[nodiscard]] bgp::Speaker& speaker() const { return const_cast<bgpd::BgpApplication&>(real_).speaker(); }

  World& world_;
  Process& process_;
  const BgpPlan& plan_;
  bgpd::BgpApplication real_;
  Node* node_ = nullptr;
  std::uint64_t restored_ = 0;
  mutable std::vector<std::uint64_t> state_;  ///< as it was read last
  mutable std::uint64_t state_key_ = 0;
};

}  // namespace tandem::sim
