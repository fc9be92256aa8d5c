// SPDX-License-Identifier: BSD-3-Clause
//
// The neighbours at the other end of the wire: they announce, withdraw, announce again with other attributes, keep a record of what
// they said and of what they were told, and judge each message as it comes. They live in the peer's heap.
//
// A prefix that only one neighbour announces has a history: what was said of it, in order. The group may leave some of it out, but what
// it tells others must follow that order: nothing that was never said, nothing twice over from before, no withdrawal of its own.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bgp_run/message.hpp"
#include "bgp_run/plan.hpp"
#include "peer_program.hpp"
#include "prng.hpp"
#include "tandem/stack.hpp"

namespace tandem::sim {

class Kernel;

class BgpPeer final : public PeerProgram {
 public:
  struct Script {
    std::uint64_t seed = 0;
    std::uint64_t begin_ns = 0;  ///< nobody connects before
    std::uint32_t changes = 0;   ///< how often routes change
    std::uint64_t every_ns = 0;  ///< about so often
    bool restarts = false;       ///< sessions are ended by neighbours now and then
  };
  BgpPeer(Kernel& kernel, const BgpPlan& plan, const Script& script);

  // ---- PeerProgram ----
  void set_up(Stack& stack) override;
  std::uint64_t on_turn(Stack& stack, std::uint64_t now_ns) override;
  void on_poke(Stack& stack) override;

  // ---- For World; none of them allocates in the peer's heap ----
  /// The connections may end now, and so may those that are made until this is called again.
  void may_break(bool also_new_ones);
  /// Sessions end from now on because everything does.
  void finish() { finishing_ = true; }
  /// What is left of the script happens at once.
  void hurry() { hurries_ = true; }
  /// This neighbour is not heard of any more: the group must notice.
  void fall_silent(std::size_t neighbour);
  /// The group has ended the session of the neighbour that fell silent.
  [[nodiscard]] bool was_noticed(std::size_t neighbour) const { return neighbours_[neighbour].noticed; }
  /// Some session has ended, or may.
  [[nodiscard]] bool has_broken() const { return has_broken_; }
  /// Everything is said and acknowledged, and every neighbour was told what it ought to be.
  /// For so long nothing new has been said, either way.
  [[nodiscard]] bool is_settled(std::uint64_t quiet_ns);
  /// What is wrong with sessions or with what was told, whether everything has been said and acknowledged or not; empty: nothing.
  [[nodiscard]] std::string amiss() const;
  /// What is missing to a settled state, in words.
  [[nodiscard]] std::string unsettled() const;

  using Routes = std::map<IpPrefix, BgpRoute>;
  [[nodiscard]] const Routes& announced(std::size_t neighbour) const { return neighbours_[neighbour].announced; }
  [[nodiscard]] const Routes& told(std::size_t neighbour) const { return neighbours_[neighbour].told; }
  [[nodiscard]] bool is_established(std::size_t neighbour) const {
    return neighbours_[neighbour].state == State::established;
  }
  [[nodiscard]] std::uint64_t messages() const { return messages_; }

 private:
  class Session;
  enum class State : std::uint8_t { idle, connecting, open_sent, open_confirm, established };
  struct Neighbour {
    State state = State::idle;
    Connection* connection = nullptr;
    bool may_break = false;
    bool restarts = false;  ///< it has ended a session, and its next attempt may meet the end of that
    bool lost = false;      ///< it was made with a group that is lost
    bool silent = false, noticed = false;
    Routes announced;
    Routes told;
    std::deque<std::string> outgoing;
    std::uint64_t connect_at_ns = UINT64_MAX;
    std::uint64_t keepalive_at_ns = UINT64_MAX;
    std::uint64_t hold_until_ns = UINT64_MAX;
  };
  struct History {
    std::size_t owner = 0;
    std::vector<std::optional<BgpRoute>> versions = {std::nullopt};
    std::array<std::size_t, 3> told{};  ///< which of them each neighbour has heard last
  };

  void wrong(const char* rule, std::size_t neighbour, const std::string& text);
  void happens();
  void connect(std::size_t index);
  void restart_some();
  void connected(std::size_t index, Connection& connection);
  void gone(std::size_t index, Connection& connection, const char* how);
  std::size_t take(std::size_t index, Connection& connection, Bytes unread, bool all);
  void take_message(std::size_t index, Bytes message);
  void take_update(std::size_t index, const BgpUpdate& update);
  void judge(std::size_t index, const IpPrefix& prefix, const BgpRoute* route);
  void establish(std::size_t index);
  void say(std::size_t index, std::string message);
  void pump(std::size_t index);
  void give_up(std::size_t index);
  void change();
  void announce(std::size_t index, const BgpUpdate& update);
  void remember(std::size_t index, const IpPrefix& prefix, const BgpRoute* route);
  [[nodiscard]] std::string unsaid() const;
  [[nodiscard]] std::string mistold() const;
  [[nodiscard]] Routes expected(std::size_t to) const;
  [[nodiscard]] std::string name(std::size_t index) const;

  Kernel& kernel_;
  const BgpPlan& plan_;
  Script script_;
  Prng prng_;
  Stack* stack_ = nullptr;
  std::vector<Neighbour> neighbours_;
  std::map<IpPrefix, History> histories_;
  std::size_t opening_ = 0;
  std::uint64_t change_at_ns_ = UINT64_MAX;
  std::uint64_t lost_at_ns_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t happened_at_ns_ = 0;
  std::uint64_t happened_ = 1, judged_at_ = 0;
  bool told_right_ = false;
  bool reading_ = false;
  bool finishing_ = false;
  bool hurries_ = false;
  bool new_ones_may_break_ = false;
  bool has_broken_ = false;
};

}  // namespace tandem::sim
