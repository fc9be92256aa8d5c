# SPDX-License-Identifier: BSD-3-Clause
"""A link with an MTU of 9,000: on AF_XDP packets then lie in several frames."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Capture, Network, read_packets  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

MTU = 9000
#: What no frame of AF_XDP's holds.
LARGE = 5000


class Jumbo(Scenario):
    #: Headers and first bytes: the streams are fast.
    judged_bytes = 128

    def make_network(self):
        network = Network(self.kind)
        network.set_mtu(MTU)
        # A segment that the peer's kernel has not cut is not what this is about.
        network.peer.run("ethtool", "-K", "p0", "tso", "off", "gso", "off")
        return network

    def test_streams_of_large_packets_are_exact_across_takeovers(self):
        status = self.group.start_pair()
        self.assertEqual(status["link"]["mtu"], MTU)
        resets = self.watch_resets()
        capture = Capture(self.network.peer, self.directory, "large", f"tcp and greater {LARGE}")
        streams = [self.perf("echo", version=4), self.perf("chargen", version=6), self.perf("discard", version=6),
                   self.perf("rr", version=4)]
        self.assertGreater(min(c["mss"] for c in self.group.ask("connections")["connections"]), 8900)
        for _ in range(4):
            at, _ = self.group.replace_primary()
            for stream in streams[:2]:
                stream.wait_progress(at, directions=["received"], timeout=30)
        self.assert_good(*streams)
        self.assert_no_reset(resets)
        metrics = self.assert_no_frame_lost()
        self.assertEqual(metrics["device_rx_too_large_total"], 0)
        pair = Network.v4(Network.PAIR)
        sources = {packet.source == pair for packet in read_packets(capture.stop()) if pair in (packet.source, packet.destination)}
        self.assertEqual(sources, {True, False}, "large packets go both ways")


class Xdp(Jumbo):
    kind = "xdp"


class Tap(Jumbo):
    kind = "tap"


del Jumbo

if __name__ == "__main__":
    main()
