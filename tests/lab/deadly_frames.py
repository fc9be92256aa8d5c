# SPDX-License-Identifier: BSD-3-Clause
"""A frame that ends whoever reads it, or holds it for ever, from a real peer that sends it again and again: the group survives it, and
others notice nothing. What ends one process after the other and is no frame ends the group, with a code of its own."""

import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, exit_code  # noqa: E402
from tandem_lab.container import contain, inner  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

DEADLY = "deadly-content"


class DeadlyFrames(Scenario):
    def lines(self, *words):
        return [line for process in self.group.processes for line in process.output().splitlines()
                if all(word in line for word in words)]

    def connect(self):
        """A connection of the peer's kernel to the echo service."""
        client = self.network.peer.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(client.close)
        client.settimeout(20)
        client.connect((Network.v4(Network.PAIR), 7))
        client.sendall(b"harmless")
        self.assertEqual(client.recv(100), b"harmless")
        return client

    def start_armed(self, where, options=()):
        self.group = self.make_group(options=list(options), name="deadly", environment={"TANDEM_DEADLY": f"{where}:{DEADLY}"})
        # What the wire oracle has to see is that nothing else than the deadly connection suffers.
        self.group.crashes = lambda: []
        self.group.start_pair()

    def keep_pair(self):
        """Starts a process for each that has ended, as systemd does."""
        running = [process for process in self.group.processes if process.is_running()]
        if len(running) < 2:
            self.group.start()
        return running

    def reset_of(self, client):
        """Whether the peer's connection has been reset."""
        client.setblocking(False)
        try:
            return client.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def run_through(self, where, options=(), ended_by=signal.SIGABRT, counted="deaths"):
        self.start_armed(where, options)
        stream = self.perf("echo", "--rate", "500K")
        client, other = self.connect(), self.connect()
        client.sendall(DEADLY.encode())

        def is_over():
            self.keep_pair()
            return self.reset_of(client)

        eventually(is_over, "the connection that cannot go on is reset", 60, 0.01)
        self.group.wait_protected()
        # Two processes have died of it, or three where the first one's death named no single frame; never one more.
        deaths = [process for process in self.group.processes if process.exit_code() == -ended_by]
        self.assertIn(len(deaths), (2, 3), self.group.tail())
        self.assertEqual(self.group.answered()["takeovers"], len(deaths))
        self.assertTrue(self.lines("dropped the TCP segment of"), self.group.tail())
        self.assertEqual(len(self.lines("it has ended 2 processes and is dropped whenever it comes")), 1)
        self.assertEqual(len(self.lines("resetting the connection with")), 1)
        self.assertEqual([entry[counted] for entry in self.group.answered()["deadly_frames"]], [2])
        self.assertGreaterEqual(self.group.metrics()["frames_deadly_total"], 1)
        # Everybody else goes on.
        other.sendall(b"still there")
        self.assertEqual(other.recv(100), b"still there")
        self.assert_good(stream)

    def test_a_frame_that_ends_its_readers(self):
        self.run_through("input")

    def test_a_frame_whose_handler_ends_its_readers(self):
        self.run_through("handler")

    def test_a_frame_that_holds_its_readers_for_ever(self):
        self.run_through("input-hang", ("--detect", "200"), signal.SIGKILL, "hangs")

    def test_a_frame_whose_handler_holds_its_readers_for_ever(self):
        self.run_through("handler-hang", ("--detect", "200"), signal.SIGKILL, "hangs")

    def test_a_frame_that_holds_readers_whom_only_an_operator_can_end(self):
        """No fence, no takeover: the twin says so and waits. Whoever ends the process that hangs decides that it has hung."""
        self.group = self.make_group(options=["--detect", "200"], name="contained",
                                     environment={"TANDEM_DEADLY": f"input-hang:{DEADLY}"})
        contain(self.group)
        processes = [self.group.start_primary(), self.group.start()]
        stream = self.perf("echo", "--rate", "500K")
        client = other = None
        for hangs in (1, 2):
            eventually(lambda: (s := self.group.status(1)) and s["protected"], "the group is protected", timeout=20)
            if client is None:
                client, other = self.connect(), self.connect()
                client.sendall(DEADLY.encode())
            primary, twin = processes[-2:]
            eventually(lambda: "cannot be ended from here" in twin.output(), "the twin says that it waits", timeout=20)
            self.assertIn("end it by hand, and this twin takes over", twin.output())
            self.assertNotIn("took over", twin.output())
            os.kill(inner(primary), signal.SIGKILL)
            eventually(lambda: "took over from pid 1, which died" in twin.output(), "the twin takes over", timeout=20)
            eventually(lambda: len(self.lines("dropped the TCP segment of")) >= hangs, "the frame is dropped", timeout=20)
            processes.append(self.group.start())
        eventually(lambda: self.reset_of(client), "the connection that cannot go on is reset", 60, 0.01)
        self.assertEqual([entry["hangs"] for entry in self.group.answered()["deadly_frames"]], [2])
        other.sendall(b"still there")
        self.assertEqual(other.recv(100), b"still there")
        self.assert_good(stream)

    def test_deaths_without_a_frame_end_the_group_and_it_can_be_started_anew(self):
        self.group = self.make_group(name="quiet", environment={"TANDEM_DEADLY": "quiet"})
        self.group.crashes = lambda: []
        self.group.start_primary()

        def given_up():
            self.keep_pair()
            return [process for process in self.group.processes if process.exit_code() == exit_code.TAKEOVER_LOOP]

        last, = eventually(given_up, "the group gives up", 60, 0.01)
        self.assertIn("processes in a row died by their own fault while no frame came in", last.output())
        # An end is noticed before it is complete.
        eventually(lambda: sum(process.exit_code() == -signal.SIGABRT for process in self.group.processes) >= 4,
                   "four processes have died", 10)
        # Nobody goes on with what was there: whoever is started begins anew, and works.
        for process in self.group.processes:
            process.end()
        self.group.environment = {}
        self.group.start_pair()
        client = self.connect()
        old, _ = self.group.kill_primary()
        self.group.wait_taken_over(old)
        client.sendall(b"still there")
        self.assertEqual(client.recv(100), b"still there")

    def test_a_signal_that_somebody_sends_condemns_no_frame(self):
        self.group.crashes = lambda: []
        self.group.start_pair()
        stream = self.perf("echo", "--rate", "20M")
        for _ in range(5):
            old, _ = self.group.kill_primary(signal.SIGSEGV)
            self.group.wait_taken_over(old)
            self.group.start()
            self.group.wait_protected()
            self.assertEqual(self.group.metrics()["frames_deadly_total"], 0)
        self.assertEqual(self.lines("dropped the TCP segment of"), [])
        self.assert_good(stream)


class Xdp(DeadlyFrames):
    kind = "xdp"


class Tap(DeadlyFrames):
    kind = "tap"


del DeadlyFrames

if __name__ == "__main__":
    main()
