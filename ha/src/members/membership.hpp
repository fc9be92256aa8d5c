// SPDX-License-Identifier: BSD-3-Clause
//
// Who may be promoted, what is committed, and who may speak (design.md sections 3 and 6), as a state machine that does no I/O and
// reads no clock: whoever owns it tells it what has happened and does what it returns. The rules are those of
// tests/model/two_boxes.pml, whose names it uses; tests/unit/ha/membership_trace_test.cpp drives it through the model's traces.
//
//   idle --attached()--> twin --take()--> taking --register_seen()--> primary
//     |                   |                 |                           ^ |
//     |                   |                 | lost        register_seen() | another was promoted since
//     |                   v                 v                           | v
//     |    session_ended() as no member -> over <-----------------------|-+
//     +--start_anew()---------------------------------------------------+
//
// What is over does not come back: its chassis makes a new log, with a new id, and a new one of these (a member that has lost what
// it held must not be promoted in its old name: MUTANT_RESTARTED_MEMBER).
//
// It decides what is allowed, not when to try: for how long a member may be silent, when a lease is asked for again and when a
// twin gives its primary up is its owner's business. What is not allowed is refused (false, or no value) and changes nothing.
//
// Positions are bytes of the log. Times are nanoseconds of a clock that goes on while the machine is suspended (CLOCK_BOOTTIME),
// each node's own; they are never compared between nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "members/arbiter_register.hpp"

namespace tandem::ha {

/// When a twin holds what was published (design.md section 3).
enum class Acknowledgement : std::uint8_t {
  shm,       ///< as soon as it is published: it reads the same memory
  received,  ///< when its box's TCP has acknowledged it
  applied,   ///< when it says that it has applied it
  async,     ///< never waited for, never a member
};

enum class MemberState : std::uint8_t {
  joining,      ///< is given its snapshot; nothing waits for it
  gated,        ///< outputs wait for it; not a member yet
  registering,  ///< the arbiter is asked to register it
  member,       ///< may be promoted
  removing,     ///< the arbiter is asked to remove it; outputs still wait for it
  stood_down,   ///< has said that it will not be promoted; nothing waits for it
};

struct Member {
  MemberId id = 0;
  Acknowledgement acknowledgement = Acknowledgement::shm;
  MemberState state = MemberState::joining;
  /// The arbiter may name it, now or after a swap that is on its way: its lease is needed.
  bool leased = false;
  std::uint64_t session = 0;       ///< replication connection; leases and acknowledgements belong to one
  std::uint64_t position = 0;      ///< of the log, that it is known to hold
  std::uint64_t gated_at = 0;      ///< what may have been released without it; once it holds that it may be registered
  std::uint64_t lease_end_ns = 0;  ///< the owner may speak until then, as far as this member is concerned
  std::string why;                 ///< it is being removed
};

/// What a connection's group would survive now.
struct Survives {
  bool process = false;
  bool box = false;
};

struct LeaseTimes {
  std::uint64_t lease_ns = 0;
  /// What a twin waits longer than the lease: the clocks of two boxes may drift apart by that within a lease.
  std::uint64_t margin_ns = 0;
};

class Membership {
 public:
  enum class Role : std::uint8_t { idle, twin, taking, primary, over };
  /// What an answer of the arbiter has brought about.
  enum class Outcome : std::uint8_t {
    nothing,
    registered,    ///< primary: the twin is a member
    removed,       ///< primary: the twin is none any more, and the gate does not wait for it
    promoted,      ///< twin: drain the replication connection, then speak
    started_anew,  ///< idle: speak; the old connections have ended
    lost,          ///< its swap did not win and never will; a twin or newcomer is over
    stepped_down,  ///< primary: another was promoted since, and the connections are the other's. It is over.
  };

  Membership(MemberId self, LeaseTimes times) : self_(self), times_(times) {}

  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] MemberId self() const { return self_; }
  /// Primary: under which it speaks.
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] const ArbiterRegister& known_register() const { return register_; }
  [[nodiscard]] const std::vector<Member>& members() const { return members_; }
  [[nodiscard]] const Member* find(MemberId id) const;
  /// A swap that has not been answered for certain.
  [[nodiscard]] SwapKind pending() const { return pending_; }
  [[nodiscard]] bool handing_over() const { return given_to_ != 0; }
  [[nodiscard]] Survives survives() const;
  /// Of the log: what it has published, or holds.
  [[nodiscard]] std::uint64_t length() const { return length_; }

  // ---- any role ----

  /// What stands at the arbiter, read or answered; may come late, repeated, or behind a newer one. A swap that was answered
  /// ambiguously is decided here.
  Outcome register_seen(const ArbiterRegister& seen);
  /// What is asked for again when an answer has not come: the same swap, which can win only once.
  [[nodiscard]] std::optional<Swap> repeat_swap() const;

  // ---- primary ----

  /// The log reaches up to here.
  void published(std::uint64_t position);
  /// Every member that outputs wait for holds the log up to here.
  [[nodiscard]] std::uint64_t committed() const;
  /// Whether outputs may leave at `now_ns`: every twin that may be promoted has granted a lease that has not ended.
  [[nodiscard]] bool may_speak(std::uint64_t now_ns) const;
  /// Lets outputs go: up to which position. Never less than before.
  std::uint64_t clear(std::uint64_t now_ns);

  /// A twin attaches, over a replication connection of a number never used before. Not one that the register names: its removal
  /// comes first.
  bool joined(MemberId id, Acknowledgement acknowledgement, std::uint64_t session);
  /// A twin that is no member has gone, or one that reads shared memory. Nothing waits for it any more.
  bool left(MemberId id);
  /// Its session has acknowledged the log up to here, cumulatively.
  bool acknowledged(std::uint64_t session, std::uint64_t position);
  /// The replication connection of a twin broke and is there again, under a number never used before; the twin holds the log up to
  /// `position`. False: that is less than it had acknowledged, and it has to be removed.
  bool resumed(MemberId id, std::uint64_t session, std::uint64_t position);
  /// From now on outputs wait for it.
  bool gate_on(MemberId id);
  /// A twin in shared memory was given all that there is: it is a member, by its eligibility word.
  bool admit(MemberId id);
  /// A remote twin holds all that may have been released without it: the arbiter is to register it.
  std::optional<Swap> register_member(MemberId id);
  /// It is slow, silent or gone. Nothing opens before the removal has won. An add whose answer is open may win before it, and then
  /// it is asked for once more, behind that answer.
  std::optional<Swap> remove_member(MemberId id, std::string_view why);
  /// It has said, over this session, that it will not be promoted: nothing waits for it, whatever the arbiter says. It is still to
  /// be removed there.
  bool stood_down(std::uint64_t session);
  /// It was asked at `asked_ns` (before the question left) and has granted a lease.
  bool lease_granted(std::uint64_t session, std::uint64_t asked_ns);
  /// Everything is committed and was let go: nothing is said any more until this twin's removal has won, or it has taken over.
  bool hand_over(MemberId id);

  // ---- twin ----

  /// Follows `owner` over this session; a twin whose connection broke may do so anew, under another number.
  bool attached(MemberId owner, std::uint64_t session);
  /// Its kernel holds the log up to here.
  bool received(std::uint64_t session, std::uint64_t position);
  /// The owner asks for a lease. True: it is granted, and until its end and a margin this twin will not ask for the owner's place.
  bool grant_lease(std::uint64_t session, std::uint64_t now_ns);
  /// The owner's last words, behind all of its log up to `position`: it says nothing any more.
  bool handed_over(std::uint64_t session, std::uint64_t position);
  /// The owner has been ended. Stands for the end of its lease, never for the swap.
  bool fenced(MemberId owner);
  /// Asks for the owner's place. From now on no lease is granted.
  std::optional<Swap> take(std::uint64_t now_ns);
  /// The replication connection has ended for good, and the register that was read since does not name it: it is over, and joins
  /// under a new id. False: it is, or may be, a member, and may take over.
  bool session_ended();
  /// It will not take over. False: it has asked for that already.
  bool stand_down();

  // ---- idle ----

  /// Makes itself the owner of a group that has none, or whose registered members are all `gone`: known to have restarted, or fenced.
  std::optional<Swap> start_anew(const std::vector<MemberId>& gone);

 private:
  [[nodiscard]] Member* at(MemberId id);
  [[nodiscard]] Member* of_session(std::uint64_t session);
  Swap ask(SwapKind kind, MemberId subject, std::vector<MemberId> members);
  Outcome won();
  void end();
  MemberId self_;
  LeaseTimes times_;
  Role role_ = Role::idle;
  std::uint64_t epoch_ = 0;
  std::uint64_t length_ = 0;     ///< log positions that it holds
  std::uint64_t cleared_ = 0;    ///< primary: decided to release up to here
  MemberId given_to_ = 0;        ///< primary: hands over to
  std::vector<Member> members_;  ///< primary: the twins
  std::uint64_t newest_session_ = 0;
  ArbiterRegister register_;

  // Its own swap.
  SwapKind pending_ = SwapKind::none;
  Swap swap_;
  MemberId subject_ = 0;  ///< whom it adds or removes
  std::uint64_t serial_ = 0;

  // Twin.
  MemberId owner_ = 0;  ///< whom it follows
  std::uint64_t session_ = 0;
  std::uint64_t wait_until_ns_ = 0;  ///< every lease that it granted has ended then
};

}  // namespace tandem::ha
