# SPDX-License-Identifier: BSD-3-Clause
"""Segments that no kernel sends: a host at the peer's end that is made here, frame by frame."""

import ipaddress
import select
import socket
import struct

from .capture import ACK, SYN, parse_frame
from .network import Network
from .pair import eventually

ETH_P_ALL = 3
TCP, UDP = 6, 17
ICMP = {4: 1, 6: 58}
#: Options of a SYN: MSS 1460, SACK permitted, windows scaled by 7.
SYN_OPTIONS = bytes((2, 4, 0x05, 0xB4, 1, 1, 4, 2, 1, 3, 3, 7))
WRAP = 1 << 32


def checksum(data):
    """RFC 1071, over an even number of bytes that are not all zero."""
    return 0xFFFF - (int.from_bytes(data, "big") % 0xFFFF or 0xFFFF)


class Forger:
    """Sends what it likes at the peer's end of the wire, and hears all that arrives there.

    `source` is an address of the peer's, whose kernel answers ARP and neighbour discovery for it and hears nothing else of it.
    """

    def __init__(self, network, pair_mac, source):
        self.network = network
        self.source = source
        self.version = ipaddress.ip_address(source).version
        self.shown_as = source if self.version == 4 else ipaddress.ip_address(source).packed.hex()
        self.header = bytes.fromhex((pair_mac + Network.PEER_MAC).replace(":", ""))
        self.wire = network.peer.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        self.wire.bind(("p0", ETH_P_ALL))
        network.drop("ingress", f"{'ip' if self.version == 4 else 'ip6'} daddr {source} meta l4proto {{ tcp, udp, icmp }}")

    def packet(self, protocol, body, checksum_at, to, source=None):
        """An IP packet in a frame; the body's checksum is put at its place."""
        ends = b"".join(ipaddress.ip_address(end).packed for end in (source or self.source, to))
        pseudo = ends + struct.pack(">II", len(body), protocol)
        value = checksum(pseudo + body + b"\0" * (len(body) % 2))
        body = body[:checksum_at] + struct.pack(">H", value or 0xFFFF) + body[checksum_at + 2:]
        if len(ends) == 8:
            header = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(body), 0, 64, protocol, 0) + ends
            header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
            return self.header + b"\x08\x00" + header + body
        return self.header + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + ends + body

    def segment(self, flags, ports, to, seq=0, ack=0, payload=b"", options=b"", window=64240, source=None):
        offset = (20 + len(options)) // 4 << 4
        head = struct.pack(">HHIIBBHHH", *ports, seq % WRAP, ack % WRAP, offset, flags, window, 0, 0)
        return self.packet(TCP, head + options + payload, 16, to, source)

    def datagram(self, ports, to, payload=b"?"):
        return self.packet(UDP, struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload, 6, to)

    def send(self, frames):
        for frame in frames:
            self.wire.send(frame)

    def heard(self, wait_s=0.0):
        """Frames that have arrived since, after waiting for one of them."""
        frames = []
        while select.select([self.wire], [], [], 0 if frames else wait_s)[0]:
            frame, address = self.wire.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING:
                frames.append(frame)
        return frames

    def segments(self, ports, wait_s=0.0):
        """Of them, the TCP segments from the pair that answer what was sent from and to these ports."""
        packets = filter(None, (parse_frame(0, frame) for frame in self.heard(wait_s)))
        return [packet for packet in packets
                if (packet.destination, packet.destination_port, packet.source_port) == (self.shown_as, *ports)]

    def errors(self):
        """Of them, how many are ICMP errors to this host: what cannot be delivered."""
        here, kind, at = ipaddress.ip_address(self.source).packed, ICMP[self.version], 34 if self.version == 4 else 54
        place, protocol, unreachable = (30, 23, 3) if self.version == 4 else (38, 20, 1)
        return sum(frame[place:place + len(here)] == here and frame[protocol] == kind and frame[at] == unreachable
                   for frame in self.heard())

    def close(self):
        self.wire.close()


class ForgedConnection:
    """A connection of which this end is forged. Sequence numbers count from the SYN."""

    def __init__(self, forger, to, ports, isn=1000):
        self.forger, self.to, self.ports, self.isn = forger, to, ports, isn
        self.acknowledged = 0
        self.forger.send([forger.segment(SYN, ports, to, isn, options=SYN_OPTIONS)])
        found = eventually(lambda: [s for s in forger.segments(ports, 0.05) if s.flags & (SYN | ACK) == SYN | ACK],
                           "the pair answers a SYN")
        self.their_isn = found[0].seq
        self.forger.send([self.segment(ACK, 1, 1)])

    def segment(self, flags, seq, ack=1, payload=b""):
        return self.forger.segment(flags, self.ports, self.to, self.isn + seq, self.their_isn + ack, payload)

    def take_answers(self, wait_s=0.0):
        """What the pair has sent since. Keeps the highest number that it has acknowledged."""
        answers = self.forger.segments(self.ports, wait_s)
        for answer in answers:
            self.acknowledged = max(self.acknowledged, (answer.ack - self.isn) % WRAP)
        return answers
