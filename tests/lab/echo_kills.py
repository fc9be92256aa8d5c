# SPDX-License-Identifier: BSD-3-Clause
"""Streams go on, to the byte, while the process that carries them is killed at random moments."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402


class EchoKills(Scenario):
    loss_percent = 0
    kills = 25

    def test_streams_survive_kills_at_random_moments(self):
        self.group.start_pair()
        resets = self.watch_resets()
        foreign = self.foreign_traffic()
        self.network.lose(self.loss_percent)
        streams = [
            self.perf("echo", version=4),
            self.perf("chargen", version=6),
            self.perf("discard", "--rate", "4M", version=4),
            self.perf("echo", "--rate", "1M", "--size", "1000", "--connections", "8", version=6),
        ]
        for _ in range(rounds(self.kills)):
            self.pause(0, 0.05)
            at, _ = self.group.replace_primary()
            for stream in streams:
                directions = ["sent"] if "discard" in stream.name else ["received"]
                stream.wait_progress(at, timeout=30, directions=directions)
        timeouts, probes = (self.network.peer.counter("TcpExt" + name) for name in ("TCPTimeouts", "TCPLossProbes"))
        self.network.lose(0)
        foreign_result, *_ = self.assert_good(foreign, *streams)
        if self.loss_percent == 0:
            # The peer's retransmission timer, 200 ms at least, was never needed.
            self.assertEqual(timeouts, 0)
            # A probe for the loss of a tail is what a busy machine provokes; anything else would have been a loss.
            self.assertLessEqual(foreign_result["retransmissions"], probes)
        self.assert_no_reset(resets)
        self.assertEqual(self.group.answered()["takeovers"], rounds(self.kills))
        self.assert_no_frame_lost()


class Xdp(EchoKills):
    kind = "xdp"


class Tap(EchoKills):
    kind = "tap"


class XdpLoss(EchoKills):
    kind = "xdp"
    loss_percent = 2
    kills = 12


class TapLoss(EchoKills):
    kind = "tap"
    loss_percent = 2
    kills = 12


class OldKernel(EchoKills):
    """As on Linux 6.1, whose io_uring cannot wait for a word in shared memory."""

    environment = {"TANDEM_WITHOUT_FUTEX_WAIT": "1"}
    kills = 8

    def test_it_is_said_who_waits_for_an_end(self):
        self.group.start_pair()
        self.assertEqual(self.group.answered()["futex_wait"], "thread")
        self.assertIn("a thread waits for the primary's end", self.group.processes[-1].output())


class XdpOldKernel(OldKernel):
    kind = "xdp"


class TapOldKernel(OldKernel):
    kind = "tap"


del EchoKills, OldKernel

if __name__ == "__main__":
    main()
