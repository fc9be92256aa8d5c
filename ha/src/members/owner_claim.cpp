// SPDX-License-Identifier: BSD-3-Clause
#include "members/owner_claim.hpp"

#include "members/robust_list.hpp"

namespace tandem::ha {
namespace {

/// The word first: whoever a bell wakes looks at it.
void set_all(OwnerSlot& slot, std::uint32_t value) {
  slot.life.word.store(value, std::memory_order_release);
  wake_word(slot.life.word);
  for (LifeWord& bell : slot.bells) {
    bell.word.store(value, std::memory_order_release);
    wake_word(bell.word);
  }
}

void enlist_bells(OwnerSlot& slot) {
  for (LifeWord& bell : slot.bells) {
    enlist(bell, [&bell] {
      bell.word.store(own_life_word(), std::memory_order_release);
      return true;
    });
  }
}

void delist_all(OwnerSlot& slot) {
  delist(slot.life);
  for (LifeWord& bell : slot.bells) delist(bell);
}

}  // namespace

void prepare_ownership() { prepare_robust_list(); }

OwnerSlot& claim_ownership(SharedGroup& group, std::uint64_t identity, std::uint32_t number) {
  const std::uint32_t index = (group.owner.load(std::memory_order_relaxed) + 1) % kOwnerSlots;
  OwnerSlot& slot = group.owners[index];
  slot.identity.store(identity, std::memory_order_relaxed);
  slot.number.store(number, std::memory_order_relaxed);
  slot.heartbeat.store(0, std::memory_order_relaxed);
  slot.crashed.store(0, std::memory_order_relaxed);
  slot.frames.store(0, std::memory_order_relaxed);
  for (auto& reached : slot.reached) reached.store(0, std::memory_order_relaxed);
  // The kernel goes through the list from its newest entry on.
  enlist_bells(slot);
  enlist(slot.life, [&slot] {
    slot.life.word.store(own_life_word(), std::memory_order_release);
    return true;
  });
  group.owner.store(index, std::memory_order_release);
  return slot;
}

bool reclaim_ownership(OwnerSlot& slot, std::uint64_t identity) {
  if (slot.identity.load() != identity) return false;
  enlist_bells(slot);
  const bool taken = enlist(slot.life, [&slot] {
    std::uint32_t expected = kOwnerHandedOver;
    return slot.life.word.compare_exchange_strong(expected, own_life_word());
  });
  if (!taken) {
    for (LifeWord& bell : slot.bells) {
      bell.word.store(kOwnerTaken, std::memory_order_release);
      delist(bell);
    }
  }
  return taken;
}

bool take_handed_over(OwnerSlot& slot) {
  std::uint32_t expected = kOwnerHandedOver;
  return slot.life.word.compare_exchange_strong(expected, kOwnerTaken);
}

void hand_over_ownership(OwnerSlot& slot) {
  set_all(slot, kOwnerHandedOver);
  delist_all(slot);
}

void drop_ownership(OwnerSlot& slot) {
  set_all(slot, FUTEX_WAITERS | FUTEX_OWNER_DIED);
  delist_all(slot);
}

void declare_owner_stopped(OwnerSlot& slot) { set_all(slot, FUTEX_WAITERS | FUTEX_OWNER_DIED); }

OwnerFate owner_fate(std::uint32_t word) {
  if ((word & FUTEX_OWNER_DIED) != 0) return OwnerFate::died;
  if (word == kOwnerHandedOver || word == kOwnerTaken) return OwnerFate::handed_over;
  return OwnerFate::alive;
}

bool hold_place(ReaderSlot& slot, std::uint64_t identity) {
  const bool held = enlist(slot.life, [&slot, identity] {
    std::uint32_t expected = 0;
    return slot.identity.load() == identity && slot.life.word.compare_exchange_strong(expected, own_life_word());
  });
  if (held && slot.identity.load() != identity) {
    leave_place(slot);
    return false;
  }
  return held;
}

void leave_place(ReaderSlot& slot) {
  slot.life.word.store(FUTEX_OWNER_DIED, std::memory_order_release);
  delist(slot.life);
}

bool place_is_held(const ReaderSlot& slot) {
  const std::uint32_t word = slot.life.word.load(std::memory_order_acquire);
  return word != 0 && (word & FUTEX_OWNER_DIED) == 0;
}

}  // namespace tandem::ha
