# SPDX-License-Identifier: BSD-3-Clause
"""1 to 10,000 connections: bringing up a late joiner, takeover, memory."""

import time

from . import deaths
from .report import Figure, count, distribution, shown
from .rig import FAILURES, PeerCounters, Rig, resident_bytes, sleep_until_ns
from .windows import MS

NAME = "scale"
TITLE = "late joiner, takeover and memory by number of connections, AF_XDP on veth"

REQUESTS_A_SECOND = 10_000


def measure(bench, table):
    table.method += [
        f"requests of 64 bytes, {REQUESTS_A_SECOND:,} a second in all, spread evenly over the connections; a round: a twin joins, then the "
        "primary is killed",
        "time to protect and longest turn meanwhile: `join` of `tandemctl status`; the time from the twin's start on holds the start of "
        "a process too",
        "memory: growth of the anonymous resident memory, divided by the connections; the shared log and the frames are no part of it. "
        "Primary: from none to all; twin: one that joined with all against one that joined with none",
    ]
    budget = bench.budget(table, 1, 1, 1, 2)
    rounds = bench.choose(8, 2)
    for connections in bench.choose((1, 100, 1000, 10_000), (1, 100, 1000)):
        with Rig(bench) as rig:
            table.section(f"{connections:,} connections", rig.method(), "all sleeping")
            figures = Figures()
            try:
                measure_one(rig, connections, rounds, budget(), figures)
            except FAILURES as error:
                table.fail(f"{connections:,} connections, round {len(figures.joins) + 1}: {error}")
            finally:
                table.add(*figures.lines(connections))


class Figures:
    """What the rounds have given so far."""

    def __init__(self):
        self.joins, self.turns, self.protects, self.takeovers, self.firsts = [], [], [], [], []
        self.primary_bytes = self.twin_bytes = None
        self.lost = 0

    def lines(self, connections):
        largest = connections == 10_000
        return [
            distribution("time to protect a late joiner", "ms", [value / 1e6 for value in self.joins], goal=50 if largest else None, held="max"),
            distribution("from the start of the twin's process", "ms", [value / 1e6 for value in self.protects]),
            distribution("longest turn meanwhile", "µs", [value / 1e3 for value in self.turns], goal=200 if largest else None, held="max"),
            distribution("death to first packet", "µs", self.takeovers),
            distribution("notice to first packet", "µs", self.firsts),
            memory_line("memory a connection, primary", self.primary_bytes, connections),
            memory_line("memory a connection, twin", self.twin_bytes, connections),
            count("packets lost", self.lost),
        ]


def memory_line(name, grown, connections):
    if grown is None:
        return Figure(name, "bytes", "not measured", {"count": 0})
    each = grown / connections
    return Figure(name, "bytes", f"{shown(each)} bytes", {"value": each, "grown": grown})


def measure_one(rig, connections, rounds, until, figures):
    primary = rig.group.start_primary().pid
    twin = rig.start_twin()["twin"]
    sleep_until_ns(time.monotonic_ns() + deaths.FORMER_NS)
    empty_twin = resident_bytes(twin)
    rig.end_twin()
    empty_primary = resident_bytes(primary)
    load = rig.load("connections", "--pace", str(connections * 1_000_000 // REQUESTS_A_SECOND), "--gap-floor", "1000000",
                    connections=connections)
    # Every connection has had its first answer: the buffers of a handshake are gone.
    load.wait_progress(time.monotonic_ns(), timeout=30)
    figures.primary_bytes = resident_bytes(primary) - empty_primary
    counters = PeerCounters(rig.network)
    before = counters.read()
    while len(figures.joins) < rounds and time.monotonic() < until:
        began_ns = time.monotonic_ns()
        status = rig.start_twin(timeout=60)
        figures.protects.append(time.monotonic_ns() - began_ns)
        join = status["join"]
        if join["connections"] != connections:
            raise RuntimeError(f"the joiner was given {join['connections']} connections, not {connections}")
        figures.joins.append(join["nanoseconds"])
        figures.turns.append(join["longest_turn_nanoseconds"])
        # A twin is a member when the log holds everything for it; it takes that in a little later.
        sleep_until_ns(time.monotonic_ns() + deaths.FORMER_NS)
        if figures.twin_bytes is None:
            figures.twin_bytes = resident_bytes(status["twin"]) - empty_twin
        death_ns = deaths.KILLED.act(rig, status["pid"])
        timeline = rig.taken_over(status["pid"])["timeline"]
        figures.firsts.append(timeline["first_packet"] / 1e3)
        figures.takeovers.append((timeline["noticed_at"] - death_ns + timeline["first_packet"]) / 1e3)
        sleep_until_ns(death_ns + 20 * MS)
    rig.start_twin()
    load.wait_progress(time.monotonic_ns(), timeout=30)
    counted = counters.difference(before, counters.read())
    figures.lost = max(0, counted["RetransSegs"] - counted["TCPLossProbes"]) + counted["TCPTimeouts"] + counted["interfaces"]
    rig.finish(load)
