// SPDX-License-Identifier: BSD-3-Clause
//
// Places at which a test can make the process die exactly, as by SIGKILL (built only with TANDEM_STOP_POINTS).
// The environment variable TANDEM_STOP=NAME:COUNT arms one: at the COUNT-th time (1 = first) that the process passes NAME it
// kills itself. Those of the turn (rx, turn, publish, tx, fill, reap) count only while a member twin stands by to take over.
// Without the build option TANDEM_STOP_POINT(name) is nothing at all.
#pragma once

#include <array>
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

#ifdef TANDEM_STOP_POINTS
/// Dies here when armed for `name`. A name that is not in kStopPoints is a programming error and aborts.
void stop_point(std::string_view name);
/// Whether passes of the turn's own points count.
void count_turn_stop_points(bool on);
#define TANDEM_STOP_POINT(name) ::tandem::stop_point(name)
#else
#define TANDEM_STOP_POINT(name) static_cast<void>(0)
#endif

}  // namespace tandem
