# SPDX-License-Identifier: BSD-3-Clause
"""A connection that has sent its SYN and heard nothing yet goes on from there in the twin."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

BGP = 179
WITHIN_S = 20


class SynSent(Scenario):
    program = ["tandem-bgpd"]
    options = ("--as", "65001", "--router-id", "192.0.2.1", "--neighbor", f"{Network.v4(Network.PEER)} as=65002")

    def opening(self):
        """The connection that the pair is opening, as tandemctl shows it."""
        answer = self.group.ask("connections")
        found = [c for c in answer["connections"] if c["phase"] == "SYN-SENT"] if answer else []
        return found[0] if found else None

    def test_syn_sent(self):
        listener = self.network.peer.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind((Network.v4(Network.PEER), BGP))
        listener.listen()
        listener.settimeout(WITHIN_S)
        self.network.drop("ingress", f"ip saddr {Network.v4(Network.PAIR)} tcp dport {BGP}")
        self.group.start_pair()
        before = eventually(self.opening, "the pair opens a connection", WITHIN_S)
        self.group.wait_protected()
        resets = self.watch_resets()
        pid, _ = self.group.kill_primary()
        self.group.wait_taken_over(pid)
        after = eventually(self.opening, "the twin is still opening it", WITHIN_S)
        self.assertEqual((after["id"], after["local"], after["snd_una"]),
                         (before["id"], before["local"], before["snd_una"]))
        self.network.accept_all()
        connection, address = listener.accept()
        self.addCleanup(connection.close)
        self.assertEqual(address[1], int(before["local"].rsplit(":", 1)[1]), "the same connection, not another one")
        connection.settimeout(WITHIN_S)
        self.assertEqual(connection.recv(16), b"\xff" * 16, "a BGP message follows")
        self.assert_no_reset(resets)


class Xdp(SynSent):
    kind = "xdp"


class Tap(SynSent):
    kind = "tap"


del SynSent

if __name__ == "__main__":
    main()
