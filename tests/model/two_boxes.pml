// SPDX-License-Identifier: BSD-3-Clause
//
// Two boxes, an arbiter, and a network that loses, repeats, reorders and delays (design.md sections 3 and 6). docs/model.md ties
// the names to the code. `tests/model/check` explores every state within the bounds below; each MUTANT_* breaks one rule and must
// be refuted, each REACH_* names something that must be able to happen.
//
// How the network is modelled. A message is a fact that stays: once sent it may be delivered at any later time, any number of
// times, before or behind others, or never. So loss, repetition, reordering and delay need no steps of their own. The stream
// between the boxes is TCP: in order, and it ends with its session.
//
// How time is modelled. A tick is a step of the world that may come between any two others, so a node that takes no step while
// ticks go by is one that is paused, or slow. A primary's clock may miss ticks against the twin's, within SKEW.

#define LEASE 2           // ticks, by the primary's clock, counted from before it asked
#define SKEW 1            // ticks that the primary's clock may lose against the twin's within one lease
#define WAIT (LEASE + SKEW) // what the twin waits, by its own clock, counted from its grant
#ifndef POSITIONS
#define POSITIONS 2       // transactions in a log
#endif
#ifndef EPOCHS
#define EPOCHS 3
#endif
#ifndef VERSIONS
#define VERSIONS 5        // successful swaps at the arbiter
#endif
#ifndef SESSIONS
#define SESSIONS 2        // replication connections, one behind the other
#endif
#ifdef REACH_SWITCHOVER
#define CRASHES 0         // That it goes by itself is the point, and is found sooner so.
#endif
#ifndef CRASHES
#define CRASHES 2         // of nodes, fenced ones counted
#endif

#ifdef MUTANT_NO_SKEW_MARGIN
#undef WAIT
#define WAIT LEASE
#endif

#if defined(MUTANT_SWAP_COMPARES_VALUES) || defined(MUTANT_EPOCH_NOT_CHECKED)
#define LATE_SWAPS_MATTER
#endif

#define other (1 - me)
#define bit(n) (1 << (n))
#define event(text) printf("box %d (epoch %d) ", me, node[me].epoch); printf(text); printf("\n")

mtype = { down, idle, twin, taking, primary };        // roles
mtype = { none, add, remove, take, fresh };           // swaps at the arbiter

typedef Node {
  mtype role;
  byte epoch;              // primary: under which it speaks
  byte session;            // replication connection, 0 = none
  byte length;             // log positions that it holds (twin: that its kernel has received)
  byte writer[POSITIONS];  // the epoch that wrote each: two epochs' transactions at one position differ
  byte acked;              // primary: what the twin is known to hold
  byte cleared;            // primary: decided to release up to here; a paused one does it late
  bool gated;              // primary: the gate waits for the twin
  bool leased;             // primary: speaks only under the twin's lease
  bool giving;             // primary: hands over, speaks no more
  byte lease;              // primary: ticks left of it
  byte wait;               // twin: ticks until every lease that it granted has ended
  mtype pending;           // its swap that has not been answered yet ...
  byte version;            // ... and the version that this one expects; else the one known last
#ifdef MUTANT_NO_DRAIN
  byte applied;            // twin: of what its kernel has received
#endif
};
Node node[2];

// The arbiter's register. It survives the arbiter's own crashes; an arbiter that is down is one that takes no step.
typedef Register {
  byte version;            // grows with every swap
  byte epoch;              // grows with every promotion
  byte owner;              // who was promoted last
  byte members;            // bit per node
  byte by;                 // who swapped last ...
  mtype kind;              // ... and what
};
Register reg;
byte requests[10];         // on their way, by node and kind; bit per key (below)

// Messages between the nodes.
byte next_session = 1;
byte received[SESSIONS + 1]; // by session: what the twin's box has acknowledged, cumulatively
byte asks;                 // bit a: a lease was asked for, a ticks ago by the primary's clock
byte grants[2];            // by session's parity: granted, for an ask of that age

byte crashes;
byte rest;                 // ticks until the primary's clock may miss one again

// Ghosts: what the outside has seen.
byte told;                 // positions that the peer knows of
byte told_writer[POSITIONS];
byte begun = 1;            // the epoch in which the connections of now began: older ones ended openly, with a reset
bool outsider[2];           // not in sync: it never was in this life, or a gate has opened without it since
byte epochs_used;
bool handed_over, stale_emission, fenced_one;

// What must hold. An assertion's text names the property.
bool one_speaker = true;
bool nothing_acknowledged_lost = true;
bool one_content_a_position = true;
bool removed_never_promoted = true;
bool epoch_never_reused = true;
bool not_reached = true;

#define request_index(n, k) ((n) * 5 + ((k) == add -> 1 : ((k) == remove -> 2 : ((k) == take -> 3 : ((k) == fresh -> 4 : 0)))))

// A request names the register as its sender knew it. The version says it exactly; the values alone do not.
#ifdef MUTANT_SWAP_COMPARES_VALUES
#define KEY_OF_VERSION reg.epoch
#define KEY_NOW reg.epoch
#else
#define KEY_OF_VERSION node[me].version
#define KEY_NOW reg.version
#endif

#define may_speak(n) (node[n].role == primary && !node[n].giving && (!node[n].leased || node[n].lease > 0))
#ifdef MUTANT_GATE_EARLY
#define committed(n) node[n].length
#else
#define committed(n) (node[n].gated -> node[n].acked : node[n].length)
#endif

inline check_speakers() { one_speaker = !(may_speak(0) && may_speak(1)); assert(one_speaker); }

// The node that the newest promotion made primary knows all that the peer was told, as it was told.
inline check_told(n) {
  nothing_acknowledged_lost = node[n].length >= told;
  assert(nothing_acknowledged_lost);
  i = 0;
  do
  :: i < told -> one_content_a_position = (node[n].writer[i] == told_writer[i]); assert(one_content_a_position); i++
  :: else -> break
  od;
  i = 0;
}

// A grant serves only the life and the session of the primary that asked for it. Those that nobody can use any more need not
// be told apart: to drop them is to lose them.
inline drop_grants() {
#ifndef MUTANT_LEASE_OF_OLD_SESSION
  grants[0] = 0; grants[1] = 0
#else
  skip
#endif
}

inline forget(n) {
  node[n].epoch = 0; node[n].session = 0; node[n].length = 0; node[n].acked = 0; node[n].cleared = 0;
  node[n].gated = false; node[n].leased = false; node[n].giving = false; node[n].lease = 0; node[n].wait = 0;
  node[n].pending = none; node[n].version = 0; outsider[n] = true;
#ifdef MUTANT_NO_DRAIN
  node[n].applied = 0;
#endif
  i = 0;
  do
  :: i < POSITIONS -> node[n].writer[i] = 0; i++
  :: else -> break
  od;
  i = 0;
}

inline crash(n) {
  if
  :: node[n].role == primary -> drop_grants()
  :: else
  fi;
  forget(n); node[n].role = down; crashes++
}

inline send_swap(k) {
  printf("box %d asks the arbiter: %e, knowing version %d\n", me, k, node[me].version); node[me].pending = k;
  requests[request_index(me, k)] = requests[request_index(me, k)] | bit(KEY_OF_VERSION);
}

#define won(k) (node[me].pending == k && reg.version == node[me].version + 1 && reg.by == me && reg.kind == k)
// The register has gone on, and not by this node's swap.
#define lost(k) (node[me].pending == k && reg.version > node[me].version && !(reg.version == node[me].version + 1 && reg.by == me && reg.kind == k))

inline promote() {
  removed_never_promoted = !outsider[me];
  assert(removed_never_promoted);
  epoch_never_reused = !(epochs_used & bit(node[me].epoch));
  assert(epoch_never_reused);
  epochs_used = epochs_used | bit(node[me].epoch);
  node[me].role = primary; node[me].session = 0; node[me].acked = 0; node[me].wait = 0; node[me].pending = none;
  node[me].version = reg.version;
  check_told(me);
  check_speakers();
}

proctype box(byte me) {
  byte i;
  do
  // ---- Primary ----

  // A turn publishes a transaction. Without a lease too: it is the outputs that are held.
  :: d_step { node[me].role == primary && !node[me].giving && node[me].length < POSITIONS -> event("publishes a transaction");
       node[me].writer[node[me].length] = node[me].epoch; node[me].length++ }

  // The gate decides: committed, and this node may speak.
  :: d_step { may_speak(me) && node[me].cleared < committed(me) -> event("clears for release what is committed"); node[me].cleared = committed(me) }

  // What was cleared reaches the outside, perhaps long behind the decision and no longer under a lease.
  :: d_step { node[me].role == primary && node[me].epoch >= begun &&
              (node[me].cleared > told || (node[me].cleared > 0 && node[me].writer[0] != told_writer[0]) ||
               (node[me].cleared > 1 && node[me].writer[1] != told_writer[1])) -> event("releases what was cleared: the peer knows it");
       i = 0;
       do
       :: i < node[me].cleared ->
            if
            :: i < told -> one_content_a_position = (node[me].writer[i] == told_writer[i]); assert(one_content_a_position)
            :: else -> told_writer[i] = node[me].writer[i]; told++
            fi;
            i++
       :: else -> break
       od;
       i = 0;
       if
       :: node[other].role == primary && node[other].epoch > node[me].epoch -> stale_emission = true; check_told(other)
       :: else
       fi }

  // Leases. Asking and using are separate: an answer counts from when the question was asked.
  :: d_step { node[me].role == primary && node[me].session > 0 && !node[me].giving && !(asks & 1) -> event("asks for a lease"); asks = asks | 1 }
#ifdef MUTANT_LEASE_OF_OLD_SESSION
#define granted (grants[0] | grants[1])
#else
#define granted grants[node[me].session & 1]
#endif
  :: d_step { node[me].role == primary && node[me].session > 0 && !node[me].giving && (granted & 1) && node[me].lease < LEASE -> event("holds a lease");
       node[me].lease = LEASE; check_speakers() }
#ifdef MUTANT_LEASE_FROM_RECEIPT
  :: d_step { node[me].role == primary && node[me].session > 0 && !node[me].giving && (granted & 2) && node[me].lease < LEASE -> event("holds a lease, counted from its arrival");
       node[me].lease = LEASE; check_speakers() }
#else
  :: d_step { node[me].role == primary && node[me].session > 0 && !node[me].giving && (granted & 2) && node[me].lease < LEASE - 1 -> event("holds what is left of a lease");
       node[me].lease = LEASE - 1; check_speakers() }
#endif

  // The twin's box has acknowledged bytes of the replication connection.
#ifdef MUTANT_ACK_OF_OLD_SESSION
  :: d_step { node[me].role == primary && node[me].session > 1 && node[me].acked < received[node[me].session - 1] -> event("takes an acknowledgement of an older session");
       node[me].acked = received[node[me].session - 1] }
#endif
  :: d_step { node[me].role == primary && node[me].session > 0 && node[me].acked < received[node[me].session] -> event("learns what the twin holds");
       node[me].acked = received[node[me].session] }

  // A late joiner attaches. Only one that is certainly not a member attaches: a session begins with the register at {me}.
  :: d_step { node[me].role == primary && node[me].session == 0 && node[me].pending == none && node[other].role == idle &&
              node[other].pending == none && next_session <= SESSIONS -> event("gets a late joiner");
       node[me].session = next_session; node[other].session = next_session; node[other].role = twin; node[me].acked = 0;
#ifndef MUTANT_LEASE_SURVIVES_REJOIN
       node[me].lease = 0;
#endif
       drop_grants(); grants[next_session & 1] = 0; asks = 0;
#ifndef MUTANT_ACK_OF_OLD_SESSION
       received[next_session - 1] = 0;
#endif
       next_session++ }

  // It holds everything: from now on the gate waits for it, and only then is it registered. From before it may be registered
  // the primary needs its lease.
#ifndef MUTANT_REGISTERED_BEFORE_GATED
  :: d_step { node[me].role == primary && node[me].session > 0 && !node[me].gated && node[me].acked == node[me].length -> event("gates on the twin");
       node[me].gated = true }
#endif
  :: d_step { node[me].role == primary && node[me].session > 0 && !node[me].leased && node[me].pending == none &&
#ifdef MUTANT_REGISTERED_BEFORE_GATED
              node[me].acked == node[me].length &&
#else
              node[me].gated &&
#endif
              reg.version < VERSIONS ->
       outsider[other] = false;
#ifndef MUTANT_NO_LEASE_ON_ADD
       node[me].leased = true;
#endif
       send_swap(add) }
  :: d_step { node[me].role == primary && won(add) -> event("knows that the twin is registered");
       node[me].pending = none; node[me].version = reg.version; node[me].gated = true; node[me].leased = true }

  // A member that is slow, silent or gone is removed; that may happen at any time. Whether an earlier swap of its own has won
  // is read first. Nothing opens before the removal has won.
  :: d_step { node[me].role == primary && node[me].session > 0 && node[me].gated && reg.version < VERSIONS &&
              (node[me].pending == remove -> lost(remove) : true) &&
#ifdef MUTANT_EPOCH_NOT_CHECKED
              true ->
#else
              reg.owner == me && reg.epoch == node[me].epoch ->
#endif
       node[me].version = reg.version; send_swap(remove);
#ifdef MUTANT_GATE_OPENS_BEFORE_REMOVAL
       node[me].gated = false
#endif
     }
  :: d_step { node[me].role == primary && won(remove) -> event("knows that the twin is removed"); drop_grants();
       node[me].pending = none; node[me].version = reg.version; node[me].session = 0; node[me].acked = 0;
#ifndef MUTANT_LEASE_SURVIVES_REJOIN
       node[me].lease = 0;
#endif
       node[me].gated = false; node[me].leased = false; node[me].giving = false; outsider[other] = true; check_speakers() }

  // Planned switchover: the last transaction is committed, and nothing is said or asked for any more.
  :: d_step { node[me].role == primary && node[me].leased && !node[me].giving && node[me].pending == none &&
              node[me].acked == node[me].length && node[me].cleared == node[me].length -> event("hands over");
#ifndef MUTANT_HANDS_OVER_AND_SPEAKS
       node[me].lease = 0;
#endif
       node[me].giving = true }
#ifdef MUTANT_HANDS_OVER_AND_SPEAKS
  :: d_step { node[me].role == primary && node[me].giving -> node[me].giving = false }
#endif

  // Another was promoted since: the connections are the other's.
  :: d_step { node[me].role == primary && reg.epoch > node[me].epoch -> event("steps down"); drop_grants(); forget(me); node[me].role = idle }

  // ---- Twin ----

  // Its kernel receives in order, and says so. An acknowledgement of TCP's covers what the kernel has, not what was applied.
  :: d_step { (node[me].role == twin || node[me].role == taking) && node[other].role == primary && node[me].session == node[other].session &&
              node[me].length < node[other].length -> event("receives a transaction");
       node[me].writer[node[me].length] = node[other].writer[node[me].length]; node[me].length++;
       received[node[me].session] = node[me].length }
#ifdef MUTANT_ACK_BEFORE_COMMIT
  :: d_step { node[me].role == twin && node[other].role == primary && node[me].session == node[other].session &&
              received[node[me].session] < node[other].length -> received[node[me].session] = node[other].length }
#endif
#ifdef MUTANT_NO_DRAIN
  :: d_step { (node[me].role == twin || node[me].role == taking) && node[me].applied < node[me].length -> node[me].applied++ }
#endif

  // It grants a lease, and none any more once it has asked for the primary's place.
#ifdef MUTANT_GRANT_WHILE_TAKING
#define grants_leases (node[me].role == twin || node[me].role == taking)
#else
#define grants_leases (node[me].role == twin)
#endif
  :: d_step { grants_leases && (asks & 1) -> event("grants a lease"); node[me].wait = WAIT; grants[node[me].session & 1] = grants[node[me].session & 1] | 1 }
  :: d_step { grants_leases && (asks & 2) -> event("grants a lease, asked for a tick ago"); node[me].wait = WAIT; grants[node[me].session & 1] = grants[node[me].session & 1] | 2 }

  // Takeover: every lease it granted has ended, and the register still has it as a member.
  :: d_step { node[me].role == twin && reg.version < VERSIONS && reg.epoch < EPOCHS &&
#ifndef MUTANT_NO_LEASE_WAIT
              node[me].wait == 0 &&
#endif
#ifndef MUTANT_PROMOTE_REMOVED
              (reg.members & bit(me)) &&
#endif
              reg.owner == other ->
       node[me].version = reg.version; node[me].role = taking; send_swap(take) }
  :: d_step { node[me].role == taking && won(take) -> event("has won: drains and is promoted");
#ifdef MUTANT_NO_DRAIN
       node[me].length = node[me].applied;
#endif
       node[me].epoch = reg.epoch; promote() }
  :: d_step { node[me].role == taking && lost(take) -> event("has lost: joins again"); forget(me); node[me].role = idle }
  // The session is over and it is no member: it joins again.
  :: d_step { node[me].role == twin && !(reg.members & bit(me)) && !(node[other].role == primary && node[other].session == node[me].session) -> event("has lost its session: joins again");
       forget(me); node[me].role = idle }

  // The last words of a primary that hands over stand behind all of its log.
  :: d_step { node[me].role == twin && node[other].role == primary && node[other].giving && node[me].session == node[other].session &&
              node[me].length == node[other].length && node[me].wait > 0 -> event("is told that the primary has handed over"); node[me].wait = 0; handed_over = true }

  // Fencing the other box stands for waiting until its lease has ended. It does not stand for the swap.
  :: d_step { node[me].role == twin && node[other].role != down && crashes < CRASHES -> event("fences the other box");
       crash(other); fenced_one = true; node[me].wait = 0;
#ifdef MUTANT_FENCE_WITHOUT_SWAP
       if
       :: (reg.members & bit(me)) && reg.owner == other -> node[me].epoch = reg.epoch + 1; promote()
       :: else
       fi
#endif
     }

  // ---- Neither ----

#ifdef MUTANT_RESTARTED_MEMBER
  // A process that came after the member takes the member's place in the register for its own.
  :: d_step { node[me].role == idle && node[me].pending == none && reg.version < VERSIONS && reg.epoch < EPOCHS &&
              (reg.members & bit(me)) && reg.owner == other ->
       node[me].version = reg.version; node[me].role = taking; send_swap(take) }
#endif

  // The only member is gone, and its own box starts anew: its connections end, openly.
  :: d_step { node[me].role == idle && node[me].pending == none &&
#ifdef MUTANT_NEWCOMER_TAKES_ALL
              reg.members != bit(other) &&
#else
              reg.members == bit(me) &&
#endif
              reg.owner == me && reg.version < VERSIONS && reg.epoch < EPOCHS ->
       node[me].version = reg.version; send_swap(fresh) }
  :: d_step { node[me].role == idle && won(fresh) -> event("starts anew: the old connections end");
       told = 0; begun = reg.epoch;
       i = 0;
       do
       :: i < POSITIONS -> told_writer[i] = 0; i++
       :: else -> break
       od;
       i = 0;
       node[me].epoch = reg.epoch; outsider[me] = false; promote() }
  :: d_step { node[me].role == idle && lost(fresh) -> event("may not start anew"); node[me].pending = none; node[me].version = 0 }

  // ---- Faults ----
  :: d_step { node[me].role != down && crashes < CRASHES -> event("crashes"); crash(me) }
  :: d_step { node[me].role == down -> event("is there again"); node[me].role = idle }
  od
}

inline apply_swap(n, k) {
  if
  :: k == add -> reg.members = reg.members | bit(1 - n)
  :: k == remove -> reg.members = bit(n)
  :: else ->
       // Whoever starts anew ends all connections: never while a member holds them.
       nothing_acknowledged_lost = !(k == fresh && told > 0 && (reg.members & bit(1 - n)) && node[1 - n].length >= told);
       assert(nothing_acknowledged_lost);
       reg.owner = n; reg.members = bit(n);
#ifndef MUTANT_EPOCH_REUSED
       reg.epoch++
#endif
  fi;
  reg.version++; reg.by = n; reg.kind = k;
  printf("arbiter: %e by box %d wins: version %d, epoch %d, owner %d, members %d\n", k, n, reg.version, reg.epoch, reg.owner, reg.members);
#ifdef LATE_SWAPS_MATTER
  skip
#else
  // None of those on their way can ever win now: to drop them is to lose them.
  i = 0;
  do
  :: i < 10 -> requests[i] = 0; i++
  :: else -> break
  od;
  i = 0
#endif
}

// What a request expects of the register beside its version.
#ifdef MUTANT_EPOCH_NOT_CHECKED
#define asked(n, k) requests[request_index(n, k)] != 0
#else
#define asked(n, k) (requests[request_index(n, k)] & bit(KEY_NOW))
#endif
#ifdef MUTANT_PROMOTE_REMOVED
#define eligible(n) true
#else
#define eligible(n) (reg.members == 3)
#endif

proctype arbiter() {
  byte i;
  do
  :: d_step { reg.version < VERSIONS && asked(0, add) && reg.members == 1 && reg.owner == 0 -> apply_swap(0, add) }
  :: d_step { reg.version < VERSIONS && asked(1, add) && reg.members == 2 && reg.owner == 1 -> apply_swap(1, add) }
#ifdef MUTANT_EPOCH_NOT_CHECKED
  :: d_step { reg.version < VERSIONS && asked(0, remove) -> apply_swap(0, remove) }
  :: d_step { reg.version < VERSIONS && asked(1, remove) -> apply_swap(1, remove) }
#else
  :: d_step { reg.version < VERSIONS && asked(0, remove) && reg.owner == 0 -> apply_swap(0, remove) }
  :: d_step { reg.version < VERSIONS && asked(1, remove) && reg.owner == 1 -> apply_swap(1, remove) }
#endif
  :: d_step { reg.version < VERSIONS && asked(0, take) && eligible(0) && reg.owner == 1 -> apply_swap(0, take) }
  :: d_step { reg.version < VERSIONS && asked(1, take) && eligible(1) && reg.owner == 0 -> apply_swap(1, take) }
  :: d_step { reg.version < VERSIONS && asked(0, fresh) && reg.owner == 0 -> apply_swap(0, fresh) }
  :: d_step { reg.version < VERSIONS && asked(1, fresh) && reg.owner == 1 -> apply_swap(1, fresh) }
#ifdef MUTANT_ARBITER_FORGETS
  // It comes back with what it had at the beginning.
  :: d_step { reg.version > 0 -> reg.version = 0; reg.epoch = 1; reg.owner = 0; reg.members = 1; reg.kind = none; reg.by = 0 }
#endif
  od
}

inline shift(set) { set = (set << 1) & 3 }

#define ticking (node[0].wait || node[1].wait || node[0].lease || node[1].lease || asks || grants[0] || grants[1] || rest)

inline pass_wait() {
  node[0].wait = (node[0].wait > 0 -> node[0].wait - 1 : 0);
  node[1].wait = (node[1].wait > 0 -> node[1].wait - 1 : 0)
}

proctype clock() {
  do
  :: d_step { ticking -> printf("-- tick\n");
       node[0].lease = (node[0].lease > 0 -> node[0].lease - 1 : 0);
       node[1].lease = (node[1].lease > 0 -> node[1].lease - 1 : 0);
       shift(asks); shift(grants[0]); shift(grants[1]);
       rest = (rest > 0 -> rest - 1 : 0);
       pass_wait(); check_speakers() }
  // This one the primary's clock misses.
#ifdef MUTANT_CLOCK_STOPS_WHILE_PAUSED
  :: d_step { ticking -> printf("-- tick\n"); pass_wait(); check_speakers() }
#else
  :: d_step { ticking && rest == 0 -> printf("-- tick, missed by the primary's clock\n"); rest = LEASE; pass_wait(); check_speakers() }
#endif
  od
}

// What must be able to happen, so that the properties do not hold for want of events.
#ifdef REACH_TAKEOVER
#define goal (reg.epoch == 2 && reg.kind == take && told == 1 && node[reg.owner].role == primary)
#endif
#ifdef REACH_NEW_BYTES_BEHIND_A_TAKEOVER
#define goal (reg.epoch == 2 && told == 2 && told_writer[0] == 1 && told_writer[1] == 2)
#endif
#ifdef REACH_REPROTECTION
#define goal (reg.epoch == 2 && reg.owner == 1 && reg.members == 3 && node[1].gated && node[1].lease > 0 && told == 2 && node[1].cleared == 2)
#endif
#ifdef REACH_SECOND_TAKEOVER
#define goal (reg.epoch == 3 && reg.owner == 0 && node[0].role == primary && told == 2 && told_writer[0] == 1)
#endif
#ifdef REACH_REMOVAL_AND_REJOIN
#define goal (reg.epoch == 1 && reg.members == 3 && next_session == 3 && node[0].pending == none && node[0].lease > 0)
#endif
#ifdef REACH_LATE_EMISSION
#define goal (stale_emission)
#endif
#ifdef REACH_SWITCHOVER
#define goal (handed_over && reg.epoch == 2 && node[1].role == primary && crashes == 0)
#endif
#ifdef REACH_FENCED_TAKEOVER
#define goal (fenced_one && reg.epoch == 2 && reg.kind == take && node[1].role == primary && told == 2)
#endif
#ifdef REACH_START_ANEW
#define goal (reg.kind == fresh && node[reg.owner].role == primary && told == 1)
#endif
#ifdef goal
active proctype watch() { atomic { goal -> not_reached = false; assert(not_reached) } }
#endif

init {
  atomic {
    node[0].role = primary; node[0].epoch = 1; node[0].pending = none;
    node[1].role = idle; node[1].pending = none;
    reg.epoch = 1; reg.owner = 0; reg.members = 1; reg.kind = none;
    epochs_used = 2; outsider[1] = true;
    run box(0); run box(1); run arbiter(); run clock()
  }
}
