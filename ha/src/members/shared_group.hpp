// SPDX-License-Identifier: BSD-3-Clause
//
// The words that primary and twin of one chassis share, beside the log's bytes and the wire. One cache line for each thing
// that is written by one side and read by the other.
#pragma once

#include <linux/futex.h>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tandem/device.hpp"

namespace tandem::ha {

inline constexpr std::size_t kMaxReaders = 4;
inline constexpr std::size_t kOwnerSlots = 4;

/// Where a reader of the log stands in its life. Only these steps are taken:
///   free -> joining (primary, at attach) -> member (primary, when the snapshot is committed)
///   joining, member -> ineligible (primary, before the gate opens without it; or the twin itself, which cannot follow)
///   ineligible -> free or joining (primary, when its process has gone or attaches anew)
///   member -> promoted (the twin itself, before the fence) -> free (after the takeover)
enum class ReaderState : std::uint32_t { free = 0, joining = 1, member = 2, ineligible = 3, promoted = 4 };

/// A word that one thread holds for as long as it lives, in its robust list (set_robust_list(2)): the kernel sets FUTEX_OWNER_DIED
/// in it and wakes one waiter when that thread is gone. The list is the one that the C library keeps for robust mutexes, so
/// word and pointers lie as in one of its (64-bit) mutexes, which static_asserts in robust_list.cpp check. The pointers are the
/// holder's own addresses; others never follow them. The kernel compares the thread id only with the one whose list it goes
/// through, so that equal ids in two pid namespaces do no harm.
struct alignas(64) LifeWord {
  std::atomic<std::uint32_t> word;  ///< thread id in the holder's own namespace, with FUTEX_WAITERS
  std::uint32_t zero[5];
  struct Node {
    void** previous;
    void* next;
  } node;
};

/// Whether the primary can be ended by this reader when it hangs; found out when it attaches.
enum class Fencing : std::uint32_t { unknown = 0, possible = 1, other_namespace = 2, not_permitted = 3 };

/// `identity` tells processes from one another, here and in owner slots: random, drawn by each node. Numbers of processes do not:
/// they mean something in one pid namespace only, are used again, and stand here to be shown.
struct alignas(64) ReaderSlot {
  std::atomic<std::uint64_t> position;  ///< applied up to here; written by the reader
  std::atomic<ReaderState> state;       ///< eligibility word (design.md section 3)
  std::atomic<std::uint32_t> number;    ///< of the process, as the primary that took it in sees it
  std::atomic<std::uint64_t> identity;
  std::atomic<Fencing> fencing;  ///< written by the reader
  /// What applying a byte takes the reader, picoseconds; written by it. 0 = not measured yet, or a reader that does not tell.
  std::atomic<std::uint32_t> apply_ps;
  LifeWord life;  ///< held by the reader from its attach on: a slot is given to nobody else while its holder lives
};

/// Values of OwnerSlot's word beside "thread id, with FUTEX_WAITERS".
inline constexpr std::uint32_t kOwnerHandedOver = FUTEX_WAITERS;  ///< no thread id: given away in a planned switchover
inline constexpr std::uint32_t kOwnerTaken = 0;  ///< the twin has taken what was given away: it is not to be had back

/// A thread's claim to the rings. `life` decides. A wake-up reaches one waiter, which may be a twin that was removed and stands
/// still, so each reader waits on a bell of its own; bells are marked after the word.
struct alignas(64) OwnerSlot {
  LifeWord life;
  std::array<LifeWord, kMaxReaders> bells;
  alignas(64) std::atomic<std::uint64_t> heartbeat;  ///< moves at least every quarter of the detection time
  std::atomic<std::uint64_t> identity;
  std::atomic<std::uint32_t> number;  ///< of the process, as it sees itself
  /// The fatal signal that its own thread has brought about; 0: none, or one that somebody sent.
  std::atomic<std::uint32_t> crashed;
  /// What of the frames is being processed whose transaction is not published (frames_at_work.hpp); 0: nothing.
  std::atomic<std::uint64_t> frames;
  /// Of each source of frames, how far that turn has come in it; 0: it had none of it.
  std::array<std::atomic<std::uint64_t>, kFrameSources> reached;
};

/// A frame that has ended owners (deadly_frames.hpp).
struct DeadlyFrame {
  std::atomic<std::uint64_t> key;  ///< FrameIdentity's; 0 = free
  std::atomic<std::uint32_t> deaths;
  std::atomic<std::uint32_t> hangs;
  std::atomic<std::uint32_t> drops;  ///< since the last of them
};
inline constexpr std::size_t kDeadlyFrames = 2;

enum class TakeoverCause : std::uint64_t { none = 0, died = 1, hung = 2, switchover = 3 };

/// CLOCK_MONOTONIC in nanoseconds; 0 = did not happen (yet).
struct TakeoverTimes {
  TakeoverCause cause;
  std::uint64_t noticed, fenced, drained, adopted, promoted, first_packet, peer_answered;
  std::uint64_t lag_bytes;        ///< of the log, that were not applied when the end was noticed
  std::uint64_t adopted_packets;  ///< committed by the predecessor, handed to the kernel by the adopter
  std::uint64_t position;         ///< of the log
};

struct SharedGroup {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t bytes;  ///< sizeof(SharedGroup)
  std::uint64_t log_bytes;
  std::atomic<std::uint64_t> epoch;      ///< grows by one with each promotion
  std::atomic<std::uint64_t> takeovers;  ///< of the group
  std::atomic<std::uint32_t> owner;      ///< index of the slot in force
  /// Owners in a row that died by their own fault while no frame was dealt with.
  std::atomic<std::uint32_t> futile_takeovers;
  std::atomic<std::uint32_t> shut_down;  ///< not 0: the group ends, nobody is to take over or to be started again
  std::atomic<std::uint32_t> capturing;  ///< not 0: an operator captures packets, and the primary's process does that
  TakeoverTimes last_takeover;
  std::array<DeadlyFrame, kDeadlyFrames> deadly;
  std::atomic<std::uint32_t> futile_rx_index;        ///< frames dealt with when the last of them died, of all queues
  alignas(64) std::atomic<std::uint64_t> published;  ///< the log up to here is whole transactions
  std::array<ReaderSlot, kMaxReaders> readers;
  std::array<OwnerSlot, kOwnerSlots> owners;
};

inline constexpr std::uint64_t kGroupMagic = 0x31706772476d6474;  // "tdmGrgp1"
/// Also raised when what the words mean changes: 2 since a hand-over is taken by comparing and swapping (kOwnerTaken), 3 since
/// processes are told from one another by an identity, 5 since the frames that an owner deals with stand in its slot, 6 since they are
/// named by where they came in, and hangs are counted.
inline constexpr std::uint32_t kGroupLayoutVersion = 6;
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace tandem::ha
