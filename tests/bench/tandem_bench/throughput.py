# SPDX-License-Identifier: BSD-3-Clause
"""Bulk receive and bulk send with the mirror on and off, and what the processors do for it."""

import time

from .report import count, distribution, paired
from .rig import FAILURES, Rig, processor_ns
from .statistics import paired_ratios
from .windows import bytes_between

NAME = "throughput"
TITLE = "bulk receive and send, mirror on and off, AF_XDP on veth"

SETTLE_S = 0.3
#: Direction of the pair's, the peer's mode, and the direction in which the peer counts.
DIRECTIONS = (("receive", "send", "sent"), ("send", "receive", "received"))


class Block:
    """One stretch of one configuration."""

    begin_ns = end_ns = primary_ns = twin_ns = None
    rate = None

    def per_byte(self, processor_time_ns):
        return processor_time_ns / (self.rate * (self.end_ns - self.begin_ns) / 1e9)


def measure(bench, table):
    length_s = bench.choose(1.0, 0.4)
    pairs = bench.choose(20, 6)
    table.method += [
        f"{2 * pairs} alternating blocks of {length_s} s on one connection of one primary, each {SETTLE_S} s after the change; on: a member "
        "twin follows; off: no twin is attached, and nothing is written into the log",
        "ratio: on / off of neighbouring blocks, median with its 95 % interval",
        "processor time: what the scheduler has given to all threads of a process; on a veth the peer's receive path runs in the time of "
        "who sends, so the primary's holds some of the peer's",
        "levels: ratio on / off by its interval, which may be no wider than the level's distance from 1; twin / primary likewise by its own size",
    ]
    budget = bench.budget(table, 1, 1)
    for direction, mode, counted in DIRECTIONS:
        with Rig(bench, placement="split") as rig:
            table.section(f"bulk {direction}", rig.method(), "all sleeping when idle (the default, 15 µs of spinning before)")
            measured = []
            try:
                measured = measure_direction(table, rig, mode, counted, pairs, length_s, budget())
            except FAILURES as error:
                table.fail(f"bulk {direction}: {error}")
            table.add(*figures(direction, measured))


def measure_direction(table, rig, mode, counted, pairs, length_s, until):
    rig.group.start_primary()
    load = rig.load(mode)
    measured = []
    while len(measured) < pairs and time.monotonic() < until:
        try:
            status = rig.start_twin()
            on = block(length_s, status["pid"], status["twin"])
            status = rig.end_twin()
            off = block(length_s, status["pid"], None)
        except FAILURES as error:
            table.fail(f"pair {len(measured) + 1} of bulk {mode}: {error}")
            break
        measured.append((on, off))
    result = rig.finish(load)
    table.add(count("segments that the peer sent again in the whole run", result["retransmissions"]))
    for on, off in measured:
        for this in (on, off):
            size, length_ns = bytes_between(result["intervals"][counted], result["start_ns"], result["interval_ns"], this.begin_ns, this.end_ns)
            this.rate = size * 1e9 / length_ns
    if any(this.rate == 0 for pair in measured for this in pair):
        raise RuntimeError("nothing was transferred in a block")
    return measured


def block(length_s, primary, twin):
    time.sleep(SETTLE_S)
    this = Block()
    primary_ns = processor_ns(primary)
    twin_ns = processor_ns(twin) if twin else 0
    this.begin_ns = time.monotonic_ns()
    time.sleep(length_s)
    this.end_ns = time.monotonic_ns()
    this.primary_ns = processor_ns(primary) - primary_ns
    this.twin_ns = processor_ns(twin) - twin_ns if twin else 0
    return this


def figures(direction, measured):
    def values(of):
        return [of(on, off) for on, off in measured]

    lines = [
        distribution("rate, mirror on", "Mbit/s", values(lambda on, off: on.rate * 8 / 1e6)),
        distribution("rate, mirror off", "Mbit/s", values(lambda on, off: off.rate * 8 / 1e6)),
        paired("rate on / off", "ratio", paired_ratios(values(lambda on, off: (on.rate, off.rate))), 0.90, 0.99, at_most=False,
               allowance_from=1),
        distribution("primary's processor time a byte, on", "ns", values(lambda on, off: on.per_byte(on.primary_ns))),
        distribution("primary's processor time a byte, off", "ns", values(lambda on, off: off.per_byte(off.primary_ns))),
        distribution("twin's processor time a byte", "ns", values(lambda on, off: on.per_byte(on.twin_ns))),
        paired("primary's processor time a byte, on / off", "ratio",
               paired_ratios(values(lambda on, off: (on.per_byte(on.primary_ns), off.per_byte(off.primary_ns))))),
        paired("twin's processor time / primary's", "ratio", values(lambda on, off: on.twin_ns / on.primary_ns), goal=0.3),
    ]
    return lines
