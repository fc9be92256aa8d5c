// SPDX-License-Identifier: BSD-3-Clause
//
// Places at which a test can make the process die exactly, as by SIGKILL (built only with TANDEM_STOP_POINTS).
// The environment variable TANDEM_STOP=NAME:COUNT arms one: at the COUNT-th time (1 = first) that the process passes NAME it
// kills itself. Those of the turn (rx, turn, publish, tx, fill, reap) count only while a member twin stands by to take over.
// Without the build option TANDEM_STOP_POINT(name) is nothing at all.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tandem {

/// Every stop point there is, in the order of a turn (design.md section 3), of an adoption and of a promotion (section 6).
inline constexpr std::array kStopPoints = std::to_array<std::string_view>({
    "rx.taken",              // frames are shown, none has gone into the stack
    "rx.half",               // half of a batch has gone through the stack
    "turn.handlers",         // handlers have run
    "turn.recorded",         // everything is in the log, the commit record is not
    "publish.before",        // the commit record is written, not visible
    "publish.after",         // visible, nothing released
    "tx.words",              // ownership words say transmitting, the producer index is old
    "tx.half",               // half of the packets are handed over
    "tx.producer",           // producer index stored, the kernel not kicked
    "tx.after",              // packets handed over, receive ring not released
    "rx.words_half",         // half of the shown frames are freed
    "rx.words",              // all are freed, the consumer index is old
    "rx.after",              // consumer index stored
    "fill.intent",           // intent of a refill stored, the producer index is old
    "fill.after",            // producer index stored
    "reap.word",             // a completed frame is free, the consumer index is old
    "snapshot.part",         // a part of a late joiner's snapshot is in the log
    "snapshot.end",          // its end is published, membership is not yet set
    "adopt.begin",           // fence passed, log drained, the wire untouched
    "adopt.fill",            // fill ring rolled forward
    "adopt.tx",              // transmit ring rolled forward
    "adopt.rx",              // receive ring and frames scanned
    "adopt.done",            // the wire is ours, nothing is linked
    "promote.linked",        // connections are alive, the first turn has not run
    "switchover.published",  // the last transaction is out, the wire not given away
    "switchover.given",      // the wire is given away, the owner word still ours
});

/// Finer places between those, at which the simulator alone stops a process: to kill it, to pause it or to let others run.
/// Built only with TANDEM_SIMULATION.
inline constexpr std::array kSteps = std::to_array<std::string_view>({
    "start.device",            // the device is open, nobody owns it in the group's words
    "start.claimed",           // the owner's word is ours, the epoch is not set
    "start.stack",             // the stack is made and dormant
    "start.active",            // the first primary may speak
    "turn.begun",              // the heartbeat has moved
    "turn.input",              // one frame has gone through the stack
    "turn.timers",             // timers have run
    "turn.snapshot",           // what a joiner is given in the live log this turn is there
    "timers.tcp",              // TCP's timers have run, the others have not
    "handler.served",          // one connection's handler has run, what it wrote is not sent
    "log.record",              // one record is written
    "publish.released",        // the gate is open, packets are handed over
    "turn.end",                // rings are given back and filled
    "snapshot.written",        // what a joiner is given beside the live log is there, not visible
    "snapshot.published",      // it is visible
    "attach.accepted",         // somebody has connected
    "attach.joining",          // a reader slot is taken
    "attach.welcomed",         // the descriptors are on their way
    "attach.begun",            // the snapshot has begun
    "attach.member",           // the joiner may be promoted
    "attach.ineligible",       // a reader may not be promoted any more
    "attach.dropped",          // nothing is recorded for it
    "twin.hello",              // the twin has said hello
    "twin.mapped",             // shared memory is mapped
    "twin.device",             // the device is attached
    "twin.ready",              // everything is mapped, and said to be
    "twin.looked",             // it is no removed twin, and has not yet asked for what is published
    "twin.applied",            // what was published is applied
    "twin.reported",           // and the primary may see that
    "replica.record",          // one record is applied
    "takeover.promoted",       // the reader's word says promoted
    "takeover.drained",        // the log is applied to its end
    "takeover.claimed",        // the owner's word is ours, the epoch is old
    "takeover.readers",        // every reader slot is free
    "takeover.writer",         // the log has its next writer
    "activate.up",             // interfaces are up
    "activate.neighbours",     // neighbours are in place
    "activate.listeners",      // listeners are open
    "activate.connection",     // one connection is linked
    "switchover.recorded",     // the role change is in the log
    "switchover.handed_over",  // the owner's word says so
    "switchover.alone",        // the twin does not take over, and everything is to be claimed again
    "switchover.reclaimed",    // it is ours again, the wire not taken back
    "close.began",             // the process ends, connections are being closed
});

#ifdef TANDEM_SIMULATION
void step(std::string_view name);
#define TANDEM_STEP(name) ::tandem::step(name)
#else
#define TANDEM_STEP(name) static_cast<void>(0)
#endif

#ifdef TANDEM_STOP_POINTS
/// Dies here when armed for `name`. A name that is not in kStopPoints is a programming error and aborts.
void stop_point(std::string_view name);
/// Whether passes of the turn's own points count.
void count_turn_stop_points(bool on);
#define TANDEM_STOP_POINT(name) ::tandem::stop_point(name)

/// A frame is about to go into the stack, and: the handlers of the turn have run. TANDEM_DEADLY=input:TEXT makes the process abort
/// in the first when the frame holds TEXT, handler:TEXT in the second when a frame of the turn did: a fault of its own, which every
/// process that meets the frame has. With input-hang and handler-hang it runs in circles instead. TANDEM_DEADLY=quiet makes it abort
/// behind the handlers of a turn that no frame came into, when a member twin stands by: a fault that is no frame's.
void meet_frame(std::span<const std::uint8_t> frame);
void meet_handlers();
#define TANDEM_MEET_FRAME(frame) ::tandem::meet_frame(frame)
#define TANDEM_MEET_HANDLERS() ::tandem::meet_handlers()
#else
#define TANDEM_STOP_POINT(name) static_cast<void>(0)
#define TANDEM_MEET_FRAME(frame) static_cast<void>(0)
#define TANDEM_MEET_HANDLERS() static_cast<void>(0)
#endif

}  // namespace tandem
