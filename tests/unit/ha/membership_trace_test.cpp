// SPDX-License-Identifier: BSD-3-Clause
//
// Membership, driven through the traces of the model that its rules come from (tests/model/two_boxes.pml). A trace of the model as it
// is (REACH_*) must be possible to its end. The counterexample of a mutant, a model with a rule left out, must not be: either an
// event of it is refused, or it does not break what it breaks there.
#include "members/membership.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace tandem::ha {
namespace {

constexpr std::uint64_t kTick_ns = 1'000'000;
constexpr LeaseTimes kTimes{2 * kTick_ns, kTick_ns};  // LEASE and SKEW of the model
using Outcome = Membership::Outcome;
using Role = Membership::Role;

/// A box: the log's incarnation on it, if it runs, and what an observer knows of it.
struct Box {
  std::optional<Membership> node;
  std::set<MemberId> former;       ///< earlier incarnations
  std::vector<std::uint64_t> log;  ///< the epoch that wrote each transaction
  std::uint64_t now_ns = 100 * kTick_ns;
  std::uint64_t cleared = 0;
  bool outsider = true;  ///< not in sync
  bool up = true;
};

struct Question {
  std::uint64_t session, asked_ns;
};

/// Two boxes, their network, and the arbiter; and what the peer was told.
class World {
 public:
  World() {
    renew(0);
    renew(1);
    request(0, boxes_[0].node->start_anew({}));
    swap_wins(0, SwapKind::fresh);
    REQUIRE(read_register(0) == Outcome::started_anew);
    boxes_[0].outsider = false;
    epochs_used_.insert(1);
    base_ = register_.revision;
  }

  /// Takes one step of a trace. False: the code, or the arbiter's comparing of revisions, does not allow it.
  bool take(const std::string& event) {
    static const std::regex of_box(R"(box (\d) \(epoch \d+\) (.*))");
    static const std::regex asks(R"(box (\d) asks the arbiter: (\w+), knowing version (\d+))");
    static const std::regex wins(R"(arbiter: (\w+) by box (\d) wins: .*)");
    std::smatch words;
    bool taken = false;
    if (std::regex_match(event, words, of_box)) {
      taken = step(static_cast<std::size_t>(std::stoul(words[1])), words[2]);
    } else if (std::regex_match(event, words, asks)) {
      taken = ask(static_cast<std::size_t>(std::stoul(words[1])), kind_of(words[2]), std::stoull(words[3]));
    } else if (std::regex_match(event, words, wins)) {
      taken = swap_wins(static_cast<std::size_t>(std::stoul(words[2])), kind_of(words[1]));
    } else if (event == "-- tick") {
      for (Box& box : boxes_) box.now_ns += kTick_ns;
      taken = true;
    } else if (event == "-- tick, missed by the primary's clock") {
      for (Box& box : boxes_) box.now_ns += box.node && box.node->role() == Role::primary ? 0 : kTick_ns;
      taken = true;
    } else {
      FAIL("an event that this test does not know: " << event);
    }
    CHECK_FALSE((may_speak(0) && may_speak(1)));  // one_speaker
    return taken;
  }

 private:
  static SwapKind kind_of(const std::string& word) {
    static const std::map<std::string, SwapKind> kinds{
        {"add", SwapKind::add}, {"remove", SwapKind::remove}, {"take", SwapKind::take}, {"fresh", SwapKind::fresh}};
    return kinds.at(word);
  }

  bool may_speak(std::size_t me) const { return boxes_[me].node && boxes_[me].node->may_speak(boxes_[me].now_ns); }

  /// The box's log begins anew, under a new id.
  void renew(std::size_t me) {
    Box& box = boxes_[me];
    if (box.node) box.former.insert(box.node->self());
    box.node.emplace(++last_id_, kTimes);
    box.log.clear();
    box.cleared = 0;
    box.outsider = true;
  }

  void crash(std::size_t me) {
    Box& box = boxes_[me];
    box.former.insert(box.node->self());
    box.node.reset();
    box.log.clear();
    box.up = false;
    box.outsider = true;
  }

  Outcome read_register(std::size_t me) { return boxes_[me].node->register_seen(register_); }

  bool request(std::size_t me, const std::optional<Swap>& swap) {
    if (swap) requests_[me].push_back(*swap);
    return swap.has_value();
  }

  bool ask(std::size_t me, SwapKind kind, std::uint64_t version) {
    Box& box = boxes_[me];
    const MemberId other = boxes_[1 - me].node ? boxes_[1 - me].node->self() : last_other_;
    if (!box.node) return false;
    // A trace says of which version its box knows; the code is shown no other.
    if (base_ + version == register_.revision) read_register(me);
    switch (kind) {
      case SwapKind::add: {
        const bool asked = request(me, box.node->register_member(other));
        if (asked) boxes_[1 - me].outsider = false;
        return asked;
      }
      case SwapKind::remove:
        return request(me, box.node->remove_member(twin_, "silent"));
      case SwapKind::take:
        return request(me, box.node->take(box.now_ns));
      default:
        return request(me, box.node->start_anew({box.former.begin(), box.former.end()}));
    }
  }

  /// The arbiter compares the revision and nothing else.
  bool swap_wins(std::size_t me, SwapKind kind) {
    for (const Swap& swap : requests_[me]) {
      if (swap.value.kind != kind || swap.expected != register_.revision) continue;
      const std::uint64_t revision = register_.revision + 1;
      register_ = swap.value;
      register_.revision = revision;
      return true;
    }
    return false;
  }

  void check_told(const Box& box) const {
    CHECK(box.log.size() >= told_.size());  // nothing_acknowledged_lost
    for (std::size_t i = 0; i < std::min(told_.size(), box.log.size()); ++i) CHECK(box.log[i] == told_[i]);
  }

  void promoted(Box& box) {
    CHECK_FALSE(box.outsider);                             // removed_never_promoted
    CHECK(epochs_used_.insert(box.node->epoch()).second);  // epoch_never_reused
    check_told(box);
  }

  bool release(Box& box) {
    for (std::size_t i = 0; i < box.cleared; ++i) {
      if (i < told_.size())
        CHECK(told_[i] == box.log[i]);  // one_content_a_position
      else
        told_.push_back(box.log[i]);
    }
    for (const Box& other : boxes_) {
      if (other.node && other.node->role() == Role::primary && other.node->epoch() > box.node->epoch())
        check_told(other);
    }
    return true;
  }

  bool step(std::size_t me, const std::string& event) {
    Box& box = boxes_[me];
    Box& other = boxes_[1 - me];
    if (event == "is there again") {
      box.up = true;
      box.node.emplace(++last_id_, kTimes);
      return true;
    }
    if (!box.node) return false;
    Membership& node = *box.node;

    if (event == "publishes a transaction") {
      if (node.role() != Role::primary || node.handing_over()) return false;
      box.log.push_back(node.epoch());
      node.published(box.log.size());
      return true;
    }
    if (event == "clears for release what is committed") {
      const std::uint64_t before = box.cleared;
      box.cleared = node.clear(box.now_ns);
      return box.cleared > before;
    }
    if (event == "releases what was cleared: the peer knows it") return node.role() == Role::primary && release(box);
    if (event == "asks for a lease") {
      question_ = Question{session_, box.now_ns};
      return true;
    }
    if (event == "grants a lease" || event == "grants a lease, asked for a tick ago") {
      if (!question_ || !node.grant_lease(session_, box.now_ns)) return false;
      grant_ = question_;
      return true;
    }
    if (event.starts_with("holds")) return grant_ && node.lease_granted(grant_->session, grant_->asked_ns);
    if (event == "learns what the twin holds") return node.acknowledged(session_, received_[session_]);
    if (event == "takes an acknowledgement of an older session")
      return node.acknowledged(session_ - 1, received_[session_ - 1]);
    if (event == "gets a late joiner") {
      if (!other.up) return false;
      if (!other.node || other.node->role() == Role::over) renew(1 - me);
      last_other_ = twin_ = other.node->self();
      if (!node.joined(twin_, Acknowledgement::received, session_ + 1)) return false;
      ++session_;
      return other.node->attached(node.self(), session_);
    }
    if (event == "gates on the twin") return node.gate_on(twin_);
    if (event == "knows that the twin is registered") {
      read_register(me);
      const Member* const member = node.find(twin_);
      return member != nullptr && member->state == MemberState::member;
    }
    if (event == "knows that the twin is removed") {
      read_register(me);
      other.outsider = true;
      return node.role() == Role::primary && node.find(twin_) == nullptr;
    }
    if (event == "hands over") return node.hand_over(twin_);
    if (event == "steps down") {
      read_register(me);
      const bool over = node.role() == Role::over;
      if (over) renew(me);
      return over;
    }
    if (event == "receives a transaction") {
      if (box.log.size() >= other.log.size()) return false;
      box.log.push_back(other.log[box.log.size()]);
      received_[session_] = box.log.size();
      return node.received(session_, box.log.size());
    }
    if (event == "has won: drains and is promoted") {
      if (read_register(me) != Outcome::promoted) return false;
      promoted(box);
      return true;
    }
    if (event == "has lost: joins again" || event == "may not start anew") {
      if (read_register(me) != Outcome::lost) return false;
      renew(me);
      return true;
    }
    if (event == "has lost its session: joins again") {
      read_register(me);
      if (!node.session_ended()) return false;
      renew(me);
      return true;
    }
    if (event == "is told that the primary has handed over") return node.handed_over(session_, other.log.size());
    if (event == "fences the other box") {
      const MemberId owner = other.node ? other.node->self() : 0;
      crash(1 - me);
      node.fenced(owner);  // of one that it does not follow it has nothing
      return true;
    }
    if (event == "starts anew: the old connections end") {
      if (read_register(me) != Outcome::started_anew) return false;
      told_.clear();
      box.outsider = false;
      promoted(box);
      return true;
    }
    if (event == "crashes") {
      crash(me);
      return true;
    }
    FAIL("an event that this test does not know: " << event);
    return false;
  }

  std::array<Box, 2> boxes_;
  MemberId last_id_ = 0;
  MemberId twin_ = 0, last_other_ = 0;  ///< whose session is the newest
  ArbiterRegister register_;
  std::uint64_t base_ = 0;  ///< the register's revision where a trace begins
  std::array<std::vector<Swap>, 2> requests_;
  std::uint64_t session_ = 0;
  std::map<std::uint64_t, std::uint64_t> received_;
  std::optional<Question> question_, grant_;
  std::vector<std::uint64_t> told_;
  std::set<std::uint64_t> epochs_used_;
};

struct Trace {
  std::string name;
  std::vector<std::string> events;
};

std::vector<Trace> traces() {
  std::ifstream file(TANDEM_SOURCE_DIR "/tests/model/two_boxes.traces");
  REQUIRE(file);
  std::vector<Trace> found;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("== ")) {
      found.push_back({line.substr(3), {}});
    } else if (!line.empty() && !line.starts_with("#") && !line.starts_with("broken: ")) {
      found.back().events.push_back(line);
    }
  }
  return found;
}

TEST_CASE("what the model can reach the code can reach") {
  std::size_t ran = 0;
  for (const Trace& trace : traces()) {
    if (!trace.name.starts_with("REACH_")) continue;
    INFO(trace.name);
    World world;
    for (const std::string& event : trace.events) {
      INFO(event);
      CHECK(world.take(event));
    }
    ++ran;
  }
  CHECK(ran == 9);
}

/// Where a counterexample ends, which tells the rule that ends it. The other mutants' traces are possible to their end, where what
/// they break holds.
const std::map<std::string, std::string> kRefused{
    {"MUTANT_ACK_BEFORE_COMMIT", "box 0 asks the arbiter: add, knowing version 0"},
    {"MUTANT_ACK_OF_OLD_SESSION", "box 0 (epoch 2) takes an acknowledgement of an older session"},
    {"MUTANT_ARBITER_FORGETS", "arbiter: remove by box 0 wins: version 1, epoch 1, owner 0, members 1"},
    {"MUTANT_EPOCH_NOT_CHECKED", "box 0 asks the arbiter: remove, knowing version 2"},
    {"MUTANT_GATE_EARLY", "box 0 (epoch 1) clears for release what is committed"},
    {"MUTANT_GATE_OPENS_BEFORE_REMOVAL", "box 0 (epoch 1) clears for release what is committed"},
    {"MUTANT_GRANT_WHILE_TAKING", "box 1 (epoch 0) grants a lease"},
    {"MUTANT_LEASE_OF_OLD_SESSION", "box 0 (epoch 1) holds a lease"},
    {"MUTANT_NEWCOMER_TAKES_ALL", "box 0 asks the arbiter: fresh, knowing version 1"},
    {"MUTANT_NO_LEASE_WAIT", "box 1 asks the arbiter: take, knowing version 1"},
    {"MUTANT_NO_SKEW_MARGIN", "box 1 asks the arbiter: take, knowing version 1"},
    {"MUTANT_PROMOTE_REMOVED", "box 1 asks the arbiter: take, knowing version 0"},
    {"MUTANT_REGISTERED_BEFORE_GATED", "box 0 asks the arbiter: add, knowing version 0"},
    {"MUTANT_RESTARTED_MEMBER", "box 1 asks the arbiter: take, knowing version 1"},
    {"MUTANT_SWAP_COMPARES_VALUES", "arbiter: add by box 0 wins: version 2, epoch 1, owner 0, members 3"},
};

TEST_CASE("no mutant's counterexample breaks what it breaks in the model") {
  std::map<std::string, std::string> refused;
  std::size_t ran = 0;
  for (const Trace& trace : traces()) {
    if (!trace.name.starts_with("MUTANT_")) continue;
    INFO(trace.name);
    World world;
    for (const std::string& event : trace.events) {
      INFO(event);
      if (world.take(event)) continue;
      refused[trace.name] = event;
      break;
    }
    ++ran;
  }
  CHECK(ran == 23);
  for (const auto& [name, event] : refused) UNSCOPED_INFO(name << " ends at: " << event);
  CHECK(refused == kRefused);
}

}  // namespace
}  // namespace tandem::ha
