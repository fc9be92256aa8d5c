# SPDX-License-Identifier: BSD-3-Clause
"""A wire, a group and its load, placed on processors: what every table is measured on."""

import os
import time

from tandem_lab import Group, Network, Perf, Timeout, eventually
from tandem_lab.process import CommandFailed

from .windows import MS
from .wire_gaps import WireGaps

#: What a measurement may end with that the next one need not suffer from.
FAILURES = (Timeout, CommandFailed, RuntimeError, AssertionError, OSError, KeyError, ValueError)


class Placement:
    """Which processors the primary, the twin and the peer may use."""

    def __init__(self, text):
        self.processors = {}
        if text == "free":
            return
        if text == "split":
            every = sorted(os.sched_getaffinity(0))
            first, rest = every[:1], every[1:] or every
            self.processors = {"primary": first, "peer": rest[:1], "twin": rest[1:2] or rest}
            return
        for part in text.split(","):
            role, _, number = part.partition("=")
            if role not in ("primary", "twin", "peer") or not number.isdigit():
                raise ValueError(f"'{part}' is not primary=N, twin=N or peer=N")
            self.processors[role] = [int(number)]

    def apply(self, role, pid):
        """Every thread of the process."""
        if role not in self.processors:
            return
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), self.processors[role])

    def __str__(self):
        count = len(os.sched_getaffinity(0))
        if not self.processors:
            return f"{count} processors for primary, twin and peer; none is bound to one"
        return f"{count} processors; " + ", ".join(
            f"{role} on {'+'.join(map(str, numbers))}" for role, numbers in self.processors.items())


class PlacedGroup(Group):
    """A group whose processes are bound as they come and as they are promoted."""

    def __init__(self, placement, first_options, *arguments, **options):
        super().__init__(*arguments, **options)
        self.placement = placement
        self.first_options = first_options

    def start(self, environment=None, extra=()):
        role = "twin" if self.processes else "primary"
        process = super().start(environment, (*extra, *([] if self.processes else self.first_options)))
        self.placement.apply(role, process.pid)
        return process


class Load(Perf):
    """tandem-perf at the peer; keeps the line of progress of every report."""

    def __init__(self, placement, *arguments, **options):
        self.history = []
        super().__init__(*arguments, **options)
        placement.apply("peer", self.process.pid)

    @property
    def progress(self):
        return self._progress

    @progress.setter
    def progress(self, event):
        self._progress = event
        if event:
            self.history.append((event["at_ns"], event["oldest_received_ns"]))


class Rig:
    """To be used with `with`: what it has started ends with it."""

    def __init__(self, bench, kind="xdp", options=(), first_options=(), placement="free"):
        """`first_options` are for the first process alone, which stays primary as long as nobody ends it."""
        self.directory = bench.make_directory()
        self.placement = Placement(bench.cores or placement)
        self.options = [*options]
        self.first_options = [*first_options]
        self.network = Network(kind)
        self.network.switch_offloads_off()
        self.loads = []
        self.watched = None
        self.group = PlacedGroup(self.placement, self.first_options, self.network, self.directory, ["tandem-inetd"], name="bench",
                                 options=self.options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for load in self.loads:
            load.close()
        if self.watched is not None:
            self.watched.close()
        self.group.close()
        self.network.close()

    def watch_wire(self):
        """The gaps between the pair's packets at the peer's interface, from now on."""
        self.watched = self.watched or WireGaps(self.network)
        return self.watched

    def method(self):
        device = self.network.device.split(":")[0].replace("xdp", "AF_XDP on veth").replace("tap", "TAP behind a bridge")
        options = " ".join(self.options) or "with its default options"
        if self.first_options:
            options += f", the primary also with {' '.join(self.first_options)}"
        return (f"{device}, tandem-inetd {options}; {self.placement}; "
                "peer: tandem-perf on the kernel's sockets")

    def load(self, mode, *options, report_ms=20, connections=1, time_s=600):
        """A load that runs until it is told to end."""
        load = self._start(mode, options, report_ms, connections, time_s)
        try:
            return load.wait_connected(connections, timeout=60)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.errors_of(load)}") from None

    def _start(self, mode, options, report_ms, connections, time_s):
        load = Load(self.placement, self.network.peer, self.directory, mode, "--connect", self.network.v4(Network.PAIR), "--time",
                    str(time_s), "--connections", str(connections), *options, report_ms=report_ms)
        self.loads.append(load)
        return load

    def run_to_end(self, mode, *options, time_s):
        """The result of a load of one connection that ends by itself."""
        load = self._start(mode, options, 100, 1, time_s)
        self.loads.remove(load)
        try:
            return self._good(load, load.wait(timeout=time_s + 40))
        finally:
            load.close()

    @staticmethod
    def errors_of(load):
        load.process.end(1)
        eventually(lambda: load.result is not None, "a result", 2)
        return load.result["errors"][:3]

    def finish(self, load):
        """The result of a load; a connection that was not served to its last byte is a failure."""
        self.loads.remove(load)
        try:
            return self._good(load, load.finish())
        finally:
            load.close()

    @staticmethod
    def _good(load, result):
        if not result["ok"]:
            raise AssertionError(f"{load.name}: {result['errors'][:3]}")
        return result

    def start_twin(self, timeout=30):
        """Starts a process and waits until the group is protected; returns the status."""
        self.group.start()
        return self.wait_protected(timeout)

    def wait_protected(self, timeout=30):
        def is_protected():
            newest = self.group.processes[-1]
            if newest.exit_code() is not None:
                raise RuntimeError(f"the new twin ended with {newest.exit_code()}; {self.group.tail()}")
            status = self.group.status(2)
            return status if status and status["protected"] else None

        return eventually(is_protected, "the group is protected", timeout, interval=0.01)

    def end_twin(self, timeout=10):
        """Ends the twin in good order and waits until the primary knows."""
        status = self.group.status()
        if status["twin"] is not None:
            self.group.process_of(status["twin"]).end()
        return eventually(lambda: (lambda s: s and s["twin"] is None and s)(self.group.status(2)), "the primary is alone", timeout)

    def taken_over(self, old_pid, timeout=20):
        """The status of the one that took over, with a timeline that has its first packet."""

        def has_taken_over():
            status = self.group.status(2)
            if not status or status["pid"] == old_pid or status["role"] != "primary":
                return None
            return status if "first_packet" in status["timeline"] else None

        status = eventually(has_taken_over, "another process has taken over and sent a packet", timeout, interval=0.005)
        self.placement.apply("primary", status["pid"])
        return status


def processor_ns(pid):
    """Time that all threads of a process have had on a processor, nanoseconds."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def resident_bytes(pid, kind="RssAnon"):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(kind + ":"):
                return int(line.split()[1]) * 1024
    raise KeyError(kind)


class PeerCounters:
    """The peer's kernel and both ends of the wire, without starting a process."""

    KERNEL = ("RetransSegs", "TCPTimeouts", "TCPLossProbes", "TCPFastRetrans", "TCPOFOQueue", "TCPSACKReneging")

    def __init__(self, network):
        self._network = network

    def read(self):
        values = {}
        for name in ("snmp", "netstat"):
            with open(f"/proc/{self._network.peer.pid}/net/{name}", encoding="ascii") as file:
                lines = file.read().splitlines()
            for keys, numbers in zip(lines[::2], lines[1::2]):
                for key, number in zip(keys.split()[1:], numbers.split()[1:]):
                    if key in self.KERNEL and keys.startswith(("Tcp:", "TcpExt:")):
                        values[key] = int(number)
        values["interfaces"] = sum(self._dropped(namespace) for namespace in (self._network.peer, self._network.box))
        return values

    @staticmethod
    def _dropped(namespace):
        with open(f"/proc/{namespace.pid}/net/dev", encoding="ascii") as file:
            rows = [line.split(":") for line in file.read().splitlines()[2:]]
        # Errors and drops of each direction; the loopback carries nothing of ours.
        return sum(int(row[1].split()[column]) for row in rows if row[0].strip() in ("p0", "t0", "tap0", "br0") for column in (2, 3, 10, 11))

    @staticmethod
    def difference(before, after):
        return {key: after[key] - before[key] for key in before}


def sleep_until_ns(moment_ns):
    while (left := moment_ns - time.monotonic_ns()) > 0:
        time.sleep(left / 1e9)


__all__ = ["FAILURES", "Load", "MS", "PeerCounters", "Placement", "Rig", "processor_ns", "resident_bytes", "sleep_until_ns"]
