# SPDX-License-Identifier: BSD-3-Clause
"""Other deaths than SIGKILL, and the other device."""

import glob
import os
import signal
import time

from tandem_lab import Network, Perf, eventually

from . import deaths
from .memory_limit import CannotLimit, MemoryLimit
from .report import count
from .rig import FAILURES, MS, Rig

NAME = "causes"
TITLE = "takeover on TAP, and after a hang, a crash with a core dump, and an OOM kill"

DETECT_MS = 50
#: A crash or a hang may take longer than a kill; the window without a kill is as long.
LONG_WINDOW_NS = 300 * MS


def measure(bench, table):
    table.method += deaths.METHOD
    budget = bench.budget(table, 3, 3, 2, 2, 2, 2)
    for load_kind in (deaths.PING_PONG, deaths.BULK):
        run(bench, table, budget, "tap", load_kind, deaths.KILLED, bench.choose(50, 4), "TAP")
    hang = deaths.Cause("SIGSTOP", deaths.by_signal(signal.SIGSTOP), stall_ns=DETECT_MS * MS, window_ns=LONG_WINDOW_NS)
    run(bench, table, budget, "xdp", deaths.PING_PONG, hang, bench.choose(30, 3), "hung primary", options=("--detect", str(DETECT_MS)))
    for number in (signal.SIGSEGV, signal.SIGABRT):
        crash = deaths.Cause(number.name, deaths.by_signal(number), window_ns=LONG_WINDOW_NS)
        run(bench, table, budget, "xdp", deaths.PING_PONG, crash, bench.choose(20, 3), f"{number.name} with a core dump",
            core_dump_method(), prepare=deaths.allow_core_dump, dumps=Dumps())
    out_of_memory(bench, table, budget)


def run(bench, table, budget, kind, load_kind, cause, rounds, title, *method, options=(), prepare=None, dumps=None):
    bulk_options = deaths.BULK_OPTIONS if load_kind is deaths.BULK else ()
    with Rig(bench, kind=kind, options=(*options, *bulk_options)) as rig:
        table.section(f"{title}, {load_kind.name}", rig.method(), "all sleeping", *method)
        deaths_run = deaths.DeathRun(bench, table, rig, load_kind, cause, prepare, dumps.collect if dumps else None)
        try:
            rig.group.start_pair()
            deaths_run.run(rounds, budget())
        except FAILURES as error:
            table.fail(f"{title}, {load_kind.name}: {error}")
        finally:
            table.add(*deaths_run.figures())
            if dumps:
                table.add(*dumps.figures())


def core_dump_method():
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        pattern = file.read().strip()
    where = "a program of this machine's" if pattern.startswith("|") else "a directory of the run's own, and removed" \
        if "/" not in pattern else "where this machine keeps them"
    return f"RLIMIT_CORE is unlimited; core_pattern is left as it is here (\"{pattern}\"), so dumps go to {where}"


class Dumps:
    """Core dumps in our directory, which is the processes' working directory too. They are removed once counted."""

    def __init__(self):
        self.sizes = []

    def collect(self):
        for path in glob.glob("core*"):
            self.sizes.append(os.path.getsize(path))
            os.remove(path)

    def figures(self):
        return [count("core dumps found", len(self.sizes)),
                count("largest of them", max(self.sizes, default=0) / 2**20, unit="MiB")]


def out_of_memory(bench, table, budget):
    until = budget()
    try:
        limit = MemoryLimit()
    except CannotLimit as error:
        table.section("OOM kill")
        table.method.append(f"OOM kill cannot be shown here: {error}")
        return
    greedy = []
    connections = [0]

    def act(rig, pid):
        # New connections whose send queues fill at once take more than is left.
        # Each time more of them, since the memory of those before may still lie idle in the process.
        connections[0] += 32
        moment_ns = time.monotonic_ns()
        before = limit.kills()
        limit.hold(pid, 1 << 20)
        try:
            greedy.append(Perf(rig.network.peer, rig.directory, "receive", "--connect", rig.network.v4(Network.PAIR), "--connections",
                               str(connections[0]), "--socket-buffer", "4096", "--time", "60"))
            eventually(lambda: limit.kills() > before, "the OOM killer has ended the primary", 10)
        finally:
            limit.release()
        return moment_ns

    cause = deaths.Cause("OOM kill", act, window_ns=LONG_WINDOW_NS, knows_moment=False)
    try:
        run(bench, table, lambda: until, "xdp", deaths.PING_PONG, cause, bench.choose(10, 2), "OOM kill",
            "a memory cgroup that lets the primary have 1 MiB more, then new connections that fill their send queues; the moment of death is "
            "the kernel's, so only what follows the notice is known, and the windows begin when the limit was set",
            options=("--send-queue", "256K"), prepare=lambda _pid: end_all(greedy))
    finally:
        end_all(greedy)
        limit.close()


def end_all(greedy):
    while greedy:
        process = greedy.pop().process
        process.kill()
        process.wait(5)
