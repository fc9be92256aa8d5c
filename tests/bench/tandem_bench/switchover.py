# SPDX-License-Identifier: BSD-3-Clause
"""The blackout of a planned switchover, as the peer sees it."""

import random
import threading
import time

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


def measure(bench, table):
    table.method += [
        "switchover by the control socket; the old primary joins again as the twin, in the same process",
        "blackout: the peer's longest silence that overlaps the 5 ms after the request, ping-pong of 64 bytes on one connection; "
        "without a switchover that is the longest round trip of 5 ms",
        "the levels are held against the whole silence, the round trip included",
    ]
    budget = bench.budget(table, 1, 1)
    rounds = bench.choose(60, 6)
    for what, options in (("all sleeping", ()), ("twin spinning, primary and peer sleeping", ("--twin-spin",))):
        with Rig(bench, options=options) as rig:
            table.section(what, rig.method())
            silences = {"control": [], "switchover": []}
            timelines = []
            lost = 0
            until = budget()
            try:
                rig.group.start_pair()
                while len(timelines) < rounds and time.monotonic() < until:
                    lost += chunk(rig, min(CHUNK, rounds - len(timelines)), silences, timelines, until)
            except FAILURES as error:
                table.fail(f"{what}, round {len(timelines) + 1}: {error}")
            finally:
                table.add(*figures(silences, timelines, lost))


def chunk(rig, rounds, silences, timelines, until):
    load = rig.load("rr", "--gap-floor", str(FLOOR_US))
    source = random.Random(len(timelines))
    counters = PeerCounters(rig.network)
    before = counters.read()
    moments = []
    while len(moments) < rounds and time.monotonic() < until:
        status = rig.wait_protected()
        sleep_until_ns(time.monotonic_ns() + 40 * MS)
        control_ns = time.monotonic_ns()
        sleep_until_ns(control_ns + WINDOW_NS)
        threading.Event().wait(source.uniform(0, 0.01))
        begin_ns = time.monotonic_ns()
        answer = rig.group.ask("switchover")
        if not answer or answer.get("switchover") != "begun":
            raise RuntimeError(f"the switchover was refused: {answer}")
        sleep_until_ns(begin_ns + WINDOW_NS)
        timeline = rig.taken_over(status["pid"])["timeline"]
        if timeline["cause"] != "switchover":
            raise RuntimeError(f"the takeover was none of a switchover: {timeline}")
        moments.append((control_ns, begin_ns))
        timelines.append(timeline)
    difference = counters.difference(before, counters.read())
    result = rig.finish(load)
    if result["silences_left_out"]:
        raise RuntimeError("the record of silences was full before the load had ended; make the chunks smaller")
    record = Silences(result["silences"], "received", FLOOR_US * 1000)
    for control_ns, begin_ns in moments:
        silences["control"].append(record.longest_in(control_ns, control_ns + WINDOW_NS) / 1e3)
        silences["switchover"].append(record.longest_in(begin_ns, begin_ns + WINDOW_NS) / 1e3)
    return (max(0, difference["RetransSegs"] - difference["TCPLossProbes"]) + difference["TCPTimeouts"] + difference["TCPOFOQueue"] +
            difference["interfaces"])


def figures(silences, timelines, lost):
    pairs = list(zip(silences["switchover"], silences["control"]))
    return [
        count("switchovers", len(timelines)),
        distribution("blackout: peer's silence", "µs", silences["switchover"], 100, 20),
        distribution("peer's silence, no switchover", "µs", silences["control"]),
        paired("silence that a switchover adds", "µs", paired_differences(pairs)),
        distribution("twin's notice to its first packet", "µs", [line["first_packet"] / 1e3 for line in timelines]),
        count("packets lost", lost, 0, observed=bool(timelines)),
    ]
