# SPDX-License-Identifier: BSD-3-Clause
"""Rounds in which the primary dies under load, and what is known of each afterwards."""

import os
import random
import resource
import signal
import threading
import time

from . import wire_gaps
from .report import count, distribution, paired
from .rig import FAILURES, MS, PeerCounters, sleep_until_ns
from .statistics import paired_differences
from .windows import Silences, recovery_ns

#: Of every window in which the peer is watched.
WINDOW_NS = 80 * MS
#: The former rate is that of so much time, and a stretch this long must have 90 % of it again.
FORMER_NS = 60 * MS
SMOOTH_NS = 10 * MS

METHOD = (
    "death: CLOCK_MONOTONIC just before kill(2) or SIGSTOP; notice: the timeline of `tandemctl status`",
    wire_gaps.METHOD + "; first packet: the first one there behind the notice",
    "first packet handed over: the same timeline, when the system call has returned that hands it to the kernel; on veth that call also "
    "runs the peer's receive path",
    f"a round: {FORMER_NS // MS} ms of load, a window without a kill, 0 to 20 ms at random, the kill with its window, a new twin with "
    f"its window; each window is {WINDOW_NS // MS} ms",
    "silence: the longest time in which a connection of the peer's made no progress and that overlaps the window, from tandem-perf's "
    "record; added: paired difference of the window with the kill and the one just before it",
    f"90 % of the rate: of the {FORMER_NS // MS} ms before, in any {SMOOTH_NS // MS} ms, by intervals of 1 ms",
    "lost: the peer's retransmissions beyond its probes for a lost tail, segments that came out of order, timeouts, and frames that "
    "device or interface counted as dropped",
)


class Cause:
    """How a primary ends. `stall_ns` is what passes before the twin may even notice."""

    def __init__(self, name, act, stall_ns=0, window_ns=WINDOW_NS, knows_moment=True):
        self.name = name
        self.act = act
        self.stall_ns = stall_ns
        self.window_ns = window_ns
        #: Whether the moment of death is ours to choose, or the kernel's.
        self.knows_moment = knows_moment


def by_signal(number):
    def act(_rig, pid):
        moment_ns = time.monotonic_ns()
        os.kill(pid, number)
        return moment_ns

    return act


KILLED = Cause("SIGKILL", by_signal(signal.SIGKILL))


def allow_core_dump(pid):
    resource.prlimit(pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Round:
    """One death: moments and what the kernel counted between them."""

    control_ns = death_ns = spawn_ns = None
    timeline = None
    on_wire = None  # (last packet of the old primary, first one of the new), if they were so far apart that it is known
    counted = None  # in the control window, and from the death on until the group was protected again
    counted_control = None
    device_dropped = 0
    protect_ns = None


class LoadKind:
    """Which programs load the pair, and what is read from which of them."""

    def __init__(self, name, *modes):
        self.name = name
        #: (mode, options, direction in which the peer's progress is watched, floor of the silences in microseconds)
        self.modes = modes


PING_PONG = LoadKind("ping-pong of 64 bytes, one connection", ("rr", (), "received", 100))
BULK = LoadKind("bulk, two connections each way", ("receive", (), "received", 200), ("send", ("--socket-buffer", "256K"), "sent", 200))
#: What all of them have in flight fits into the receive ring, so that what is lost was lost by a takeover.
BULK_OPTIONS = ("--receive-window", "256K", "--send-queue", "256K")
CHUNK = 50


class DeathRun:
    """Rounds on one rig, in chunks of one load each, so that no record of tandem-perf's grows beyond its bound."""

    def __init__(self, bench, table, rig, load_kind, cause, prepare=None, after_round=None):
        self.bench = bench
        self.table = table
        self.rig = rig
        self.load_kind = load_kind
        self.cause = cause
        self.prepare = prepare or (lambda pid: None)
        self.after_round = after_round or (lambda: None)
        self.rounds = []
        self.wanted = 0
        self.silences = {"control": [], "kill": [], "join": []}
        self.recovery = {}
        self.not_recovered = {}
        self.left_out = 0
        self._random = random.Random(1)

    def run(self, rounds, until):
        """`rounds` of them, or as many as there is time for (`until`, time.monotonic)."""
        self.wanted = rounds
        while len(self.rounds) < rounds and time.monotonic() < until:
            before = len(self.rounds)
            try:
                self._run_chunk(min(CHUNK, rounds - before), until)
            except FAILURES as error:
                self.table.fail(f"{self.cause.name}, {self.load_kind.name}, round {len(self.rounds) + 1}: {error}")
                return self
        return self

    def _run_chunk(self, rounds, until):
        loads = []
        connections = 1 if self.load_kind is PING_PONG else 2
        for mode, options, direction, floor_us in self.load_kind.modes:
            loads.append((self.rig.load(mode, *options, "--gap-floor", str(floor_us), "--interval", "1", connections=connections),
                          direction, floor_us * 1000))
        counters = PeerCounters(self.rig.network)
        wire = self.rig.watch_wire()
        done = []
        try:
            while len(done) < rounds and time.monotonic() < until:
                done.append(self._round(counters, wire))
        finally:
            results = []
            for load, direction, floor_ns in loads:
                results.append((self.rig.finish(load), direction, floor_ns))
            self._evaluate(done, results)
            self.rounds += done

    def _round(self, counters, wire):
        this = Round()
        status = self.rig.group.status()
        self.prepare(status["pid"])
        sleep_until_ns(time.monotonic_ns() + FORMER_NS)
        metrics = self.rig.group.metrics()
        this.control_ns = time.monotonic_ns()
        before = counters.read()
        sleep_until_ns(this.control_ns + self.cause.window_ns)
        this.counted_control = counters.difference(before, counters.read())
        threading.Event().wait(self._random.uniform(0, 0.02))
        before = counters.read()
        this.death_ns = self.cause.act(self.rig, status["pid"])
        sleep_until_ns(this.death_ns + self.cause.window_ns)
        after = self.rig.taken_over(status["pid"])
        this.timeline = after["timeline"]
        wire.read()
        this.on_wire = wire.around(this.timeline["noticed_at"])
        this.spawn_ns = time.monotonic_ns()
        self.rig.start_twin()
        this.protect_ns = time.monotonic_ns() - this.spawn_ns
        self.rig.group.process_of(status["pid"]).wait(30)
        self.after_round()
        sleep_until_ns(this.spawn_ns + WINDOW_NS)
        this.counted = counters.difference(before, counters.read())
        now = self.rig.group.metrics()
        # What the kernel counts for the socket goes on; what the dead process counted of its own has gone with it.
        this.device_dropped = int(max(0, now["device_rx_dropped_total"] - metrics["device_rx_dropped_total"]) +
                                  now["device_tx_lost_total"] + now["frames_missing"])
        return this

    def _evaluate(self, rounds, results):
        watched = [(Silences(result["silences"], direction, floor_ns), result, direction) for result, direction, floor_ns in results]
        for this in rounds:
            windows = {"control": (this.control_ns, self.cause.window_ns), "kill": (this.death_ns, self.cause.window_ns),
                       "join": (this.spawn_ns, WINDOW_NS)}
            last = this.spawn_ns + WINDOW_NS
            if any(result["silences_left_out"] and silences.recorded_until() < last for silences, result, _ in watched):
                self.left_out += 1
                continue
            for name, (begin, length) in windows.items():
                # The silence that a death ends had begun before it.
                self.silences[name].append(max(silences.longest_in(begin, begin + length) for silences, *_ in watched))
            for _, result, direction in watched:
                for name in ("control", "kill"):
                    begin, length = windows[name]
                    took = recovery_ns(result["intervals"][direction], result["start_ns"], result["interval_ns"], begin, FORMER_NS,
                                       SMOOTH_NS, length - SMOOTH_NS)
                    if took is None:
                        self.not_recovered[direction, name] = self.not_recovered.get((direction, name), 0) + 1
                    else:
                        self.recovery.setdefault((direction, name), []).append(took)

    def figures(self, levels=False):
        """Lines of the table. `levels`: those of the issue are for this run."""
        us, ms = 1e3, 1e6
        cause, rounds = self.cause, self.rounds
        notices, firsts, wholes, handed_over, gaps = [], [], [], [], []
        for this in rounds:
            noticed_ns = this.timeline["noticed_at"]
            notices.append((noticed_ns - this.death_ns) / us)
            handed_over.append(this.timeline["first_packet"] / us)
            if this.on_wire is not None:
                firsts.append((this.on_wire[1] - noticed_ns) / us)
                wholes.append((this.on_wire[1] - this.death_ns - cause.stall_ns) / us)
                gaps.append((this.on_wire[1] - this.on_wire[0]) / us)
        after_detection = f", {cause.stall_ns // MS} ms of detection taken off" if cause.stall_ns else ""
        lines = [count(f"deaths by {cause.name}, of {self.wanted} wanted", len(rounds))]
        if cause.knows_moment:
            lines.append(distribution("death to notice", "µs", notices))
        lines.append(distribution("notice to first packet", "µs", firsts, *((50, 10) if levels else ())))
        if cause.knows_moment:
            lines.append(distribution("death to first packet" + after_detection, "µs", wholes, *((250, 100) if levels else ())))
        lines.append(distribution("notice to first packet handed over", "µs", handed_over))
        lines += self._step_figures()
        lines.append(distribution("on the wire: old primary's last to new one's first packet", "µs", gaps))
        if len(firsts) != len(rounds):
            lines.append(count(f"takeovers with a packet within {wire_gaps.FLOOR_US} µs on either side of the notice", len(rounds) - len(firsts)))
        lines += self._lost_figures(levels)
        lines.append(distribution("peer's longest silence, no kill", "µs", [value / us for value in self.silences["control"]]))
        lines.append(distribution("peer's longest silence, kill", "µs", [value / us for value in self.silences["kill"]]))
        lines.append(distribution("peer's longest silence, new twin", "µs", [value / us for value in self.silences["join"]]))
        pairs = [(kill / us, control / us) for kill, control in zip(self.silences["kill"], self.silences["control"])]
        lines.append(paired("silence that a kill adds", "µs", paired_differences(pairs)))
        for (direction, name), values in sorted(self.recovery.items(), reverse=True):
            what = {"control": "no kill", "kill": "kill"}[name]
            missing = self.not_recovered.get((direction, name), 0)
            beyond = f", {missing} not within the window" if missing else ""
            lines.append(distribution(f"90 % of the rate {direction}, {what}{beyond}", "ms", [value / ms for value in values]))
        lines.append(distribution("protected again after the start of a twin", "ms", [this.protect_ns / ms for this in rounds]))
        if self.left_out:
            lines.append(count("rounds left out of the silences: record full", self.left_out))
        return lines

    def _step_figures(self):
        """Where the time goes that is ours: each step behind the one before it."""
        lines, before = [], None
        for step in ("fenced", "drained", "adopted", "promoted"):
            values = [(this.timeline[step] - (this.timeline[before] if before else 0)) / 1e3 for this in self.rounds]
            lines.append(distribution(f"  of it: {before or 'noticed'} to {step}", "µs", values))
            before = step
        return lines

    def _lost_figures(self, levels):
        def summed(key, which):
            return sum(getattr(this, which)[key] for this in self.rounds)

        lines = []
        for what, which, required in (("kill and new twin", "counted", 0 if levels else None), ("no kill", "counted_control", None)):
            parts = {
                "sent again": max(0, summed("RetransSegs", which) - summed("TCPLossProbes", which)),
                "out of order": summed("TCPOFOQueue", which),
                "timeouts": summed("TCPTimeouts", which),
                "dropped by an interface": summed("interfaces", which),
            }
            if which == "counted":
                parts["dropped by the device"] = sum(this.device_dropped for this in self.rounds)
            lost = sum(parts.values())
            detail = ": " + ", ".join(f"{key} {value:,}" for key, value in parts.items() if value) if lost else ""
            lines.append(count(f"packets lost, {what}{detail}", lost, required, observed=bool(self.rounds)))
        lines.append(count("peer's probes for a lost tail, kill and new twin", summed("TCPLossProbes", "counted")))
        return lines
