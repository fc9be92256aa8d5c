// SPDX-License-Identifier: BSD-3-Clause
#include "members/membership.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tandem::ha {

namespace {

/// Whether outputs wait for what it acknowledges.
bool is_waited_for(const Member& member) {
  const bool acknowledges =
      member.acknowledgement == Acknowledgement::received || member.acknowledgement == Acknowledgement::applied;
  return acknowledges && member.state >= MemberState::gated && member.state <= MemberState::removing;
}

std::vector<MemberId> without(const std::vector<MemberId>& ids, MemberId id) {
  std::vector<MemberId> left;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(left), [id](MemberId item) { return item != id; });
  return left;
}

}  // namespace

Member* Membership::at(MemberId id) {
  const auto found = std::find_if(members_.begin(), members_.end(), [id](const Member& item) { return item.id == id; });
  return found == members_.end() ? nullptr : &*found;
}

Member* Membership::of_session(std::uint64_t session) {
  const auto found =
      std::find_if(members_.begin(), members_.end(), [session](const Member& item) { return item.session == session; });
  return found == members_.end() ? nullptr : &*found;
}

const Member* Membership::find(MemberId id) const { return const_cast<Membership*>(this)->at(id); }

Survives Membership::survives() const {
  Survives result;
  for (const Member& member : members_) {
    if (member.state != MemberState::member) continue;
    (member.acknowledgement == Acknowledgement::shm ? result.process : result.box) = true;
  }
  return result;
}

// ---- any role ----

void Membership::end() {
  role_ = Role::over;
  members_.clear();
  pending_ = SwapKind::none;
  given_to_ = 0;
}

Swap Membership::ask(SwapKind kind, MemberId subject, std::vector<MemberId> members) {
  const bool promotes = kind == SwapKind::take || kind == SwapKind::fresh;
  pending_ = kind;
  subject_ = subject;
  swap_.expected = register_.revision;
  swap_.value = {0, register_.epoch + (promotes ? 1 : 0), self_, std::move(members), self_, kind, ++serial_};
  return swap_;
}

std::optional<Swap> Membership::repeat_swap() const {
  if (pending_ == SwapKind::none) return std::nullopt;
  return swap_;
}

Membership::Outcome Membership::won() {
  const SwapKind kind = std::exchange(pending_, SwapKind::none);
  Member* const member = at(subject_);
  switch (kind) {
    case SwapKind::add:
      if (member == nullptr || member->state != MemberState::registering) return Outcome::nothing;
      member->state = MemberState::member;
      return Outcome::registered;
    case SwapKind::remove:
      if (given_to_ == subject_) given_to_ = 0;
      members_.erase(members_.begin() + (member - members_.data()));
      return Outcome::removed;
    case SwapKind::take:
    case SwapKind::fresh:
      role_ = Role::primary;
      epoch_ = register_.epoch;
      return kind == SwapKind::take ? Outcome::promoted : Outcome::started_anew;
    case SwapKind::none:
      break;
  }
  return Outcome::nothing;
}

Membership::Outcome Membership::register_seen(const ArbiterRegister& seen) {
  // Old news, or an arbiter that has forgotten: what was true once is not believed again.
  if (role_ == Role::over || seen.revision < register_.revision) return Outcome::nothing;
  register_ = seen;
  if (role_ == Role::primary && seen.epoch > epoch_) {
    end();
    return Outcome::stepped_down;
  }
  if (pending_ == SwapKind::none) return Outcome::nothing;
  if (seen.by == self_ && seen.serial == swap_.value.serial) return won();
  if (seen.revision == swap_.expected) return Outcome::nothing;  // it may win yet
  const SwapKind kind = std::exchange(pending_, SwapKind::none);
  if (kind == SwapKind::take || kind == SwapKind::fresh) end();
  return Outcome::lost;
}

// ---- primary ----

void Membership::published(std::uint64_t position) {
  assert(role_ == Role::primary && position >= length_);
  length_ = position;
}

std::uint64_t Membership::committed() const {
  std::uint64_t position = length_;
  for (const Member& member : members_) {
    if (is_waited_for(member)) position = std::min(position, member.position);
  }
  return position;
}

bool Membership::may_speak(std::uint64_t now_ns) const {
  if (role_ != Role::primary || given_to_ != 0) return false;
  return std::all_of(members_.begin(), members_.end(), [now_ns](const Member& member) {
    return !member.leased || member.state == MemberState::stood_down || now_ns < member.lease_end_ns;
  });
}

std::uint64_t Membership::clear(std::uint64_t now_ns) {
  if (may_speak(now_ns)) cleared_ = std::max(cleared_, committed());
  return cleared_;
}

bool Membership::joined(MemberId id, Acknowledgement acknowledgement, std::uint64_t session) {
  if (role_ != Role::primary || at(id) != nullptr || register_.names(id) || session <= newest_session_) return false;
  newest_session_ = session;
  Member member;
  member.id = id;
  member.acknowledgement = acknowledgement;
  member.session = session;
  members_.push_back(std::move(member));
  return true;
}

bool Membership::left(MemberId id) {
  const Member* const member = at(id);
  if (role_ != Role::primary || member == nullptr) return false;
  if (member->acknowledgement != Acknowledgement::shm && member->state != MemberState::joining) return false;
  members_.erase(members_.begin() + (member - members_.data()));
  return true;
}

bool Membership::resumed(MemberId id, std::uint64_t session, std::uint64_t position) {
  Member* const member = at(id);
  if (role_ != Role::primary || member == nullptr || session <= newest_session_ || position < member->position ||
      position > length_ || member->state == MemberState::stood_down)
    return false;
  // Neither a lease nor an acknowledgement of the old session says anything about the new one.
  newest_session_ = member->session = session;
  member->position = position;
  member->lease_end_ns = 0;
  return true;
}

bool Membership::acknowledged(std::uint64_t session, std::uint64_t position) {
  Member* const member = of_session(session);
  if (role_ != Role::primary || member == nullptr || position > length_) return false;
  member->position = std::max(member->position, position);
  return true;
}

bool Membership::gate_on(MemberId id) {
  Member* const member = at(id);
  if (role_ != Role::primary || member == nullptr || member->state != MemberState::joining ||
      member->acknowledgement == Acknowledgement::async)
    return false;
  member->state = MemberState::gated;
  member->gated_at = length_;
  return true;
}

bool Membership::admit(MemberId id) {
  Member* const member = at(id);
  if (role_ != Role::primary || member == nullptr || member->state != MemberState::gated ||
      member->acknowledgement != Acknowledgement::shm)
    return false;
  member->state = MemberState::member;
  return true;
}

std::optional<Swap> Membership::register_member(MemberId id) {
  Member* const member = at(id);
  if (role_ != Role::primary || pending_ != SwapKind::none || given_to_ != 0 || member == nullptr ||
      member->state != MemberState::gated || !is_waited_for(*member) || member->position < member->gated_at)
    return std::nullopt;
  // From before it may be registered: a twin that is told of its registration at once may take over at once.
  member->leased = true;
  member->state = MemberState::registering;
  std::vector<MemberId> members = register_.members;
  members.push_back(id);
  return ask(SwapKind::add, id, std::move(members));
}

std::optional<Swap> Membership::remove_member(MemberId id, std::string_view why) {
  Member* const member = at(id);
  if (role_ != Role::primary || member == nullptr || member->acknowledgement == Acknowledgement::shm ||
      member->state == MemberState::joining)
    return std::nullopt;
  // Other swaps are waited for. Its own add is not: of two requests that compare the same revision one wins.
  const bool own_add = pending_ == SwapKind::add && subject_ == id;
  if (pending_ != SwapKind::none && !own_add) return std::nullopt;
  if (member->state != MemberState::stood_down) member->state = MemberState::removing;
  if (member->why.empty()) member->why = why;
  return ask(SwapKind::remove, id, without(register_.members, id));
}

bool Membership::stood_down(std::uint64_t session) {
  Member* const member = of_session(session);
  if (role_ != Role::primary || member == nullptr || member->acknowledgement == Acknowledgement::shm) return false;
  member->state = MemberState::stood_down;
  return true;
}

bool Membership::lease_granted(std::uint64_t session, std::uint64_t asked_ns) {
  Member* const member = of_session(session);
  if (role_ != Role::primary || given_to_ != 0 || member == nullptr) return false;
  member->lease_end_ns = std::max(member->lease_end_ns, asked_ns + times_.lease_ns);
  return true;
}

bool Membership::hand_over(MemberId id) {
  Member* const member = at(id);
  if (role_ != Role::primary || given_to_ != 0 || pending_ != SwapKind::none || member == nullptr ||
      member->state != MemberState::member || committed() != length_ || cleared_ != length_)
    return false;
  given_to_ = id;
  member->lease_end_ns = 0;
  return true;
}

// ---- twin ----

bool Membership::attached(MemberId owner, std::uint64_t session) {
  const bool anew = role_ == Role::twin && owner == owner_ && session > session_;
  if (role_ != Role::idle && !anew) return false;
  if (pending_ != SwapKind::none) return false;
  role_ = Role::twin;
  owner_ = owner;
  session_ = session;
  return true;
}

bool Membership::received(std::uint64_t session, std::uint64_t position) {
  if ((role_ != Role::twin && role_ != Role::taking) || session != session_ || position < length_) return false;
  length_ = position;
  return true;
}

bool Membership::grant_lease(std::uint64_t session, std::uint64_t now_ns) {
  if (role_ != Role::twin || session != session_) return false;
  wait_until_ns_ = std::max(wait_until_ns_, now_ns + times_.lease_ns + times_.margin_ns);
  return true;
}

bool Membership::handed_over(std::uint64_t session, std::uint64_t position) {
  if (role_ != Role::twin || session != session_ || position != length_) return false;
  wait_until_ns_ = 0;
  return true;
}

bool Membership::fenced(MemberId owner) {
  if (role_ != Role::twin || owner != owner_) return false;
  wait_until_ns_ = 0;
  return true;
}

std::optional<Swap> Membership::take(std::uint64_t now_ns) {
  if (role_ != Role::twin || now_ns < wait_until_ns_ || register_.owner != owner_ || !register_.names(self_))
    return std::nullopt;
  role_ = Role::taking;
  return ask(SwapKind::take, self_, {self_});
}

bool Membership::session_ended() {
  if (role_ != Role::twin || register_.names(self_)) return false;
  end();
  return true;
}

bool Membership::stand_down() {
  if (role_ != Role::twin) return false;
  end();
  return true;
}

// ---- idle ----

std::optional<Swap> Membership::start_anew(const std::vector<MemberId>& gone) {
  if (role_ != Role::idle || pending_ != SwapKind::none) return std::nullopt;
  const bool all_gone = std::all_of(register_.members.begin(), register_.members.end(), [&gone](MemberId id) {
    return std::find(gone.begin(), gone.end(), id) != gone.end();
  });
  if (!all_gone) return std::nullopt;
  return ask(SwapKind::fresh, self_, {self_});
}

}  // namespace tandem::ha
