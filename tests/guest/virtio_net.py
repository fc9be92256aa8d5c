# SPDX-License-Identifier: BSD-3-Clause
"""Runs inside a guest with two virtio network cards on one wire: a pair on AF_XDP with zero copy, and its takeovers.

Veth has no zero copy, so this is where the rings of a driver that works on them itself change hands.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab", "lib"))
from tandem_lab.isolation import limit_run_time  # noqa: E402
from tandem_lab.network import Network  # noqa: E402
from tandem_lab.pair import eventually  # noqa: E402
from tandem_lab.process import run  # noqa: E402
from tandem_lab.scenario import Scenario  # noqa: E402

KILLS = 5

#: Entries of the card's receive queue. The driver keeps so many frames that are in no ring of ours; more would be lost ones.
DRIVER_RING = 256


class VirtioNetwork(Network):
    """The emulator has connected the cards with one another; which is whose, their addresses tell."""

    def _make_veth(self, address=Network.BOX_MAC):
        for namespace, mac, name in ((self.box, address, "t0"), (self.peer, self.PEER_MAC, "p0")):
            run(["ip", "link", "set", _interface(mac), "netns", str(namespace.pid), "name", name])


def _interface(mac):
    for name in os.listdir("/sys/class/net"):
        with open(f"/sys/class/net/{name}/address", encoding="ascii") as file:
            if file.read().strip() == mac:
                return name
    raise RuntimeError(f"no interface has the address {mac}; has the kernel the module virtio_net?")


class ZeroCopy(Scenario):
    kind = "xdp"

    def make_network(self):
        network = VirtioNetwork(self.kind)
        network.device += ",mode=zerocopy"
        # What it puts together has no checksum that could be judged.
        network.peer.run("ethtool", "-K", "p0", "gro", "off")
        return network

    def test_streams_survive_kills_of_who_holds_the_rings(self):
        device = self.group.start_pair(timeout=60)["device"]
        self.assertIn("native zero copy", device)
        resets = self.watch_resets()
        # As much as an emulated processor can bear beside a twin that catches up.
        streams = [self.perf("echo", "--rate", "400K", version=4), self.perf("chargen", "--rate", "800K", version=6)]
        for number in range(1, KILLS + 1):
            self.pause(0, 0.5)
            killed, at = self.group.kill_primary()
            taken = self.group.wait_taken_over(killed)
            self.group.start()
            self.group.wait_protected(timeout=60)
            self.assertIn("native zero copy", taken["device"])
            for stream in streams:
                stream.wait_progress(at, timeout=60, directions=["received"])
            print(f"kill {number}: process {taken['pid']} goes on, {taken['device']}", flush=True)
        self.assert_good(*streams)
        self.assert_no_reset(resets)
        self.assertEqual(self.group.status()["takeovers"], KILLS)
        eventually(lambda: self.group.metrics()["frames_missing"] <= DRIVER_RING, f"no more than {DRIVER_RING} frames are with the driver")


if __name__ == "__main__":
    # The guest is a place of its own already, and its cards cannot be had from another namespace than its first.
    limit_run_time(240)
    unittest.main(verbosity=2)
