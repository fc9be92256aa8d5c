# SPDX-License-Identifier: BSD-3-Clause
"""The stack beside the kernel's TCP: rates and the whole machine's processor time, alternating in one run."""

import os
import time

from tandem_lab import Network, Perf, eventually

from .report import distribution, paired
from .rig import FAILURES, Load, Rig
from .statistics import paired_ratios
from .windows import bytes_between

NAME = "kernel"
TITLE = "kernel's TCP, ours, ours mirrored, over the same kind of veth"

SETTLE_S = 0.2
CONGESTION_CONTROL = "cubic"
REQUEST_BYTES = 64
#: Name, the peer's mode and options, the direction in which the peer counts, bytes of one thing counted, the level that ours keeps to.
LOADS = (
    ("bulk into the stack", "send", (), "sent", 1, (0.9,)),
    ("bulk out of the stack", "receive", (), "received", 1, (0.7,)),
    ("64-byte requests, one connection", "rr", (), "received", REQUEST_BYTES, (1.0,)),
    ("64-byte requests, 100 connections", "rr", ("--connections", "100"), "received", REQUEST_BYTES, (1.0,)),
    ("connections of one request", "rr", ("--connections", "8", "--requests", "1"), "received", REQUEST_BYTES, (1.0,)),
)
KERNEL, OURS, MIRRORED = "kernel", "ours", "ours mirrored"


class KernelServer:
    """tandem-perf on the kernel's sockets, on a wire of its own that no XDP program has ever touched."""

    def __init__(self, rig):
        self.network = Network("xdp")
        self.network.switch_offloads_off()
        self.server = Perf(self.network.box, rig.directory, "serve", "--congestion-control", CONGESTION_CONTROL, report_ms=0)
        rig.placement.apply("primary", self.server.process.pid)
        eventually(lambda: self.network.box.run("ss", "-Hltn").strip(), "the kernel's server listens", 10)

    def close(self):
        self.server.close()
        self.network.close()


class Block:
    """What one stretch of one configuration has moved, and the machine's processor time for it."""

    def __init__(self, size, length_ns, processor_ns):
        self.rate = size * 1e9 / length_ns
        self.cost = processor_ns / size


def machine_ns():
    """Time that all processors were not idle, nanoseconds: both ends, the kernel between them, and whatever else ran."""
    with open("/proc/stat", encoding="ascii") as file:
        values = [int(value) for value in file.readline().split()[1:]]
    busy = sum(values[:8]) - values[3] - values[4]
    return busy * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def measure(bench, table):
    length_s = bench.choose(1.0, 0.3)
    rounds = bench.choose(8, 3)
    table.method += [
        f"{rounds} rounds of three blocks of {length_s} s (kernel, ours, ours mirrored, each behind {SETTLE_S} s of the same load) on new "
        "connections; the kernel's server is tandem-perf serve --kernel on a veth without any XDP program, offloads off on both",
        f"every kernel socket, the peer's too, uses {CONGESTION_CONTROL}",
        "ratio: of neighbouring blocks, median with its 95 % interval; a rate counts what the peer has moved in a block",
        "cost: what /proc/stat says that all processors have worked in a block, by bytes or requests moved; a twin shares the peer's processor",
    ]
    budget = bench.budget(table, *(1 for _ in LOADS))
    for name, mode, options, counted, unit_bytes, levels in LOADS:
        with Rig(bench, placement="split") as rig:
            kernel = KernelServer(rig)
            measured = []
            try:
                table.section(name, rig.method())
                until = budget()
                rig.group.start_primary()
                while len(measured) < rounds and time.monotonic() < until:
                    measured.append(one_round(rig, kernel.network, mode, options, counted, length_s))
            except FAILURES as error:
                table.fail(f"{name}, round {len(measured) + 1}: {error}")
            finally:
                table.add(*figures(unit_bytes, measured, levels))
                kernel.close()


def one_round(rig, kernel_network, mode, options, counted, length_s):
    blocks = {KERNEL: block(rig, kernel_network, Network.HOST, mode, options, counted, length_s),
              OURS: block(rig, rig.network, Network.PAIR, mode, options, counted, length_s)}
    rig.start_twin()
    blocks[MIRRORED] = block(rig, rig.network, Network.PAIR, mode, options, counted, length_s)
    rig.end_twin()
    return blocks


def block(rig, network, server, mode, options, counted, length_s):
    load = Load(rig.placement, network.peer, rig.directory, mode, "--connect", network.v4(server), "--time", "60",
                "--congestion-control", CONGESTION_CONTROL, *options)
    rig.loads.append(load)
    load.wait_connected(1, timeout=20)
    time.sleep(SETTLE_S)
    busy_ns, begin_ns = machine_ns(), time.monotonic_ns()
    time.sleep(length_s)
    busy_ns, end_ns = machine_ns() - busy_ns, time.monotonic_ns()
    result = rig.finish(load)
    size, length_ns = bytes_between(result["intervals"][counted], result["start_ns"], result["interval_ns"], begin_ns, end_ns)
    if size == 0:
        raise RuntimeError("nothing was moved in a block")
    return Block(size, length_ns, busy_ns)


def figures(unit_bytes, measured, levels):
    unit, scale = ("Mbit/s", 8 / 1e6) if unit_bytes == 1 else ("requests/s", 1 / unit_bytes)
    lines = [distribution(f"rate, {which}", unit, [blocks[which].rate * scale for blocks in measured]) for which in (KERNEL, OURS, MIRRORED)]
    for which, kept in ((OURS, levels), (MIRRORED, ())):
        lines += [paired(f"rate, {which} / kernel", "ratio", paired_ratios([(blocks[which].rate, blocks[KERNEL].rate) for blocks in measured]),
                         *kept, at_most=False, allowance_from=1),
                  paired(f"machine's processor time for the same, {which} / kernel", "ratio",
                         paired_ratios([(blocks[which].cost, blocks[KERNEL].cost) for blocks in measured]))]
    return lines
