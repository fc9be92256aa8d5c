# SPDX-License-Identifier: BSD-3-Clause
"""What was on the wire, as the peer's side saw it."""

import os
import re
import signal
import socket
import struct
import subprocess
from collections import namedtuple

from .network import program
from .pair import Timeout, eventually
from .process import Process

Packet = namedtuple("Packet", "at_ns source destination source_port destination_port flags seq ack window payload")

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


_COUNTS = re.compile(r"(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped by kernel")
#: Of a packet in a pcap file.
_RECORD_HEADER = 16


class Capture:
    """A tcpdump on an interface."""

    def __init__(self, namespace, directory, name, match, interface="p0", snap_bytes=128, buffer_kib=16384):
        self.path = os.path.join(directory, name + ".pcap")
        self.namespace, self.interface = namespace, interface
        # IEEE 802's local experimental EtherType 1, to an address that nobody has, from one that is this capture's own.
        source = b"\x06" + os.urandom(5)
        self.mark = bytes.fromhex("02ffffffffff") + source + bytes.fromhex("88b5")
        self.marked_at = None
        marks = f"ether proto 0x88b5 and ether src {source.hex(':')}"
        self.process = Process(
            ["tcpdump", "-i", interface, "-U", "--immediate-mode", "-n", "-s", str(snap_bytes), "-B", str(buffer_kib), "--time-stamp-precision=nano",
             "-Z", "root", "-w", self.path, f"({match}) or ({marks})"],
            os.path.join(directory, name + ".tcpdump.log"), namespace=namespace)
        eventually(lambda: "listening on" in self.process.output() or not self.process.is_running(), "tcpdump listens")
        if not self.process.is_running():
            raise RuntimeError(f"tcpdump ended: {self.process.output()}")

    def stop(self):
        """Ends it once all that has passed is in the file, which it returns. Calling it again does nothing more."""
        if self.process.is_running():
            try:
                eventually(self._is_drained, f"{self.path} holds what has passed", interval=0.01)
            finally:
                self.process.end()
                self._cut_marks_off()
        return self.path

    def _is_drained(self):
        """Whether tcpdump has written what the kernel gave it."""
        return self._all_are_written() or self._mark_is_written()

    def _mark_is_written(self):
        """Sends a frame that everything before it has passed, and looks for it: where a frame came between tcpdump's socket and
        its filter, the kernel counts it as received, and the counts never meet."""
        mark = self.mark + os.urandom(46)
        before = os.path.getsize(self.path)
        if self.marked_at is None:
            self.marked_at = before
        try:
            with self.namespace.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
                wire.bind((self.interface, 0))
                wire.send(mark)
        except OSError:
            return False
        try:
            return eventually(lambda: mark in self._written_since(before), "the mark is written", timeout=0.5)
        except Timeout:
            return False

    def _cut_marks_off(self):
        """Nobody sees a mark, nor what passed behind it."""
        if self.marked_at is not None:
            found = self._written_since(self.marked_at).find(self.mark)
            if found >= 0:
                os.truncate(self.path, self.marked_at + found - _RECORD_HEADER)

    def _written_since(self, offset):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read()

    def _all_are_written(self):
        """Whether its counts meet; it says them when asked by a signal."""
        said = len(_COUNTS.findall(self.process.output()))
        self.process.signal(signal.SIGUSR1)
        counts = eventually(lambda: _COUNTS.findall(self.process.output())[said:], "tcpdump says how much it has captured",
                            interval=0.001)
        captured, received, dropped = map(int, counts[-1])
        return captured + dropped >= received

    def lost(self):
        """How many packets passed unseen, after stop(): the kernel dropped them for want of room."""
        found = re.findall(r"(\d+) packets? dropped by kernel", self.process.output())
        return int(found[-1]) if found else 0


def judge(path, *options):
    """Has the wire oracle judge a capture; returns (whether nothing is wrong, what it said)."""
    result = subprocess.run([program("tandem-oracle"), *options, path], capture_output=True, text=True, timeout=120, check=False)
    if result.returncode not in (0, 1):
        raise RuntimeError(f"tandem-oracle exited with {result.returncode}: {result.stderr}")
    return result.returncode == 0, result.stdout


#: TCP segments with RST or FIN, of either IP version.
ENDS = "(tcp[tcpflags] & (tcp-rst|tcp-fin) != 0) or (ip6[6] = 6 and ip6[53] & 5 != 0)"


def unasked_resets(packets):
    """The RSTs among them, without those that ended nothing: RFC 9293, section 3.10.7.1, has a connection that both ends have
    closed, and of which everything was acknowledged, answer a late segment so."""
    fins, resets = {}, []
    for packet in packets:
        there = (packet.source, packet.source_port, packet.destination, packet.destination_port)
        back = there[2:] + there[:2]
        if packet.flags & RST:
            if fins.get(there) != packet.seq or back not in fins:
                resets.append(packet)
        elif packet.flags & FIN:
            fins[there] = (packet.seq + packet.payload + 1) % (1 << 32)
    return resets


def read_packets(path):
    """The TCP segments of a pcap file, as Packet."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24:
        return
    magic = struct.unpack_from("<I", data)[0]
    scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[magic]
    at = 24
    while at + _RECORD_HEADER <= len(data):
        seconds, fraction, kept, _length = struct.unpack_from("<IIII", data, at)
        at += _RECORD_HEADER
        frame = data[at:at + kept]
        at += kept
        packet = parse_frame(seconds * 1_000_000_000 + fraction * scale, frame)
        if packet:
            yield packet


def parse_frame(at_ns, frame):
    """The TCP segment in an Ethernet frame, or None."""
    if len(frame) < 34:
        return None
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 6:
        header = (frame[14] & 15) * 4
        source = ".".join(str(octet) for octet in frame[26:30])
        destination = ".".join(str(octet) for octet in frame[30:34])
        tcp = 14 + header
        total = struct.unpack_from(">H", frame, 16)[0] - header
    elif kind == b"\x86\xdd" and frame[20] == 6:
        source, destination = frame[22:38].hex(), frame[38:54].hex()
        tcp = 54
        total = struct.unpack_from(">H", frame, 18)[0]
    else:
        return None
    if len(frame) < tcp + 20:
        return None
    source_port, destination_port, seq, ack, offset, flags, window = struct.unpack_from(">HHIIBBH", frame, tcp)
    return Packet(at_ns, source, destination, source_port, destination_port, flags, seq, ack, window,
                  total - (offset >> 4) * 4)
