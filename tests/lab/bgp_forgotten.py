# SPDX-License-Identifier: BSD-3-Clause
"""A neighbour that has forgotten its session, and whose hold time of 0 would let that stand for ever, gets a new one; a second
connection beside a session that lives is refused."""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

BGP = 179
AS = 65002
WITHIN_S = 30
TCP_REPAIR = 19
MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4


def message(kind, body=b""):
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


class Neighbour:
    """One connection of a speaker whose hold time is 0."""

    def __init__(self, network):
        self.socket = network.peer.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(WITHIN_S)
        self.socket.bind((Network.v4(Network.PEER), 0))
        self.socket.connect((Network.v4(Network.PAIR), BGP))
        self.port = self.socket.getsockname()[1]
        try:
            self.socket.sendall(message(OPEN, struct.pack("!BHHIB", 4, AS, 0, 0xC0000202, 0)))
        except ConnectionResetError:
            pass  # refused at once, which next() says

    def next(self):
        """Type of the next message; None at the end."""
        head = self.take(19)
        if head is None:
            return None
        length, kind = struct.unpack("!HB", head[16:])
        return kind if self.take(length - 19) is not None else None

    def take(self, count):
        taken = b""
        while len(taken) < count:
            try:
                piece = self.socket.recv(count - len(taken))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            taken += piece
        return taken

    def establish(self):
        if self.next() != OPEN:
            return False
        self.socket.sendall(message(KEEPALIVE))
        return self.next() == KEEPALIVE

    def vanish(self):
        """As a machine that loses its power: nothing is sent."""
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.socket.close()


class Forgotten(Scenario):
    program = ["tandem-bgpd"]
    options = ("--as", "65001", "--router-id", "192.0.2.1", "--neighbor",
               f"{Network.v4(Network.PEER)} as={AS} passive hold=0")

    def neighbour(self):
        answer = self.group.ask("routes")
        return answer["neighbors"][0] if answer else None

    def times_established(self, count):
        return lambda: (self.neighbour() or {}).get("times_established") == count

    def setUp(self):
        super().setUp()
        self.group.start_pair()
        self.group.wait_protected()
        self.first = Neighbour(self.network)
        self.assertTrue(self.first.establish())
        eventually(self.times_established(1), "the session is up", WITHIN_S)

    def test_power_lost(self):
        self.first.vanish()
        again = Neighbour(self.network)
        self.addCleanup(again.socket.close)
        self.assertTrue(again.establish(), "the new connection becomes the session")

    def test_power_lost_beside_a_takeover(self):
        self.first.vanish()
        # Nothing of the old connection's is answered: it takes the twin to find that out.
        self.network.drop("ingress", f"ip saddr {Network.v4(Network.PAIR)} tcp dport {self.first.port}")
        again = Neighbour(self.network)
        self.addCleanup(again.socket.close)
        pid, _ = self.group.kill_primary()
        self.group.wait_taken_over(pid)
        self.assertTrue(again.establish(), "the new connection becomes the session")

    def test_alive(self):
        self.addCleanup(self.first.socket.close)
        second = Neighbour(self.network)
        self.addCleanup(second.socket.close)
        self.assertIsNone(second.next(), "a second connection is refused")
        self.first.socket.sendall(message(KEEPALIVE))
        self.assertEqual(self.neighbour()["state"], "Established")

    def test_half_an_update_and_the_end(self):
        self.first.socket.sendall(message(UPDATE, b"\0" * 40)[:30])
        self.first.socket.shutdown(socket.SHUT_WR)
        while self.first.next() is not None:  # up to the end of the session
            pass
        eventually(lambda: (self.neighbour() or {}).get("state") != "Established", "the session is down", WITHIN_S)
        again = Neighbour(self.network)
        self.addCleanup(again.socket.close)
        self.assertTrue(again.establish(), "the neighbour comes again")


class Xdp(Forgotten):
    kind = "xdp"


class Tap(Forgotten):
    kind = "tap"


del Forgotten

if __name__ == "__main__":
    main()
