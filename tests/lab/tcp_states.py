# SPDX-License-Identifier: BSD-3-Clause
"""A connection in each state of TCP at the moment of the kill goes on from there.

States that pass quickly are held by dropping, at the peer, the segment that would end them.
"""

import fcntl
import os
import socket
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

ECHO, DAYTIME, CHARGEN = 7, 13, 19
#: lwIP's retransmission timer is slow at first.
WITHIN_S = 20


class TcpStates(Scenario):
    versions = (4, 6)

    def setUp(self):
        super().setUp()
        self.group.start_pair()
        self.resets = self.watch_resets()

    def open_socket(self, version, receive_buffer=None):
        client = self.network.peer.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        self.addCleanup(client.close)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(WITHIN_S)
        return client

    def address(self, version, port):
        return (Network.v4(Network.PAIR) if version == 4 else Network.v6(Network.PAIR), port)

    def connect(self, version, port, receive_buffer=None):
        client = self.open_socket(version, receive_buffer)
        client.connect(self.address(version, port))
        return client

    def phases(self):
        answer = self.group.ask("connections")
        return [connection["phase"] for connection in answer["connections"]] if answer else []

    def wait_phase(self, phase):
        eventually(lambda: phase in self.phases(), f"a connection is in {phase}; there are {self.phases()}", WITHIN_S)

    def hold(self, version, match):
        """Drops at the peer what the pair sends and `match` says of its TCP header."""
        source = f"ip saddr {Network.v4(1)}" if version == 4 else f"ip6 saddr {Network.v6(1)}"
        self.network.drop("ingress", f"{source} {match}")

    def kill_and_release(self):
        """The kill; then what was held passes again, and a new twin is brought in."""
        pid, _ = self.group.kill_primary()
        self.group.wait_taken_over(pid)
        self.network.accept_all()
        self.group.start()
        self.group.wait_protected()

    def read_all(self, client):
        data = b""
        while piece := client.recv(65536):
            data += piece
        return data

    def echo_works(self, client, text=b"after the kill"):
        client.sendall(text)
        answer = b""
        while len(answer) < len(text):
            piece = client.recv(65536)
            self.assertTrue(piece, "the connection was closed")
            answer += piece
        self.assertEqual(answer, text)

    def wait_gone(self):
        """No connection is left but those in TIME_WAIT."""
        eventually(lambda: self.group.answered()["connections"] == 0, f"all connections end: {self.phases()}", WITHIN_S)

    def each_version(self, check):
        for version in self.versions:
            with self.subTest(f"IPv{version}"):
                check(version)
        self.assert_no_reset(self.resets)

    def test_syn_rcvd(self):
        def check(version):
            self.hold(version, "tcp flags & (syn|ack) == syn|ack")
            client = self.open_socket(version)
            client.setblocking(False)
            self.assertNotEqual(client.connect_ex(self.address(version, ECHO)), 0)
            self.wait_phase("SYN-RECEIVED")
            self.kill_and_release()
            client.settimeout(WITHIN_S)
            eventually(lambda: client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1, "it is established",
                       WITHIN_S)
            self.echo_works(client)
            client.close()
            self.wait_gone()

        self.each_version(check)

    def test_established_with_nothing_unread_unread_and_unsent(self):
        def check(version):
            idle = self.connect(version, ECHO)
            self.echo_works(idle)
            # More than both queues take while nobody reads: data is unread and unsent at the kill.
            full = self.connect(version, ECHO, receive_buffer=32768)
            full.setblocking(False)
            sent = self.fill(full)
            self.kill_and_release()
            self.echo_works(idle)
            full.settimeout(WITHIN_S)
            full.shutdown(socket.SHUT_WR)
            self.assertEqual(self.read_all(full), sent)
            idle.close()
            self.wait_gone()

        self.each_version(check)

    def test_a_peer_that_does_not_read_but_sends_is_acknowledged(self):
        """A window probe has gone out, and yet every ACK stands where Linux takes it; after a takeover as well."""
        def check(version):
            client = self.connect(version, CHARGEN, receive_buffer=16384)
            self.wait_for_probe(client)
            self.send_acknowledged(client)
            self.kill_and_release()
            self.wait_for_probe(client)
            self.send_acknowledged(client)
            return client

        clients = [check(version) for version in self.versions]
        self.assert_no_reset(self.resets)
        # What they have not read makes their own kernel reset them.
        for client in clients:
            client.close()

    def segments_in(self, client):
        """tcpi_segs_in of struct tcp_info."""
        return struct.unpack_from("=I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144), 140)[0]

    def wait_for_probe(self, client):
        """The window is shut when half a second has brought nothing; what comes then is a probe."""
        state = {"count": -1, "since": time.monotonic(), "quiet": False}

        def probed():
            count = self.segments_in(client)
            if count != state["count"]:
                if state["quiet"]:
                    return True
                state.update(count=count, since=time.monotonic())
            state["quiet"] = time.monotonic() - state["since"] > 0.5
            return False

        eventually(probed, "the shut window is probed", WITHIN_S)

    def send_acknowledged(self, client):
        """Bytes that nobody has acknowledged yet are those of SIOCOUTQ."""
        client.sendall(b"not read, but sent" * 100)

        def unacknowledged():
            return struct.unpack("=i", fcntl.ioctl(client, termios.TIOCOUTQ, b"\0" * 4))[0]

        eventually(lambda: unacknowledged() == 0, f"all is acknowledged; {unacknowledged()} bytes are not", 5)

    def fill(self, client):
        sent = b""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 0.3 and len(sent) < (64 << 20):
            try:
                piece = self.random.randbytes(65536)
                sent += piece[:client.send(piece)]
                quiet_since = time.monotonic()
            except BlockingIOError:
                continue
        return sent

    def test_close_wait(self):
        def check(version):
            client = self.connect(version, ECHO, receive_buffer=32768)
            # The send queue takes 4 MiB; the rest stays unread, so the end of the stream is not reached.
            data = self.random.randbytes(6 << 20)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            self.wait_phase("CLOSE-WAIT")
            self.kill_and_release()
            self.assertEqual(self.read_all(client), data)
            self.wait_gone()

        self.each_version(check)

    def test_last_ack(self):
        def check(version):
            client = self.connect(version, ECHO)
            self.echo_works(client)
            self.hold(version, "tcp flags & fin == fin")
            client.shutdown(socket.SHUT_WR)
            self.wait_phase("LAST-ACK")
            self.kill_and_release()
            self.assertEqual(self.read_all(client), b"")
            self.wait_gone()

        self.each_version(check)

    def test_fin_wait_1(self):
        def check(version):
            self.hold(version, "tcp flags & fin == fin")
            client = self.connect(version, DAYTIME)
            self.wait_phase("FIN-WAIT-1")
            self.kill_and_release()
            self.assertIn(b"UTC\r\n", self.read_all(client))
            client.close()
            self.wait_gone()

        self.each_version(check)

    def test_fin_wait_2(self):
        def check(version):
            client = self.connect(version, DAYTIME)
            self.assertIn(b"UTC\r\n", self.read_all(client))
            self.wait_phase("FIN-WAIT-2")
            self.kill_and_release()
            client.sendall(b"still heard")
            client.shutdown(socket.SHUT_WR)
            self.wait_gone()

        self.each_version(check)

    def test_closing(self):
        def check(version):
            self.hold(version, "tcp flags & fin == fin")
            client = self.connect(version, DAYTIME)
            self.wait_phase("FIN-WAIT-1")
            client.shutdown(socket.SHUT_WR)
            self.wait_phase("CLOSING")
            self.kill_and_release()
            self.assertIn(b"UTC\r\n", self.read_all(client))
            self.wait_gone()

        self.each_version(check)

    def test_time_wait(self):
        def check(version):
            client = self.connect(version, DAYTIME)
            local = client.getsockname()
            self.assertIn(b"UTC\r\n", self.read_all(client))
            # The pair hears the peer's FIN, but the peer does not hear of its acknowledgement.
            self.hold(version, "tcp flags & (fin|syn|ack) == ack")
            client.close()
            self.wait_gone()
            in_last_ack = ("ss", "-Htn", "state", "last-ack", "sport", "=", f":{local[1]}")
            self.assertTrue(self.network.peer.run(*in_last_ack).strip(), "the peer waits for the last acknowledgement")
            self.kill_and_release()
            # The peer repeats its FIN, and whoever has taken over acknowledges it.
            eventually(lambda: not self.network.peer.run(*in_last_ack).strip(), "the peer's end is acknowledged", WITHIN_S)

        self.each_version(check)


class Xdp(TcpStates):
    kind = "xdp"


class Tap(TcpStates):
    kind = "tap"


del TcpStates

if __name__ == "__main__":
    main()
