# SPDX-License-Identifier: BSD-3-Clause
"""A lane: one wire, one group, traffic over it, and what may happen to it.

Whatever happens, its peers must notice nothing: what they would notice becomes a finding under the name of a check.
"""

import os
import re
import signal
import time
from collections import Counter, defaultdict

from tandem_lab import Capture, Group, Network, Perf, eventually, peers
from tandem_lab.capture import ENDS, read_packets, unasked_resets
from tandem_lab.resources import anonymous_kib, descriptors, growth

#: What must hold on every lane, by the name that the summary prints.
CHECKS = ("streams are exact", "no reset at the peer", "every takeover was asked for", "protected again after each event",
          "no process crashed", "no memory growth", "no descriptor growth", "no frame lost")

#: A busy machine keeps healthy processes waiting; shorter than this would be its fault, not theirs.
DETECT_MS = 1000

#: Growth that is none: allocation differs with what is under way.
MEMORY_NOISE_KIB = 512
FRAMES_NOISE = 256
#: Samples that tell growth: of the lane as a whole, and of one process that lives long.
LEAST_SAMPLES = 12


class Lane:
    checks = CHECKS
    #: Events and how often each is drawn, in proportion. Those with `twin` in their name leave the primary alone.
    weights = {"kill": 6, "segfault": 2, "hang": 2, "switchover": 3, "upgrade": 2, "kill_twin": 3, "hang_twin": 1}
    options = ["--send-queue", "256K", "--receive-window", "256K", "--log-size", "8M", "--detect", str(DETECT_MS)]
    extra_peers = ()

    def __init__(self, kind, directory, time_s):
        self.name = f"{kind} {self.what}"
        self.directory = os.path.join(directory, self.name.replace(" ", "-"))
        os.makedirs(self.directory)
        self.time_s = time_s
        self.findings = defaultdict(list)
        self.events = Counter()
        self.takeovers = 0
        self.killed = {}
        self.samples = defaultdict(list)
        self.last = {}
        self.resets_seen = 0
        self.slowest_ms = 0
        self.closers = []
        self.network = Network(kind, self.extra_peers)
        self.closers.append(self.network.close)
        self.group = None

    def start(self):
        """Brings everything up; raises when that fails."""
        self.group = Group(self.network, self.directory, self.command(), name="soak", options=[*self.options, *self.more_options()])
        self.closers.append(self.group.close)
        self.prepare()
        status = self.group.start_pair(30)
        self.pid, self.takeovers = status["pid"], status["takeovers"]
        self.capture = Capture(self.network.peer, self.directory, "resets", ENDS)
        self.closers.append(self.capture.process.end)
        self.connect()

    def close(self):
        for closer in reversed(self.closers):
            closer()

    # ---- What happens ----

    def replaced(self, old_pid, cause):
        """After a takeover that was asked for: it is the twin that speaks now, and for the reason meant."""
        status = self.group.wait_taken_over(old_pid, 30)
        self.takeovers += 1
        if status["timeline"].get("cause") != cause:
            self.find("every takeover was asked for", f"it is said to be {status['timeline'].get('cause')}, and was {cause}")
        first = status["timeline"].get("first_packet") or 0
        self.slowest_ms = max(self.slowest_ms, first / 1e6)
        return status

    def signal_primary(self, number, cause):
        status = self.group.wait_protected()
        pid = status["pid"]
        self.killed[pid] = number
        os.kill(pid, number)
        self.replaced(pid, cause)
        self.group.process_of(pid).wait(30)
        self.group.start()

    def kill(self, _random):
        self.signal_primary(signal.SIGKILL, "died")

    def segfault(self, _random):
        self.signal_primary(signal.SIGSEGV, "died")

    def hang(self, _random):
        self.signal_primary(signal.SIGSTOP, "hung")

    def upgrade(self, _random):
        """SIGTERM: the primary hands over and ends."""
        self.signal_primary(signal.SIGTERM, "switchover")

    def switchover(self, _random):
        """The old primary stays, as the twin."""
        pid = self.group.wait_protected()["pid"]
        answer = eventually(lambda: self.group.ask("switchover"), "a switchover is answered")
        if "error" in answer:
            raise RuntimeError(f"no switchover: {answer['error']}")
        self.replaced(pid, "switchover")

    def kill_twin(self, _random):
        status = self.group.wait_protected()
        twin = self.group.process_of(status["twin"])
        self.killed[twin.pid] = signal.SIGKILL
        twin.kill()
        twin.wait(30)
        self.wait_without(twin.pid)
        self.group.start()

    def hang_twin(self, _random):
        """It is removed, and joins again when it runs again."""
        twin = self.group.process_of(self.group.wait_protected()["twin"])
        twin.signal(signal.SIGSTOP)
        self.wait_without(twin.pid)
        twin.signal(signal.SIGCONT)

    def wait_without(self, pid):
        def is_without():
            status = self.group.status(1)
            return status and status["twin"] != pid

        eventually(is_without, "the twin is removed", 30)

    def step(self, event, random):
        """One event, and everything whole again behind it."""
        self.events[event] += 1
        getattr(self, event)(random)
        # An end that nobody asked for leaves one process alone: that is found below, and does not end the run.
        if sum(process.is_running() for process in self.group.processes) < 2:
            self.group.start()
        status = self.group.wait_protected(40)
        if status["takeovers"] != self.takeovers:
            self.find("every takeover was asked for",
                      f"{status['takeovers']} takeovers, {self.takeovers} were asked for; {self.group.tail()}")
            self.takeovers = status["takeovers"]
        self.wait_traffic(time.monotonic_ns())
        self.sample(status)

    # ---- What is looked at ----

    def find(self, check, text):
        assert check in self.checks, check
        self.findings[check].append(text)

    def sample(self, status):
        metrics = self.group.metrics()
        if metrics["frames_missing"]:
            self.find("no frame lost", f"{metrics['frames_missing']:.0f} of {metrics['frames_total']:.0f} frames are nowhere")
        self.samples["frames", "held"].append(metrics["frames_held"])
        for role, pid in (("primary", status["pid"]), ("twin", status["twin"])):
            try:
                memory, held = anonymous_kib(pid), sum(descriptors(pid).values())
            except (OSError, StopIteration):
                # It has ended since: what follows will say why.
                continue
            # Like is compared with like: what a stream as fast as it goes has filled once its process keeps.
            for key in ((role, f"of any life{self.carried(pid)}"), (role, f"of process {pid}{self.carried(pid)}")):
                self.samples["memory", *key].append(memory)
                self.samples["descriptors", *key].append(held)
            self.last["memory", role], self.last["descriptors", role] = memory, held

    def look(self):
        """What peers and logs say by now. Called once a minute, and at the end."""
        resets = unasked_resets(read_packets(self.capture.path))
        for packet in resets[self.resets_seen:]:
            self.find("no reset at the peer", f"{packet.source}.{packet.source_port} to {packet.destination}.{packet.destination_port}")
        self.resets_seen = len(resets)
        # What has ended is looked at once, and forgotten: there will be many.
        asked_for = {f"process {pid}: ended by signal {number}" for pid, number in self.killed.items()}
        for line in self.group.crashes():
            if line not in asked_for and line not in self.findings["no process crashed"]:
                self.find("no process crashed", line)
        for process in [process for process in self.group.processes if not process.is_running()]:
            if process.exit_code() > 0:
                last = (process.output().splitlines() or [""])[-1]
                self.find("no process crashed", f"process {process.pid} exited with {process.exit_code()}: {last}")
            self.group.processes.remove(process)
            self.killed.pop(process.pid, None)
            os.unlink(process.log_path)

    def judge_growth(self):
        for key, values in self.samples.items():
            kind, *whose = key
            noise = {"memory": MEMORY_NOISE_KIB, "descriptors": 0, "frames": FRAMES_NOISE}[kind]
            by = growth(values, noise, LEAST_SAMPLES)
            if by > 0:
                check = {"memory": "no memory growth", "descriptors": "no descriptor growth", "frames": "no frame lost"}[kind]
                first, last = (", ".join(f"{value:.0f}" for value in part) for part in (values[:8], values[-8:]))
                self.find(check, f"{' '.join(whose)}: {by:.0f} more than before: {first} ... {last}")

    def newest(self, kind, role):
        return self.last.get((kind, role), 0)

    # ---- Of each kind of lane ----

    def carried(self, _pid):
        """What a process has carried that others have not, as words behind its name."""
        return ""

    def prepare(self):
        """What stands before the pair does."""

    def more_options(self):
        return []

    def finish(self):
        """Ends the traffic in good order and judges it."""


class Streams(Lane):
    """Echo and character generator, every byte verified at the peer; beside them connections that come and go."""

    what = "streams"
    weights = {**Lane.weights, "short_connections_twin_stays": 3, "bulk_twin_stays": 2}

    def command(self):
        return ["tandem-inetd"]

    def perf(self, mode, *options, version=4):
        address = Network.v4(Network.PAIR) if version == 4 else Network.v6(Network.PAIR)
        stream = Perf(self.network.peer, self.directory, mode, "--connect", address, "--time", str(self.time_s), *options)
        self.closers.append(stream.close)
        return stream

    def connect(self):
        self.idle = self.perf("connections", "--connections", "20", version=4).wait_connected(20)
        self.bulk = None
        self.with_bulk = set()
        self.received = 0
        self.streams = [
            self.perf("echo", "--rate", "1M", version=4), self.perf("echo", "--rate", "500K", "--size", "1000", version=6),
            self.perf("rr", "--connections", "4", "--pace", "5000", version=6)]
        for stream, count in zip(self.streams, (1, 1, 4)):
            stream.wait_connected(count)

    def wait_traffic(self, since_ns):
        for stream in [*self.streams, *([self.bulk] if self.bulk else [])]:
            stream.wait_progress(since_ns, timeout=20, directions=["received"])

    def carried(self, pid):
        # Each event is sampled, so there is no such stream between two samples.
        if self.bulk is not None:
            self.with_bulk.add(pid)
        return " with bulk" if pid in self.with_bulk else ""

    def bulk_twin_stays(self, random):
        """A character generator as fast as it goes begins, or ends: always, it would leave nothing to the other lanes."""
        if self.bulk is None:
            self.bulk = self.perf("chargen", version=random.choice((4, 6))).wait_connected()
        else:
            self.end(self.bulk)
            self.bulk = None

    def short_connections_twin_stays(self, random):
        stream = self.perf("rr", "--connections", "4", "--requests", "5", "--pace", "2000", version=random.choice((4, 6)))
        stream.wait_connected(4)
        self.group.wait_protected()
        self.end(stream)

    def end(self, stream):
        result = stream.finish()
        self.received += stream.progress.get("received_bytes", 0)
        stream.close()
        self.closers.remove(stream.close)
        if not result["ok"]:
            self.find("streams are exact", f"{stream.name}: {result['errors']}")
        if any(digest["expected"] != digest["seen"] for digest in result["sha256"]):
            self.find("streams are exact", f"{stream.name}: the SHA-256 of what came is not that of what was to come")
        return result

    def finish(self):
        for stream in [*self.streams, self.idle, *([self.bulk] if self.bulk else [])]:
            self.end(stream)

    def traffic(self):
        running = [*self.streams, *([self.bulk] if self.bulk else [])]
        return self.received + sum(stream.progress.get("received_bytes", 0) for stream in running)


class Bgp(Lane):
    """Sessions with BIRD, FRR and GoBGP at once."""

    what = "bgp"
    checks = (*CHECKS[1:], "sessions stay up", "no route withdrawn", "updates flow")
    weights = {**Lane.weights, "update_twin_stays": 2}
    extra_peers = (3, 4)
    routes = 100
    #: Longer than a busy machine keeps a speaker waiting.
    hold_s = 15

    def command(self):
        return ["tandem-bgpd", "--export-all", "--as", str(peers.PAIR_AS), "--router-id", "10.77.0.1", "--network", "40.0.0.0/24", "--network",
                "2001:db8:4000::/64"]

    def more_options(self):
        self.speakers = [kind(self.network, self.directory, routes=self.routes, hold_s=self.hold_s)
                         for kind in (peers.Bird, peers.Frr, peers.GoBgp)]
        return [option for speaker in self.speakers for option in speaker.neighbor_options()]

    def prepare(self):
        self.announced = 0
        for speaker in self.speakers:
            self.closers.append(speaker.close)
            speaker.start()

    def connect(self):
        for speaker in self.speakers:
            speaker.feed()
            eventually(speaker.established, f"{speaker.name} has its sessions", 60, interval=0.1)
        expected = (len(self.speakers) - 1) * self.routes + 1
        for speaker in self.speakers:
            eventually(lambda: all(session.received >= expected for session in speaker.sessions().values()),
                       f"{speaker.name} has {expected} routes of each version", 60, interval=0.1)
        self.settle()

    def settle(self):
        def is_quiet():
            before = self.tables()
            time.sleep(0.5)
            return before == self.tables()

        eventually(is_quiet, "no table changes any more", 30)
        self.baseline, self.baseline_tables = self.facts(), self.tables()

    def tables(self):
        return {speaker.name: speaker.table_changes() for speaker in self.speakers}

    def facts(self):
        return {f"{speaker.name} over IPv{version}": session._replace(withdrawn=None, uptime_s=None)
                for speaker in self.speakers for version, session in sorted(speaker.sessions().items())}

    def update_twin_stays(self, random):
        """A route of a peer's reaches the others, so it goes through the pair."""
        # What happened before is judged first: the tables change now.
        self.look_at_peers()
        speaker = random.choice(self.speakers)
        self.announced += 1
        prefix = f"30.{speaker.number}.{self.announced % 256}.0/24"
        speaker.announce(prefix)
        for other in self.speakers:
            if not eventually(lambda: other.has_route(prefix), f"{prefix} of {speaker.name} reaches {other.name}", 20, interval=0.05):
                self.find("updates flow", f"{prefix} of {speaker.name} has not reached {other.name}")
        self.settle()

    def look_at_peers(self):
        facts, tables = self.facts(), self.tables()
        for name, was in self.baseline.items():
            now = facts.get(name)
            if now is None or not now.established or now.ups != was.ups:
                self.find("sessions stay up", f"{name}: was {was}, is {now}; it says: {self.words_of(name)}")
            elif now.received < was.received:
                self.find("no route withdrawn", f"{name}: was {was}, is {now}")
        for name, was in self.baseline_tables.items():
            if tables[name] != was:
                self.find("no route withdrawn", f"the table of {name} has changed: {was}, then {tables[name]}")
        self.baseline, self.baseline_tables = facts, tables

    def words_of(self, name):
        """The last that the speaker wrote about a session's end."""
        speaker = next(speaker for speaker in self.speakers if name.startswith(speaker.name))
        lines = []
        for file in ("log", "bird.log"):
            if os.path.exists(speaker.path(file)):
                with open(speaker.path(file), encoding="utf-8", errors="replace") as log:
                    lines += [line.strip() for line in log if re.search("hold|expired|error|notification|reset", line, re.IGNORECASE)]
        return " / ".join(lines[-3:]) or "nothing"

    def look(self):
        super().look()
        self.look_at_peers()

    def wait_traffic(self, since_ns):
        """The sessions are looked at once a minute; a speaker that fell silent loses them within the hold time."""

    def finish(self):
        # One that had fallen silent would have been noticed by then.
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - begun > self.hold_s + 1, "a hold time has passed", self.hold_s + 5, interval=0.2)
        self.look_at_peers()

    def traffic(self):
        return 0


KINDS = (Streams, Bgp)
