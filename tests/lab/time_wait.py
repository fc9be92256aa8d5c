#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the pair has closed stays for a minute (TIME-WAIT), and is in nobody's way: a client comes back on the same port at once, and
thousands of short connections shut no listener, before a takeover and behind it."""

import errno
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402
from tandem_lab.talk import AT_ONCE_S, Talk  # noqa: E402

#: It says what time it is and closes, so that TIME-WAIT is the pair's.
DAYTIME = 13
ITS_WORDS = b"UTC\r\n"
PORT = 40000
#: More than a listener has room for (Node::listen), and some more.
SHORT, CLIENTS = 5000, 4
LISTENERS_ROOM = 4096


class TimeWait(Scenario):
    def metric(self, name):
        return int(self.group.metrics()[name])

    def visit(self, version, port=PORT):
        """One short connection from that port, which says its SYN once."""
        to = Network.v4(Network.PAIR) if version == 4 else Network.v6(Network.PAIR)

        def connected():
            try:
                return Talk(self.network, to, port=DAYTIME, source_port=port)
            except OSError as error:
                # Until the peer's own kernel has heard the last word of the connection before.
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                return None

        talk = eventually(connected, f"port {port} is free")
        self.assertIn(ITS_WORDS, talk.read_all())
        self.assertEqual(talk.retransmissions(), 0)
        talk.close()

    def come_back(self, version):
        self.visit(version)
        reused = self.metric("time_wait_reused_total")
        for _ in range(3):
            self.visit(version)
        self.assertEqual(self.metric("time_wait_reused_total"), reused + 3)
        # A takeover between two of them, which the SYN does not wait for; and one that is over.
        pid, _ = self.group.kill_primary()
        self.visit(version)
        self.group.wait_taken_over(pid)
        self.group.start()
        self.group.wait_protected()
        self.assertEqual(self.metric("time_wait_reused_total"), 1)
        self.group.replace_primary()
        self.visit(version)
        self.assertEqual(self.metric("time_wait_reused_total"), 1)

    def test_a_client_comes_back_on_the_same_port_at_once(self):
        self.group.start_pair()
        resets = self.watch_resets()
        for version, timestamps in ((4, 1), (6, 0)):
            # Without timestamps sequence numbers alone say which SYN is the newer one.
            self.network.peer.run("sysctl", "-qw", f"net.ipv4.tcp_timestamps={timestamps}")
            self.come_back(version)
        self.assert_no_reset(resets)

    def crowd(self, done):
        """Short connections, each from a port of its own; returns how many were told the time."""
        def client(first):
            told = 0
            for port in range(first, first + SHORT // CLIENTS):
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
                    connection.settimeout(AT_ONCE_S)
                    connection.bind(("", port))
                    connection.connect((Network.v4(Network.PAIR), DAYTIME))
                    words = b""
                    while piece := connection.recv(256):
                        words += piece
                    told += words.endswith(ITS_WORDS)
                done.release()
            return told

        return [self.network.peer.start_inside(lambda at=at: client(20_000 + at * SHORT // CLIENTS)) for at in range(CLIENTS)]

    def test_thousands_of_short_connections_shut_no_listener(self):
        self.assertGreater(SHORT, LISTENERS_ROOM)
        self.group.start_pair()
        done = threading.Semaphore(0)
        clients = self.crowd(done)
        for _ in range(SHORT // 2):
            self.assertTrue(done.acquire(timeout=AT_ONCE_S))
        # While they come.
        self.group.replace_primary()
        self.assertEqual(sum(client.result(60) for client in clients), SHORT)
        for _ in range(2):
            eventually(lambda: self.metric("connections_time_wait") == SHORT, "all of them are in TIME-WAIT, whoever has closed them")
            metrics = self.group.metrics()
            self.assertEqual([metrics[name] for name in ("connections_refused_total", "syn_cookies_sent_total", "time_wait_evicted_total",
                                                         "connections")], [0] * 4)
            self.talk(Network.v4(Network.PAIR)).close()
            # From a port in their midst.
            self.visit(4, 20_000 + SHORT // 2)
            self.group.replace_primary()


class Xdp(TimeWait):
    kind = "xdp"


class Tap(TimeWait):
    kind = "tap"


del TimeWait

if __name__ == "__main__":
    main()
