# SPDX-License-Identifier: BSD-3-Clause
"""Takeover after SIGKILL under load, AF_XDP on veth."""

import time

from . import deaths
from .report import Table, count, distribution
from .rig import FAILURES, Rig, sleep_until_ns
from .windows import MS, last_goes_on_ns

NAME = "takeover"
TITLE = "takeover after SIGKILL under load, AF_XDP on veth"

MANY = 1000


def measure(bench, table):
    table.method += deaths.METHOD
    kills = bench.choose(200, 6)
    many_kills = bench.choose(50, 3)
    budget = bench.budget(table, 3, 4, 1, 3, 4, 1)
    for twin, options in (("sleeping", ()), ("spinning", ("--twin-spin",))):
        for load_kind in (deaths.PING_PONG, deaths.BULK):
            with Rig(bench, options=(*options, *(deaths.BULK_OPTIONS if load_kind is deaths.BULK else ()))) as rig:
                table.section(f"twin {twin}, {load_kind.name}", rig.method(), "primary and peer sleeping")
                run = deaths.DeathRun(bench, table, rig, load_kind, deaths.KILLED)
                try:
                    rig.group.start_pair()
                    run.run(kills, budget())
                except FAILURES as error:
                    table.fail(f"twin {twin}, {load_kind.name}: {error}")
                finally:
                    table.add(*run.figures(levels=True))
        with Rig(bench, options=options) as rig:
            table.section(f"twin {twin}, {MANY} connections that each have a request of 64 bytes in flight", rig.method(),
                          "last goes on: all connections have had an answer since the moment, by reports of every ms",
                          "primary and peer sleeping")
            try:
                table.add(*many_connections(rig, many_kills, budget()))
            except FAILURES as error:
                table.fail(f"twin {twin}, {MANY} connections: {error}")


def many_connections(rig, kills, until):
    rig.group.start_pair()
    load = rig.load("rr", "--gap-floor", "1000000", connections=MANY, report_ms=1)
    moments = []
    while len(moments) < kills and time.monotonic() < until:
        status = rig.wait_protected()
        sleep_until_ns(time.monotonic_ns() + deaths.FORMER_NS)
        control_ns = time.monotonic_ns()
        sleep_until_ns(control_ns + deaths.WINDOW_NS)
        death_ns = deaths.KILLED.act(rig, status["pid"])
        sleep_until_ns(death_ns + deaths.WINDOW_NS)
        timeline = rig.taken_over(status["pid"])["timeline"]
        moments.append((control_ns, death_ns, timeline))
        # Before the next twin comes: what the kill costs, and not what that costs.
        rig.start_twin()
    history = load.history
    result = rig.finish(load)
    seen = {name: [last_goes_on_ns(history, moment[index]) for moment in moments] for index, name in enumerate(("control", "kill"))}
    lines = [count("deaths by SIGKILL", len(moments)),
             distribution("death to first packet", "µs",
                          [(line["noticed_at"] - at + line["first_packet"]) / 1e3 for _, at, line in moments])]
    for name, what in (("control", "last of 1,000 goes on, no kill"), ("kill", "last of 1,000 goes on, kill")):
        lines.append(distribution(what, "ms", [value / MS for value in seen[name] if value is not None]))
    lines.append(count("kills after which not all went on", sum(value is None for value in seen["kill"]), 0))
    lines.append(count("segments that the peer sent again in the whole run", result["retransmissions"]))
    return lines
