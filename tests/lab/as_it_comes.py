# SPDX-License-Identifier: BSD-3-Clause
"""The link as it comes: nobody has switched the kernel's offloads off, at neither end."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import eventually  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402


class AsItComes(Scenario):
    def said(self, *words):
        return [line for process in self.group.processes for line in process.output().splitlines()
                if all(word in line for word in words)]

    def test_nothing_of_the_link_was_prepared(self):
        for namespace, interface in ((self.network.box, "t0"), (self.network.peer, "p0")):
            features = namespace.run("ethtool", "-k", interface)
            self.assertIn("tx-checksumming: on", features)
            self.assertIn("generic-segmentation-offload: on", features)

    def test_streams_are_exact_across_a_takeover(self):
        self.group.start_pair()
        resets = self.watch_resets()
        streams = [self.perf("echo", version=4), self.perf("chargen", version=6), self.perf("rr", version=6)]
        at, _ = self.group.replace_primary()
        for stream in streams:
            stream.wait_progress(at, directions=["received"])
        self.assert_good(*streams)
        self.assert_no_reset(resets)
        metrics = self.group.metrics()
        self.assertEqual(metrics["checksum_errors_total"], 0)
        self.assertEqual(metrics["device_rx_too_large_total"], 0)


class Xdp(AsItComes):
    kind = "xdp"

    def test_an_unfinished_checksum_is_taken_and_said_once(self):
        self.group.start_pair()
        stream = self.perf("echo")
        eventually(lambda: self.said("unfinished checksums", "are taken as right"), "it is said")
        self.assertGreater(self.group.metrics()["checksums_unfinished_total"], 0)
        self.assert_good(stream)
        self.assertEqual(len(self.said("unfinished checksums")), 1)

    def test_one_call_sends_more_packets_than_the_kernel_sends_by_itself(self):
        version = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
        if version < (6, 17):
            self.skipTest("before Linux 6.17 a call sends 32 packets")
        self.network.peer.run("ethtool", "-K", "p0", "tx", "off", "tso", "off", "gso", "off")
        self.group.start_pair()
        stream = self.perf("chargen")
        self.assert_good(stream)
        metrics = self.group.metrics()
        self.assertGreater(metrics["device_tx_calls_total"], 0)
        self.assertGreater(metrics["device_tx_largest_call"], 32)

    def test_segments_that_nobody_cuts_are_said_once_with_the_remedy_which_helps(self):
        self.network.device = "xdp:t0,mode=generic"
        self.group = self.make_group(name="generic")
        self.group.start_pair()
        stream = self.perf("discard")
        lines = eventually(lambda: self.said("larger than ours hold", "ethtool -K PEER tso off gso off"), "it is said")
        self.assertEqual(len(lines), 1)
        self.assertGreater(self.group.metrics()["device_rx_too_large_total"], 0)
        self.network.peer.run("ethtool", "-K", "p0", "tso", "off", "gso", "off")
        before = eventually(self.group.metrics, "metrics")["device_rx_too_large_total"]
        fresh = self.perf("echo")
        self.assert_good(fresh, stream)
        self.assertEqual(self.group.metrics()["device_rx_too_large_total"], before)
        self.assertEqual(len(self.said("larger than ours hold")), 1)


class Tap(AsItComes):
    kind = "tap"


del AsItComes

if __name__ == "__main__":
    main()
