# SPDX-License-Identifier: BSD-3-Clause
"""What the mirror adds to the latency of a small request."""

import time

from .report import distribution, paired
from .rig import FAILURES, Rig
from .statistics import paired_differences

NAME = "latency"
TITLE = "64-byte request and response, mirror on minus off, AF_XDP on veth"

SETTLE_S = 0.05


def measure(bench, table):
    length_s = bench.choose(0.8, 0.3)
    pairs = bench.choose(20, 6)
    table.method += [
        f"{2 * pairs} alternating blocks of {length_s} s, one connection each, of one primary; on: a member twin follows; off: no twin is "
        "attached, and nothing is written into the log",
        "p50 and p99 of each block from tandem-perf's histogram (error below 1 %); difference of neighbouring blocks, median with its 95 % "
        "interval, which may be no wider than the level",
    ]
    budget = bench.budget(table, 1, 1)
    for what, first_options, load_options in (("all sleeping when idle (the default, 15 µs of spinning before)", (), ()),
                                        ("primary and peer spinning, twin sleeping", ("--spin-always",), ("--spin-always",))):
        with Rig(bench, first_options=first_options, placement="split") as rig:
            table.section(what, rig.method())
            measured = []
            until = budget()
            try:
                rig.group.start_primary()
                while len(measured) < pairs and time.monotonic() < until:
                    rig.start_twin()
                    on = block(rig, load_options, length_s)
                    rig.end_twin()
                    measured.append((on, block(rig, load_options, length_s)))
            except FAILURES as error:
                table.fail(f"{what}, pair {len(measured) + 1}: {error}")
            finally:
                table.add(*figures(measured))


def block(rig, load_options, length_s):
    """The latencies of a block, nanoseconds by name."""
    time.sleep(SETTLE_S)
    result = rig.run_to_end("rr", *load_options, time_s=length_s)
    if result["requests"] == 0:
        raise RuntimeError("no request was answered in a block")
    return result["latency_ns"]


def figures(measured):
    lines = []
    for name, levels in (("p50", (5, 1)), ("p99", ())):
        pairs = [(on[name] / 1e3, off[name] / 1e3) for on, off in measured]
        lines += [distribution(f"{name} of a block, on", "µs", [on for on, _ in pairs]),
                  distribution(f"{name} of a block, off", "µs", [off for _, off in pairs]),
                  paired(f"{name}, on minus off", "µs", paired_differences(pairs), *levels)]
    return lines
