# SPDX-License-Identifier: BSD-3-Clause
"""The blackout of a planned switchover, as the peer sees it."""

import random
import threading
import time

from . import wire_gaps
from .report import count, distribution, paired
from .rig import FAILURES, PeerCounters, Rig, sleep_until_ns
from .statistics import paired_differences
from .windows import MS, Silences

NAME = "switchover"
TITLE = "planned switchover under load, AF_XDP on veth"

#: Long enough for the hand-over, short enough that the old primary's return as a twin is not in it.
WINDOW_NS = 5 * MS
FLOOR_US = 10
CHUNK = 10
#: Into the window without a switchover, behind the question that begins it: where it is held against a hand-over.
BEFORE_NS = 2 * MS


def measure(bench, table):
    table.method += [
        "switchover by the control socket; the old primary joins again as the twin, in the same process",
        "blackout: the peer's longest silence that overlaps the time from the twin's notice to its first packet, ping-pong of 64 bytes on "
        "one connection, the round trip included; without a switchover: that overlaps an equally long time, some ms before",
        "around it: the longest silence that overlaps the 5 ms after the request, so also what the program that asks costs a peer that "
        "shares its processors; without a switchover: the 5 ms after a question on the same socket (`status`)",
        wire_gaps.METHOD,
    ]
    budget = bench.budget(table, 1, 1)
    rounds = bench.choose(60, 6)
    for what, options in (("all sleeping", ()), ("twin spinning, primary and peer sleeping", ("--twin-spin",))):
        with Rig(bench, options=options) as rig:
            table.section(what, rig.method())
            run = Switchovers(rig)
            until = budget()
            try:
                rig.group.start_pair()
                while len(run.timelines) < rounds and time.monotonic() < until:
                    run.chunk(min(CHUNK, rounds - len(run.timelines)), until)
            except FAILURES as error:
                table.fail(f"{what}, round {len(run.timelines) + 1}: {error}")
            finally:
                table.add(*run.figures())


class Switchovers:
    """Switchovers on one rig, in chunks of one load each."""

    def __init__(self, rig):
        self.rig = rig
        self.timelines = []
        self.on_wire = []
        #: Microseconds; pairs of (with a switchover, without one).
        self.blackouts = []
        self.around = []
        self.lost = 0

    def chunk(self, rounds, until):
        wire = self.rig.watch_wire()
        load = self.rig.load("rr", "--gap-floor", str(FLOOR_US))
        source = random.Random(len(self.timelines))
        counters = PeerCounters(self.rig.network)
        before = counters.read()
        moments = []
        while len(moments) < rounds and time.monotonic() < until:
            moments.append(self._round(source, wire))
        difference = counters.difference(before, counters.read())
        result = self.rig.finish(load)
        if result["silences_left_out"]:
            raise RuntimeError("the record of silences was full before the load had ended; make the chunks smaller")
        silences = Silences(result["silences"], "received", FLOOR_US * 1000)
        for control_ns, begin_ns, timeline in moments:
            noticed_ns, took_ns = timeline["noticed_at"], timeline["first_packet"]
            self._pair(self.blackouts, silences, noticed_ns, control_ns + BEFORE_NS, took_ns)
            self._pair(self.around, silences, begin_ns, control_ns, WINDOW_NS)
        self.timelines += [timeline for *_, timeline in moments]
        self.lost += (max(0, difference["RetransSegs"] - difference["TCPLossProbes"]) + difference["TCPTimeouts"] +
                      difference["TCPOFOQueue"] + difference["interfaces"])

    @staticmethod
    def _pair(pairs, silences, with_ns, without_ns, length_ns):
        pairs.append(tuple(silences.longest_in(begin_ns, begin_ns + length_ns) / 1e3 for begin_ns in (with_ns, without_ns)))

    def _round(self, source, wire):
        self.rig.wait_protected()
        sleep_until_ns(time.monotonic_ns() + 40 * MS)
        control_ns = time.monotonic_ns()
        status = self.rig.group.status()
        sleep_until_ns(control_ns + WINDOW_NS)
        threading.Event().wait(source.uniform(0, 0.01))
        begin_ns = time.monotonic_ns()
        answer = self.rig.group.ask("switchover")
        if not answer or answer.get("switchover") != "begun":
            raise RuntimeError(f"the switchover was refused: {answer}")
        sleep_until_ns(begin_ns + WINDOW_NS)
        timeline = self.rig.taken_over(status["pid"])["timeline"]
        if timeline["cause"] != "switchover":
            raise RuntimeError(f"the takeover was none of a switchover: {timeline}")
        wire.read()
        gap = wire.around(timeline["noticed_at"])
        if gap is not None:
            self.on_wire.append((gap[1] - gap[0], gap[1] - timeline["noticed_at"]))
        return control_ns, begin_ns, timeline

    def figures(self):
        lines = [count("switchovers", len(self.timelines))]
        for what, pairs, levels in (("blackout: peer's silence at the hand-over", self.blackouts, (100, 20)),
                                    ("peer's silence in the 5 ms around it", self.around, ())):
            lines += [
                distribution(what, "µs", [pair[0] for pair in pairs], *levels),
                distribution("  without a switchover", "µs", [pair[1] for pair in pairs]),
                paired("  what a switchover adds", "µs", paired_differences(pairs)),
            ]
        return lines + [
            distribution("on the wire: old primary's last to new one's first packet", "µs", [gap / 1e3 for gap, _ in self.on_wire]),
            distribution("twin's notice to its first packet on the wire", "µs", [first / 1e3 for _, first in self.on_wire]),
            distribution("twin's notice to its first packet handed over", "µs", [line["first_packet"] / 1e3 for line in self.timelines]),
            count("packets lost", self.lost, 0, observed=bool(self.timelines)),
        ]
