# SPDX-License-Identifier: BSD-3-Clause
"""The wire oracle itself: it finds no fault with two Linux hosts, and finds what is broken by hand in a capture of the pair."""

import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Capture, Network, Process, eventually, judge  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

PORT, CLOSED = 20100, 20101
RST, ACK = 4, 16


class Judged(Scenario):
    kind = "xdp"

    def capture(self, namespace, name, interface, match="tcp"):
        capture = Capture(namespace, self.directory, name, match, interface=interface, snap_bytes=0, buffer_kib=131072)
        self.addCleanup(capture.stop)
        return capture

    def assert_no_fault(self, path, *options):
        good, said = judge(path, *options)
        self.assertTrue(good, f"{options}:\n{said}")
        counts = said.splitlines()[-1].split()
        return int(counts[0]), int(counts[2])


class TwoLinuxHosts(Judged):
    """Real senders, real losses; each is judged where it sends, since what it receives may be reordered before it is captured."""

    def test_linux_breaks_no_rule(self):
        network = self.network
        # What is captured where it is sent is to be what leaves: whole segments, with their checksums.
        network.switch_offloads_off()
        for namespace, interface in ((network.box, "t0"), (network.peer, "p0")):
            # Without a queue two processors put the segments of one connection on the wire in any order.
            namespace.run("tc", "qdisc", "replace", "dev", interface, "root", "pfifo", "limit", "10000")
        captures = {"box": self.capture(network.box, "box", "t0"), "peer": self.capture(network.peer, "at-peer", "p0")}
        for percent in (0, 3):
            network.lose(percent)
            for address in (network.v4(network.HOST), network.v6(network.HOST)):
                self.streams(address)
                self.odd_connections(address)
        network.lose(0)
        numbers = {"box": network.HOST, "peer": network.PEER}
        for name, number in numbers.items():
            path = captures[name].stop()
            self.assertEqual(captures[name].lost(), 0, "the capture is whole")
            judged = ["--judge", network.v4(number), "--judge", network.v6(number)]
            connections, packets = self.assert_no_fault(path, *judged)
            self.assertGreater(connections, 60)
            self.assertGreater(packets, 5000)
            # Every frame of the box's is seen on the box, whatever is lost behind it; the peer's losses are before its tap.
            if name == "box":
                self.assert_no_fault(path, "--at-judged", *judged)
            self.assert_no_fault(path, "--any-order")

    def test_a_capture_ends_whole_whatever_passes_while_it_begins(self):
        """Frames between tcpdump's socket and its filter count as received, and are never written."""
        foreign = bytes.fromhex("02ffffffffff02fffffffffe88b6") + bytes(46)
        wire = self.network.peer.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.addCleanup(wire.close)
        wire.bind(("p0", 0))
        done = threading.Event()

        def flood():
            while not done.wait(0.0002):
                wire.send(foreign)

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            captures = [self.capture(self.network.peer, f"amid-{number}", "p0", "icmp") for number in range(12)]
        finally:
            done.set()
            flooding.join()
        self.network.peer.run("ping", "-c", "3", "-i", "0.01", self.network.v4(self.network.HOST))
        unequal = 0
        for capture in captures:
            text = self.network.peer.run("tcpdump", "-nr", capture.stop())
            self.assertEqual(len(text.splitlines()), 6, text)
            unequal += capture.marked_at is not None
        self.assertGreater(unequal, 0, "no frame came between a socket and its filter")

    def streams(self, address):
        server = Process(["iperf3", "-s", "-1"], os.path.join(self.directory, "iperf3.log"), namespace=self.network.box)
        self.addCleanup(server.end)
        self.wait_listening(self.network.box, 5201)
        self.network.peer.run("iperf3", "-c", address, "-n", "4M", "--bidir", "-P", "2")
        server.wait(10)

    def odd_connections(self, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = self.network.box.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen(64)
        serving = threading.Thread(target=self.serve, args=(listener,))
        serving.start()
        clients = [threading.Thread(target=self.talk, args=(family, address, how)) for how in "echo reset leave half slow".split() * 4]
        for client in clients:
            client.start()
        for _ in range(3):
            with self.network.peer.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(20)
                self.assertRaises(OSError, client.connect, (address, CLOSED))
        for client in clients:
            client.join()
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
        listener.close()

    def serve(self, listener):
        serving = []
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                break
            serving.append(threading.Thread(target=self.answer, args=(connection,)))
            serving[-1].start()
        for one in serving:
            one.join()

    @staticmethod
    def answer(connection):
        """What it is asked to do stands in the first byte."""
        connection.settimeout(20)
        with connection:
            try:
                how = connection.recv(1)
                if how == b"r":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif how == b"h":
                    connection.sendall(bytes(200_000))
                    connection.shutdown(socket.SHUT_WR)
                elif how == b"s":
                    # The client's window shuts before it reads.
                    connection.sendall(bytes(8 << 20))
                # "l" is left with unread data, which resets it.
                while how in b"ehs" and (piece := connection.recv(65536)):
                    if how == b"e":
                        connection.sendall(piece)
            except OSError:
                pass

    def talk(self, family, address, how):
        with self.network.peer.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            try:
                client.connect((address, PORT))
                client.sendall(how[0].encode() + bytes(3000))
                if how == "slow":
                    threading.Event().wait(1)
                if how != "echo":
                    client.shutdown(socket.SHUT_WR)
                got = 0
                while (how != "echo" or got < 3000) and (piece := client.recv(65536)):
                    got += len(piece)
            except OSError:
                pass


class Segment:
    """One TCP segment of a pcap file, to be changed."""

    def __init__(self, record, frame):
        self.record, self.frame = record, bytearray(frame)

    TCP = 34

    def field(self, offset, layout, change=None):
        """A field of the TCP header; `change` maps its old value to its new one."""
        value, = struct.unpack_from(layout, self.frame, self.TCP + offset)
        if change is not None:
            value = change(value)
            struct.pack_into(layout, self.frame, self.TCP + offset, value)
        return value

    def seq(self, change=None):
        return self.field(4, ">I", change)

    def ack(self, change=None):
        return self.field(8, ">I", change)

    def flags(self, change=None):
        return self.field(13, ">B", change)

    def window(self, change=None):
        return self.field(14, ">H", change)

    def tsval(self, change=None):
        # All segments of this conversation but SYN and RST have NOP, NOP, timestamps.
        return self.field(24, ">I", change)

    @property
    def payload(self):
        return self.TCP + (self.frame[self.TCP + 12] >> 4) * 4

    def copy(self):
        return Segment(self.record, self.frame)

    def seal(self):
        """The TCP checksum fits again."""
        struct.pack_into(">H", self.frame, self.TCP + 16, 0)
        tcp = bytes(self.frame[self.TCP:])
        summed = bytes(self.frame[26:34]) + struct.pack(">HH", 6, len(tcp)) + tcp + bytes(len(tcp) % 2)
        total = sum(struct.unpack(f">{len(summed) // 2}H", summed))
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into(">H", self.frame, self.TCP + 16, total ^ 0xFFFF)
        return self


class BrokenByHand(Judged):
    def test_each_fault_is_found(self):
        segments = self.conversation()
        ours = [i for i, s in enumerate(segments) if s.frame[26:30] == socket.inet_aton(Network.v4(Network.PAIR))]
        data = [i for i in ours if len(segments[i].frame) > segments[i].payload]
        self.assertGreater(len(data), 3)

        def more(value, by):
            return (value + by) % (1 << 32)

        def at(index, change):
            def apply(all_of_them):
                change(all_of_them[index])
                all_of_them[index].seal()
            return apply

        def again(index, change):
            def apply(all_of_them):
                copy = all_of_them[index].copy()
                change(copy)
                all_of_them.insert(index + 1, copy.seal())
            return apply

        def other_byte(segment):
            segment.frame[segment.payload] ^= 1

        def reset(segment):
            segment.flags(lambda _: RST | ACK)
            segment.seq(lambda value: more(value, 1))

        faults = {
            "ack-unsent": at(data[-1], lambda s: s.ack(lambda value: more(value, 100_000))),
            "ack-backwards": again(data[-1], lambda s: s.ack(lambda value: more(value, -1))),
            "bytes-changed": again(data[-1], other_byte),
            "timestamp-backwards": at(data[-1], lambda s: s.tsval(lambda value: more(value, -100_000))),
            "edge-withdrawn": at(data[-1], lambda s: s.window(lambda value: value - 100)),
            "beyond-window": at(data[-1], lambda s: s.seq(lambda value: more(value, 100_000_000))),
            "reset-inexact": again(data[2], reset),
            "option": at(data[-1], lambda s: s.frame.__setitem__(s.TCP + 23, 0)),
        }
        for rule, break_it in faults.items():
            with self.subTest(rule):
                broken = [segment.copy() for segment in segments]
                break_it(broken)
                good, said = self.judge_segments(broken)
                self.assertFalse(good)
                self.assertIn(f": {rule}: ", said)
        with self.subTest("checksum"):
            broken = [segment.copy() for segment in segments]
            other_byte(broken[data[-1]])
            good, said = self.judge_segments(broken)
            self.assertFalse(good)
            self.assertIn(": checksum: ", said)
        with self.subTest("nothing"):
            good, said = self.judge_segments([segment.copy().seal() for segment in segments])
            self.assertTrue(good, said)

    def conversation(self):
        """An echo over IPv4, as the peer sees it."""
        self.group.start_primary()
        capture = self.capture(self.network.peer, "conversation", "p0", f"host {Network.v4(Network.PAIR)} and tcp")
        with self.network.peer.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect((Network.v4(Network.PAIR), 7))
            for _ in range(5):
                client.sendall(b"what is said is heard")
                self.assertTrue(client.recv(100))
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(client.recv(100), b"")
        eventually(lambda: self.group.answered()["connections"] == 0, "the connection is closed")
        with open(capture.stop(), "rb") as file:
            self.header = file.read(24)
            segments = []
            while len(record := file.read(16)) == 16:
                segments.append(Segment(record, file.read(struct.unpack_from("<I", record, 8)[0])))
        return segments

    def judge_segments(self, segments):
        path = os.path.join(self.directory, "broken.pcap")
        with open(path, "wb") as file:
            file.write(self.header)
            for segment in segments:
                file.write(segment.record + segment.frame)
        return judge(path, "--judge", Network.v4(Network.PAIR))


del Judged

if __name__ == "__main__":
    main()
