# SPDX-License-Identifier: BSD-3-Clause
"""What every test of the lab begins with and ends with."""

import os
import random
import shutil
import sys
import tempfile
import threading
import unittest

from .capture import ENDS, Capture, judge, read_packets, unasked_resets
from .isolation import SKIPPED, is_root, isolate, limit_run_time
from .network import Network, programs_directory
from .pair import Group
from .perf import Perf
from .process import Process
from .talk import Talk


class Scenario(unittest.TestCase):
    """One wire, one group, and peers. Subclasses say which device."""

    kind = None
    program = ["tandem-inetd"]
    #: Options of the program's beside the common ones.
    options = ()
    #: What the pair's processes find in their environment.
    environment = {}
    #: Further addresses of the peer's, by their last number.
    extra_peers = ()
    #: So many bytes of each frame are kept for the wire oracle; 0: all. Where the streams are too fast and too long for the
    #: disk, their headers and first bytes have to do.
    judged_bytes = 0

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="tandem-lab-")
        self.addCleanup(self._remove_directory)
        # The moments of the kills are random; the seed that finds something finds it again.
        self.seed = int(os.environ.get("TANDEM_SEED", random.SystemRandom().randrange(1 << 32)))
        self.random = random.Random(self.seed)
        print(f"seed {self.seed} (TANDEM_SEED chooses it)")
        self.network = self.make_network()
        self.addCleanup(self.network.close)
        self._watch_wire()
        self.group = self.make_group()

    def make_network(self):
        return Network(self.kind, self.extra_peers)

    def _remove_directory(self):
        if self._failed() and "TANDEM_KEEP" in os.environ:
            print(f"kept: {self.directory}")
            return
        shutil.rmtree(self.directory, ignore_errors=True)

    def _watch_wire(self):
        """Captures what the peer sees of the pair, for the wire oracle to judge in the end."""
        self.network.keep_order()
        match = " or ".join(f"host {address}" for address in self._judged())
        capture = Capture(self.network.peer, self.directory, "wire", f"({match})", snap_bytes=self.judged_bytes, buffer_kib=131072)
        self.addCleanup(self._judge_wire, capture)

    def _judged(self):
        return [address.split("/")[0] for address in self.network.pair_addresses()]

    def _judge_wire(self, capture):
        path = capture.stop()
        options = [word for address in self._judged() for word in ("--judge", address)]
        if self.kind == "xdp":
            options += ["--mac", self.network.BOX_MAC, "--also", Network.v4(Network.HOST), "--also", Network.v6(Network.HOST)]
        lost = capture.lost()
        if lost:
            options.append("--gaps")
        good, said = judge(path, *options)
        print(f"wire oracle: {said.splitlines()[-1]}{f'; the capture lacks {lost} packets' if lost else ''}")
        self.assertTrue(good, f"the wire oracle found fault with the pair (capture: {path}):\n{said}")

    def _failed(self):
        outcome = getattr(self, "_outcome", None)
        result = getattr(outcome, "result", None)
        if result is None:
            return False
        return any(test is self for test, _ in result.errors + result.failures)

    def make_group(self, program=None, options=None, name="lab", **more):
        options = [*self.options] if options is None else options
        more.setdefault("environment", self.environment)
        group = Group(self.network, self.directory, program or self.program, name=name, options=options, **more)
        self.addCleanup(self._close_group, group)
        return group

    def _close_group(self, group):
        group.close()
        self.assertEqual(group.crashes(), [])

    def perf(self, mode, *options, number=Network.PAIR, version=4, namespace=None, time_s=240):
        """Starts tandem-perf at the peer, against the pair, over one of the IP versions, and waits for its connections."""
        address = Network.v4(number) if version == 4 else Network.v6(number)
        count = int(options[options.index("--connections") + 1]) if "--connections" in options else 1
        perf = Perf(namespace or self.network.peer, self.directory, mode, "--connect", address, "--time", str(time_s),
                    *options)
        self.addCleanup(perf.close)
        return perf.wait_connected(count)

    def talk(self, to, source=None, **how):
        """A connection of the peer's kernel to the echo service, over which something was said."""
        talk = Talk(self.network, to, source, **how)
        self.addCleanup(talk.close)
        self.assertTrue(talk.once())
        return talk

    def watch_resets(self):
        """Counts RST segments at the peer from now on."""
        capture = Capture(self.network.peer, self.directory, "resets", ENDS)
        self.addCleanup(capture.stop)
        return capture

    def assert_no_reset(self, capture):
        packets = unasked_resets(read_packets(capture.stop()))
        self.assertEqual(packets, [], "RST segments were seen at the peer")

    def assert_good(self, *perfs):
        """Ends them in good order: every byte was right, and the connection closed as it should."""
        results = []
        for perf in perfs:
            result = perf.finish()
            self.assertTrue(result["ok"], f"{perf.name}: {result['errors']}; {self.group.tail()}")
            for digest in result["sha256"]:
                if result["mode"] != "discard":
                    self.assertEqual(digest["expected"], digest["seen"])
            results.append(result)
        return results

    def assert_no_frame_lost(self):
        metrics = self.group.metrics()
        self.assertEqual(metrics["frames_missing"], 0)
        return metrics

    def foreign_traffic(self):
        """A service of the kernel's on the box's own address, on the same interface; returns a verifying client."""
        server = Process([os.path.join(programs_directory(), "tandem-perf"), "serve", "--kernel", "--port-base", "20000"],
                         os.path.join(self.directory, "foreign.log"), namespace=self.network.box)
        self.addCleanup(server.end)
        self.wait_listening(self.network.box, 20007)
        return self.perf("echo", "--port-base", "20000", "--rate", "500K", "--size", "1000", number=Network.HOST)

    def wait_listening(self, namespace, port):
        from .pair import eventually
        eventually(lambda: f":{port} " in namespace.run("ss", "-Hltn"), f"somebody listens on port {port}")

    def pause(self, least_s, most_s):
        """Lets a random time pass, so that the next thing happens at a random moment."""
        threading.Event().wait(self.random.uniform(least_s, most_s))


def rounds(usual):
    """How often to repeat: fewer times under sanitizers, as TANDEM_ROUNDS says in percent."""
    return max(2, usual * int(os.environ.get("TANDEM_ROUNDS", "100")) // 100)


def main(limit_s=240):
    """Runs the tests of the calling file; arguments as those of unittest."""
    if not is_root():
        print("skipped: the lab makes network namespaces and AF_XDP sockets, which takes root")
        sys.exit(SKIPPED)
    isolate()
    limit_run_time(limit_s)
    unittest.main(verbosity=2)
