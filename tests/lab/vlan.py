# SPDX-License-Identifier: BSD-3-Clause
"""Tags: a pair in a VLAN, one that is reached with priority tags, and tags that are not what was configured."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, exit_code  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402
from tandem_lab.tagging import TaggedNetwork  # noqa: E402

VLAN = 258
PRIORITY = 5 << 13


class Vlan(Scenario):
    def make_network(self):
        network = TaggedNetwork(self.kind, self.directory, VLAN, f",vlan={VLAN}")
        if self.kind == "xdp":
            network.box.run("ethtool", "-K", "t0", "rxvlan", "off")
        return network

    def said(self, *words):
        return [line for process in self.group.processes for line in process.output().splitlines()
                if all(word in line for word in words)]

    def go_through_takeovers(self):
        self.group.start_pair()
        resets = self.watch_resets()
        streams = [self.perf("echo", "--rate", "20M", version=4), self.perf("chargen", version=6), self.perf("rr", version=6)]
        for _ in range(2):
            at, _ = self.group.replace_primary()
            for stream in streams:
                stream.wait_progress(at, directions=["received"], timeout=30)
        self.assert_good(*streams)
        self.assert_no_reset(resets)
        metrics = self.assert_no_frame_lost()
        self.assertEqual(metrics["device_rx_too_large_total"], 0)

    def test_streams_in_a_vlan_are_exact_across_takeovers(self):
        self.go_through_takeovers()
        self.assertEqual(self.group.metrics()["device_rx_other_vlan_total"], 0)

    def test_a_priority_in_our_vlans_tag_does_not_matter(self):
        self.network.set_tag(PRIORITY | VLAN)
        self.go_through_takeovers()

    def test_priority_tags_are_taken_where_we_are_in_no_vlan(self):
        self.network.device = f"{self.kind}:{'t0' if self.kind == 'xdp' else 'tap0'}"
        self.network.set_tag(PRIORITY)
        self.group = self.make_group(name="priority")
        self.go_through_takeovers()

    def assert_silent(self, device, tag, *words):
        """Nothing is answered, and the log says once why."""
        self.network.device = device
        self.network.set_tag(tag)
        self.directory = os.path.join(self.directory, f"silent-{tag}")
        os.makedirs(self.directory)
        self.group = self.make_group(name=f"silent-{tag}")
        self.group.start_primary()
        self.network.peer.run("ip", "neigh", "replace", Network.v4(Network.PAIR), "dev", "p0", "lladdr",
                              self.group.ask("device")["mac"], "nud", "permanent")
        for _ in range(3):
            self.assertIn(" 0 received", self.network.peer.run("ping", "-n", "-c", "1", "-W", "1", Network.v4(Network.PAIR),
                                                                 check=False))
        eventually(lambda: self.said(*words), "it is said")
        self.assertEqual(len(self.said(*words)), 1)
        self.assertGreater(self.group.metrics()["device_rx_other_vlan_total"], 0)
        self.group.close()

    def test_other_tags_than_ours_are_not_taken_and_said_once(self):
        link = f"{self.kind}:{'t0' if self.kind == 'xdp' else 'tap0'}"
        self.assert_silent(f"{link},vlan={VLAN}", VLAN + 1, f"without the tag of VLAN {VLAN}", "rxvlan off")
        self.assert_silent(f"{link},vlan={VLAN}", None, f"without the tag of VLAN {VLAN}", "rxvlan off")
        self.assert_silent(link, VLAN, "with the tag of a VLAN", f"--device {link},vlan=N")


class Xdp(Vlan):
    kind = "xdp"

    def test_a_card_that_takes_tags_off_is_refused_with_the_remedy(self):
        self.network.box.run("ethtool", "-K", "t0", "rxvlan", "on")
        process = self.group.start()
        self.assertEqual(process.wait(20), exit_code.USAGE)
        self.assertTrue(self.said("`ethtool -K t0 rxvlan off`"))


class Tap(Vlan):
    kind = "tap"


del Vlan

if __name__ == "__main__":
    main()
