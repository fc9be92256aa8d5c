# SPDX-License-Identifier: BSD-3-Clause
"""What was on the wire, as the peer's side saw it."""

import os
import struct
from collections import namedtuple

from .pair import eventually
from .process import Process

Packet = namedtuple("Packet", "at_ns source destination source_port destination_port flags seq ack window payload")

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Capture:
    """A tcpdump on an interface."""

    def __init__(self, namespace, directory, name, match, interface="p0", snap_bytes=128):
        self.path = os.path.join(directory, name + ".pcap")
        self.process = Process(
            ["tcpdump", "-i", interface, "-U", "--immediate-mode", "-n", "-s", str(snap_bytes), "-B", "16384", "--time-stamp-precision=nano",
             "-Z", "root", "-w", self.path, match],
            os.path.join(directory, name + ".tcpdump.log"), namespace=namespace)
        eventually(lambda: "listening on" in self.process.output() or not self.process.is_running(), "tcpdump listens")
        if not self.process.is_running():
            raise RuntimeError(f"tcpdump ended: {self.process.output()}")

    def stop(self):
        self.process.end()
        return self.path


#: TCP segments with RST, of either IP version.
RESETS = "(tcp[tcpflags] & tcp-rst != 0) or (ip6[6] = 6 and ip6[53] & 4 != 0)"


def read_packets(path):
    """The TCP segments of a pcap file, as Packet."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24:
        return
    magic = struct.unpack_from("<I", data)[0]
    scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[magic]
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, kept, _length = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + kept]
        at += 16 + kept
        packet = _parse(seconds * 1_000_000_000 + fraction * scale, frame)
        if packet:
            yield packet


def _parse(at_ns, frame):
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
