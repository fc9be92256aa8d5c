# SPDX-License-Identifier: BSD-3-Clause
"""A planned switchover under load, asked for and by SIGTERM."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import eventually, exit_code, run  # noqa: E402
from tandem_lab.network import program  # noqa: E402
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402


class Switchover(Scenario):
    judged_bytes = 160
    def test_streams_survive_planned_switchovers(self):
        self.group.start_pair()
        resets = self.watch_resets()
        foreign = self.foreign_traffic()
        # What is sent to the pair comes no faster than two processors shared with the peer can take it in: a full TAP queue loses
        # packets, without any switchover.
        streams = [self.perf("echo", "--rate", "20M", version=4), self.perf("chargen", version=6),
                   self.perf("discard", "--rate", "10M", version=6), self.perf("rr", "--connections", "8", version=4)]
        takeovers = 0
        for index in range(rounds(16)):
            status = self.group.wait_protected()
            old = self.group.process_of(status["pid"])
            if index % 2 == 0:
                # The process stays and becomes the twin.
                run([program("tandemctl"), "--runtime-dir", self.group.runtime_dir, "--group", self.group.name,
                     "switchover"])
            else:
                # The process ends in good order, as for a software upgrade.
                old.signal(signal.SIGTERM)
            taken = self.group.wait_taken_over(status["pid"])
            takeovers += 1
            self.assertEqual(taken["timeline"]["cause"], "switchover")
            self.assertEqual(taken["takeovers"], takeovers)
            for stream in streams:
                stream.wait_progress(taken["timeline"]["noticed_at"],
                                     directions=["sent"] if "discard" in stream.name else ["received"])
            if index % 2 == 0:
                after = self.group.wait_protected()
                self.assertEqual(after["twin"], old.pid, "the old primary is the new twin")
            else:
                self.assertEqual(old.wait(10), exit_code.OK, self.group.tail())
                self.group.start()
        self.assertEqual(self.network.peer.counter("TcpExtTCPTimeouts"), 0)
        self.assert_good(foreign, *streams)
        self.assert_no_reset(resets)
        self.assert_no_frame_lost()

    def test_a_switchover_to_a_twin_that_does_not_move_is_taken_back(self):
        before = self.group.start_pair()
        resets = self.watch_resets()
        # A primary hands over to whoever is not behind: what comes between the stop and the request has to be little.
        streams = [self.perf("echo", "--rate", "2M", version=version) for version in (4, 6)]
        stopped = self.group.process_of(before["twin"])
        stopped.signal(signal.SIGSTOP)
        answer = self.group.ask("switchover")
        self.assertEqual(answer["switchover"], "begun")
        status = eventually(lambda: (now := self.group.status(1)) and now["epoch"] > before["epoch"] and now, "the primary goes on")
        self.assertEqual((status["pid"], status["takeovers"], status["protected"]), (before["pid"], 0, False))
        for stream in streams:
            stream.wait_progress(time.monotonic_ns(), directions=["received"])
        # The one that did not move finds itself removed and joins again, and then nothing is in the way of a switchover.
        stopped.signal(signal.SIGCONT)
        self.assertEqual(self.group.wait_protected()["twin"], stopped.pid)
        self.group.ask("switchover")
        taken = self.group.wait_taken_over(before["pid"])
        self.assertEqual((taken["pid"], taken["timeline"]["cause"]), (stopped.pid, "switchover"))
        for stream in streams:
            stream.wait_progress(taken["timeline"]["noticed_at"], directions=["received"])
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def test_without_a_twin_a_switchover_is_refused_and_sigterm_closes_in_good_order(self):
        primary = self.group.start_primary()
        answer = self.group.ask("switchover")
        self.assertIn("no switchover", answer["error"])
        stream = self.perf("echo", "--rate", "1M")
        primary.signal(signal.SIGTERM)
        self.assertEqual(primary.wait(15), exit_code.OK, self.group.tail())
        result = stream.wait()
        self.assertIn("closed", result["errors"][0])
        self.assertEqual(result["resets"], 0)
        eventually(lambda: self.group.status(1) is None, "nobody answers any more")

    def test_a_twin_that_is_told_to_end_as_its_primary_dies_closes_in_good_order(self):
        status = self.group.start_pair()
        primary, twin = (self.group.process_of(status[who]) for who in ("pid", "twin"))
        stream = self.perf("echo", "--rate", "1M")
        # It learns of both at once.
        twin.signal(signal.SIGSTOP)
        primary.kill()
        primary.wait(10)
        twin.signal(signal.SIGTERM)
        twin.signal(signal.SIGCONT)
        self.assertEqual(twin.wait(15), exit_code.OK, self.group.tail())
        result = stream.wait()
        self.assertIn("closed", result["errors"][0])
        self.assertEqual(result["resets"], 0)


class Xdp(Switchover):
    kind = "xdp"


class Tap(Switchover):
    kind = "tap"


del Switchover

if __name__ == "__main__":
    main()
