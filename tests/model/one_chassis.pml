// SPDX-License-Identifier: BSD-3-Clause
//
// One chassis, as it is built: processes that share memory, the log in it, the eligibility word of each reader, and the owner's
// robust futex (design.md sections 3 and 6). docs/model.md ties the names to the code. `tests/model/check` explores every state
// within the bounds below; each MUTANT_* breaks one rule and must be refuted, each REACH_* names something that must be able to
// happen.
//
// Every d_step is one thing that a process does with shared memory; a process may be paused or killed between any two of them.

#define PROCESSES 3
#define SLOTS 2
#ifndef POSITIONS
#define POSITIONS 2       // transactions
#endif
#ifndef EPOCHS
#define EPOCHS 3
#endif
#ifdef REACH_SWITCHOVER
#define KILLS 0           // That it goes by itself is the point, and is found sooner so.
#endif
#ifndef KILLS
#define KILLS 2           // SIGKILL of any process, those that fence counted
#endif
#ifndef JOINS
#define JOINS 3           // attaches
#endif

#define event(text) printf("process %d (epoch %d) ", me, process[me].epoch); printf(text); printf("\n")

mtype = { gone, starting, twin, promoted, drained, primary, handing, reclaiming };  // where a process stands
mtype = { free, joining, member, ineligible, taken };          // ReaderState; `taken` is its `promoted`

typedef Process {
  mtype role;
  byte epoch;              // of the group when it attached or was promoted
  byte slot;               // twin: its ReaderSlot
  byte length;             // positions that it holds
  byte writer[POSITIONS];  // the epoch that wrote each
  bool complete;           // twin: has applied the end of its snapshot
  bool saw_death;          // twin: found the owner's word marked, and has not acted on it yet
  bool saw_given;          // the same, and it was handed over
  bool recording;          // primary: writes the log; off, nobody is waited for
  bool snapshotting;       // primary: brings up a late joiner
  byte session;            // primary: slot + 1 of the twin that it serves, 0 = none
  mtype dropping;          // primary: the state that it found in the word of a twin that it is about to remove
};
Process process[PROCESSES];

// SharedGroup.
byte epoch = 1;
bool owner_gone;           // the word of the slot in force is marked
bool given;                // it is marked as handed over, and the twin has not taken it
byte owner;
byte published;            // what a reader holds that applied everything
byte published_writer[POSITIONS];
byte published_epoch = 1;  // in the newest transaction
mtype state[SLOTS];
byte holder[SLOTS];        // whose slot it is (ReaderSlot::pid)
bool snapshot_ended[SLOTS];

byte kills;
byte joins;

// Ghosts.
byte told;
byte told_writer[POSITIONS];
bool outsider[PROCESSES];  // not in sync: it never was in this life, or the gate has opened without it since
byte epochs_used = 2;
bool hung_fenced, rolled_forward, removed_one, stale_twin_saw_death, taken_back;

bool one_speaker = true;
bool nothing_acknowledged_lost = true;
bool one_content_a_position = true;
bool removed_never_promoted = true;
bool epoch_never_reused = true;
bool only_the_own_slot_is_written = true;
bool not_reached = true;

#define speaks(p) (process[p].role == primary)
inline check_speakers() {
  one_speaker = (speaks(0) + speaks(1) + speaks(2) <= 1);
  assert(one_speaker)
}

inline check_told(p) {
  nothing_acknowledged_lost = process[p].length >= told;
  assert(nothing_acknowledged_lost);
  i = 0;
  do
  :: i < told -> one_content_a_position = (process[p].writer[i] == told_writer[i]); assert(one_content_a_position); i++
  :: else -> break
  od;
  i = 0
}

inline forget(p) {
  process[p].epoch = 0; process[p].slot = 0; process[p].length = 0; process[p].complete = false; process[p].saw_death = false; process[p].saw_given = false;
  process[p].recording = false; process[p].snapshotting = false; process[p].session = 0; process[p].dropping = free;
  outsider[p] = true;
  i = 0;
  do
  :: i < POSITIONS -> process[p].writer[i] = 0; i++
  :: else -> break
  od;
  i = 0
}

inline kill(p) {
  if
  :: owner == p && (process[p].role == primary || process[p].role == reclaiming) -> owner_gone = true
  :: else
  fi;
  forget(p); process[p].role = gone; kills++
}

inline publish() {
  i = 0;
  do
  :: i < POSITIONS -> published_writer[i] = process[me].writer[i]; i++
  :: else -> break
  od;
  i = 0;
  published = process[me].length; published_epoch = process[me].epoch
}

inline serve_nobody() { process[me].session = 0; process[me].recording = false; process[me].snapshotting = false }

// What the twin holds after Replica::apply up to the published position.
inline apply() {
  i = 0;
  do
  :: i < POSITIONS -> process[me].writer[i] = published_writer[i]; i++
  :: else -> break
  od;
  i = 0;
  process[me].length = published
}

#define in_slot(p, s) ((process[p].role == twin || process[p].role == promoted || process[p].role == drained) && process[p].slot == s)
#define served (process[me].session - 1)

// Who holds the group's lock: an open file that is passed to the twin at attach.
#ifdef MUTANT_LOCK_NOT_SHARED
#define holds_lock(p) (process[p].role == primary)
#else
#define holds_lock(p) (process[p].role != gone && process[p].role != starting)
#endif
#define takes_over(p) (process[p].role == promoted || process[p].role == drained)
#define lock_is_free (!holds_lock(0) && !holds_lock(1) && !holds_lock(2))

// A slot may be given to a twin that attaches when nobody can be using it any more.
#ifdef MUTANT_SLOT_OF_A_LIVING_TWIN
#define usable(s) (state[s] == free || state[s] == ineligible)
#else
#define usable(s) (state[s] == free || (state[s] == ineligible && !in_slot(holder[s], s)))
#endif

#ifdef MUTANT_GATE_EARLY
#define committed process[me].length
#else
#define committed (process[me].recording -> published : process[me].length)
#endif

proctype node(byte me) {
  byte i;
  byte s;
  do
  // ---- Primary: one turn is writing, publishing, releasing ----
  :: d_step { process[me].role == primary && process[me].length < POSITIONS -> event("takes a turn");
       process[me].writer[process[me].length] = process[me].epoch; process[me].length++ }
  :: d_step { process[me].role == primary && process[me].recording && !process[me].snapshotting && published < process[me].length ->
       event("publishes the transaction"); publish() }
  :: d_step { process[me].role == primary && committed > told -> event("releases: the peer knows it");
       i = 0;
       do
       :: i < committed ->
            if
            :: i < told -> one_content_a_position = (process[me].writer[i] == told_writer[i]); assert(one_content_a_position)
            :: else -> told_writer[i] = process[me].writer[i]; told++
            fi;
            i++
       :: else -> break
       od;
       i = 0 }

  // ---- Primary: a twin attaches (greet, begin_join, end_join) ----
  :: d_step { process[me].role == primary && process[me].snapshotting && !snapshot_ended[served] && state[served] == joining ->
       event("publishes the end of the snapshot"); publish(); snapshot_ended[served] = true }
  // Everything is published: the joiner may be promoted from here on.
  :: d_step { process[me].role == primary && process[me].snapshotting && snapshot_ended[served] && process[me].dropping == free ->
       process[me].snapshotting = false;
       if
       :: state[served] == joining -> event("makes the twin a member"); state[served] = member; outsider[holder[served]] = false
       :: else
       fi }

  // ---- Primary: a twin is removed (drop_reader): looked at, made ineligible, no longer waited for ----
  :: d_step { process[me].role == primary && process[me].session > 0 && process[me].dropping == free &&
              (state[served] == joining || state[served] == member) ->
       event("is about to remove the twin"); process[me].dropping = state[served];
#ifdef MUTANT_GATE_OPENS_BEFORE_INELIGIBLE
       process[me].recording = false; outsider[holder[served]] = true;
#endif
       removed_one = true }
  :: d_step { process[me].role == primary && (process[me].dropping == joining || process[me].dropping == member) ->
#ifdef MUTANT_DROP_WITHOUT_COMPARING
       event("makes the twin ineligible"); state[served] = ineligible; process[me].dropping = ineligible
#else
       if
       :: state[served] == process[me].dropping ->
            event("makes the twin ineligible"); state[served] = ineligible; process[me].dropping = ineligible
       // It is being promoted, and the fence is on its way: nothing opens.
       :: else -> event("finds that the twin has begun a takeover"); process[me].dropping = free
       fi
#endif
     }
  :: d_step { process[me].role == primary && process[me].dropping == ineligible -> event("goes on without the twin");
       process[me].dropping = free;
       if
       :: in_slot(holder[served], served) -> outsider[holder[served]] = true
       :: else
       fi;
       serve_nobody() }
  // A twin may make itself ineligible: it could not follow.
  :: d_step { process[me].role == primary && process[me].session > 0 && process[me].dropping == free && state[served] == ineligible ->
       event("goes on without a twin that could not follow"); serve_nobody() }
  // A twin that began a takeover and ended before it could fence.
  :: d_step { process[me].role == primary && process[me].session > 0 && process[me].dropping == free && state[served] == taken &&
              !in_slot(holder[served], served) ->
       event("goes on: who would have taken over has gone");
       state[served] = free; serve_nobody() }

  // ---- Planned switchover: the last transaction is published, the claim given up ----
  :: d_step { process[me].role == primary && process[me].session > 0 && process[me].dropping == free && process[me].recording &&
              state[served] == member && epoch < EPOCHS &&
              published == process[me].length ->
       event("hands over"); owner_gone = true; given = true; process[me].role = handing }
  :: d_step { process[me].role == handing && !(given && owner == me) -> event("has handed over"); forget(me); process[me].role = starting }
  // (Each owner has a word of its own, kOwnerSlots of them in turn: `given` is that of `owner`.)
  // The twin has gone or does not move: the word is claimed again, if the twin has not taken it. Then the twin is removed.
#ifdef MUTANT_TAKE_BACK_WITHOUT_COMPARING
  :: d_step { process[me].role == handing && epoch < EPOCHS && owner == me ->
#else
  :: d_step { process[me].role == handing && given && owner == me && epoch < EPOCHS ->
#endif
       event("claims again what it had handed over"); given = false; owner_gone = false; process[me].role = reclaiming }
  :: d_step { process[me].role == reclaiming -> event("makes the twin ineligible and goes on");
       state[served] = ineligible;
       if
       :: in_slot(holder[served], served) -> outsider[holder[served]] = true
       :: else
       fi;
       serve_nobody();
       epoch++;
       epoch_never_reused = !(epochs_used & (1 << epoch));
       assert(epoch_never_reused);
       epochs_used = epochs_used | (1 << epoch);
       process[me].role = primary; process[me].epoch = epoch; taken_back = true;
       check_told(me); check_speakers() }

  // ---- Starting: primary of a new group when the lock is free, else a twin ----
  :: d_step { process[me].role == starting && lock_is_free && epoch < EPOCHS -> event("is the first of a new group");
       // Nobody is left who would speak for the old one's connections.
       one_speaker = !(takes_over(0) || takes_over(1) || takes_over(2));
       assert(one_speaker);
       s = 0;
       do
       :: s < SLOTS -> state[s] = free; holder[s] = 0; snapshot_ended[s] = false; s++
       :: else -> break
       od;
       s = 0;
       i = 0;
       do
       :: i < POSITIONS -> told_writer[i] = 0; published_writer[i] = 0; i++
       :: else -> break
       od;
       i = 0;
       told = 0; published = 0;
       // A new group counts from 1 in memory of its own; here the number goes on, so that groups can be told apart.
       epoch++; published_epoch = epoch; epochs_used = epochs_used | (1 << epoch);
       owner = me; owner_gone = false; given = false;
       process[me].role = primary; process[me].epoch = epoch; outsider[me] = false;
       check_speakers() }
  :: d_step { process[me].role == starting && !owner_gone && process[owner].role == primary && joins < JOINS &&
              process[owner].session == 0 && (usable(0) || usable(1)) ->
       event("attaches");
       if
       :: usable(0) -> s = 0
       :: else -> s = 1
       fi;
       state[s] = joining; holder[s] = me; snapshot_ended[s] = false;
       process[me].role = twin; process[me].slot = s; process[me].epoch = epoch;
       process[owner].session = s + 1; process[owner].recording = true; process[owner].snapshotting = true;
       s = 0;
       joins++ }

  // ---- Twin: looks at the owner's word, then takes what is published ----
  :: d_step { process[me].role == twin && !process[me].saw_death &&
              (owner_gone || epoch != process[me].epoch || process[me].length != published || published_epoch > process[me].epoch ||
               (snapshot_ended[process[me].slot] && !process[me].complete)) ->
       if
       :: published_epoch > process[me].epoch ->
            // The log goes on in another epoch: this twin is not of it. It says so in its slot.
            event("cannot follow the log: it is of another epoch");
            only_the_own_slot_is_written = (holder[process[me].slot] == me);
            assert(only_the_own_slot_is_written);
            state[process[me].slot] = ineligible;
            forget(me); process[me].role = starting
       :: else ->
            process[me].saw_death = owner_gone || epoch != process[me].epoch;
            process[me].saw_given = given;
            apply();
            process[me].complete = snapshot_ended[process[me].slot] && holder[process[me].slot] == me;
            if
            :: process[me].saw_death -> event("finds the owner gone"); stale_twin_saw_death = stale_twin_saw_death || (epoch != process[me].epoch)
            :: else -> event("follows the log")
            fi
       fi }
  :: d_step { process[me].role == twin && !process[me].saw_death && state[process[me].slot] == ineligible && holder[process[me].slot] == me ->
       event("was removed: joins again"); forget(me); process[me].role = starting }
  // It acts on the owner's end (owner_is_gone): only a member that is complete goes on.
#ifdef MUTANT_PROMOTE_REMOVED
#define eligible (state[process[me].slot] == member || state[process[me].slot] == ineligible)
#else
#ifdef MUTANT_PROMOTE_JOINING
#define eligible (state[process[me].slot] == member || state[process[me].slot] == joining)
#else
#define eligible (state[process[me].slot] == member && process[me].complete)
#endif
#endif
  :: d_step { process[me].role == twin && process[me].saw_death -> process[me].saw_death = false;
       if
       :: eligible -> event("begins a takeover");
            only_the_own_slot_is_written = (holder[process[me].slot] == me);
            assert(only_the_own_slot_is_written);
            state[process[me].slot] = taken; process[me].role = promoted
       :: else -> event("may not take over: joins again"); forget(me); process[me].role = starting
       fi }
  // What was handed over is taken by comparing and swapping the word (take_handed_over).
  :: d_step { process[me].role == promoted && owner_gone && given && epoch == process[me].epoch ->
       event("takes what was handed over"); given = false; process[me].saw_given = false }
#ifdef MUTANT_TAKE_WITHOUT_COMPARING
  :: d_step { process[me].role == promoted && process[me].saw_given && !given -> process[me].saw_given = false; owner_gone = true }
#else
  :: d_step { process[me].role == promoted && process[me].saw_given && !given ->
       if
       // Whoever claimed it again ended before it removed this twin.
       :: owner_gone && epoch == process[me].epoch && state[process[me].slot] == taken ->
            event("finds that who took it back has ended"); process[me].saw_given = false
       :: else -> event("finds it taken back: joins again");
            if
            :: holder[process[me].slot] == me && state[process[me].slot] == taken -> state[process[me].slot] = ineligible
            :: else
            fi;
            forget(me); process[me].role = starting
       fi }
#endif
  // It takes the owner for hung, rightly or not.
  :: d_step { process[me].role == twin && !process[me].saw_death && kills < KILLS && eligible &&
              epoch == process[me].epoch && !owner_gone && epoch < EPOCHS ->
       event("takes the owner for hung and begins a takeover");
       only_the_own_slot_is_written = (holder[process[me].slot] == me);
       assert(only_the_own_slot_is_written);
       state[process[me].slot] = taken; process[me].role = promoted }
  // Fence: the kill, and the word that says that it has worked.
#ifndef MUTANT_NO_FENCE
  :: d_step { process[me].role == promoted && !process[me].saw_given && !owner_gone && epoch == process[me].epoch && kills < KILLS ->
       event("fences the owner"); kill(owner); hung_fenced = true }
#endif
  :: d_step { process[me].role == promoted && !process[me].saw_given && !given && epoch == process[me].epoch &&
#if defined(MUTANT_NO_FENCE) || defined(MUTANT_DRAIN_BEFORE_FENCE)
              true ->
#else
              owner_gone ->
#endif
#ifndef MUTANT_NO_DRAIN
       event("drains the log"); rolled_forward = rolled_forward || (published > told); apply();
#endif
       process[me].role = drained }
#ifdef MUTANT_DRAIN_BEFORE_FENCE
  :: d_step { process[me].role == drained && !owner_gone && kills < KILLS -> event("fences the owner"); kill(owner) }
#endif
  // Its slot and those of others are free again; not that of a removed twin, which may still be there and write into it.
  :: d_step { process[me].role == drained && epoch < EPOCHS &&
#ifdef MUTANT_NO_FENCE
              true ->
#else
              owner_gone ->
#endif
       event("is promoted");
       removed_never_promoted = !outsider[me];
       assert(removed_never_promoted);
#ifdef MUTANT_EPOCH_REUSED
       skip;
#else
       epoch++;
#endif
       epoch_never_reused = !(epochs_used & (1 << epoch));
       assert(epoch_never_reused);
       epochs_used = epochs_used | (1 << epoch);
       s = 0;
       do
       :: s < SLOTS ->
            if
#ifdef MUTANT_TAKEOVER_FREES_ALL_SLOTS
            :: true -> state[s] = free
#else
            :: state[s] != ineligible -> state[s] = free
            :: else
#endif
            fi;
            s++
       :: else -> break
       od;
       s = 0;
       owner = me; owner_gone = false; given = false;
       process[me].role = primary; process[me].epoch = epoch; process[me].slot = 0; process[me].complete = false;
       check_told(me); check_speakers() }

  // ---- Ends and beginnings ----
  :: d_step { process[me].role != gone && kills < KILLS -> event("is killed"); kill(me) }
  :: d_step { process[me].role == gone -> event("is started"); process[me].role = starting }
  od
}

#ifdef REACH_TAKEOVER
#define goal (epoch == 2 && told == 1 && told_writer[0] == 1 && speaks(1))
#endif
#ifdef REACH_ROLL_FORWARD
#define goal (rolled_forward && epoch == 2 && told == 2 && told_writer[0] == 1)
#endif
#ifdef REACH_REPROTECTION
#define goal (epoch == 2 && speaks(1) && state[0] == member && told == 2 && told_writer[1] == 2)
#endif
#ifdef REACH_SECOND_TAKEOVER
#define goal (epoch == 3 && told == 2 && told_writer[0] == 1 && told_writer[1] == 2 && !owner_gone)
#endif
#ifdef REACH_HUNG_OWNER_FENCED
#define goal (hung_fenced && epoch == 2 && speaks(1) && told == 2 && told_writer[0] == 1)
#endif
#ifdef REACH_REMOVAL_AND_REJOIN
#define goal (removed_one && epoch == 1 && joins == 2 && process[0].session > 0 && state[process[0].session - 1] == member)
#endif
#ifdef REACH_SWITCHOVER
#define goal (epoch == 2 && kills == 0 && speaks(1) && told == 1 && told_writer[0] == 1)
#endif
#ifdef REACH_TAKEN_BACK
#define goal (taken_back && epoch == 2 && speaks(0) && told == 2 && told_writer[0] == 1 && told_writer[1] == 2)
#endif
#ifdef REACH_STALE_TWIN
#define goal (stale_twin_saw_death)
#endif
#ifdef goal
active proctype watch() { atomic { goal -> not_reached = false; assert(not_reached) } }
#endif

init {
  atomic {
    process[0].role = primary; process[0].epoch = 1;
    process[1].role = gone; process[2].role = gone;
    process[0].dropping = free; process[1].dropping = free; process[2].dropping = free;
    outsider[1] = true; outsider[2] = true;
    state[0] = free; state[1] = free;
    run node(0); run node(1); run node(2)
  }
}
