# SPDX-License-Identifier: BSD-3-Clause
"""What was on the wire: the peer's capture says what and when, the captures of the processes say who sent it.

The peer's capture (pcap) has every packet and one clock. Each process of the pair writes a capture of its own
(pcapng), in which the packets of its last turn may be missing; those are given to whoever owned the wire at that moment.
"""

import glob
import os
import struct
import time
from dataclasses import dataclass

FIN, SYN, RST, ACK = 1, 2, 4, 16
UPDATE = 2


@dataclass
class Packet:
    at_ns: int
    from_pair: bool
    ip_id: int
    source_port: int
    destination_port: int
    seq: int
    ack: int
    flags: int
    payload: bytes
    #: The process that sent it, if it is of the pair's.
    pid: int = 0

    @property
    def key(self):
        return (self.from_pair, self.ip_id, self.seq, self.ack, self.flags, len(self.payload))

    @property
    def end(self):
        return self.seq + len(self.payload)


def realtime_offset_ns():
    """CLOCK_REALTIME minus CLOCK_MONOTONIC: captures have the one, kills and timelines the other."""
    before = time.monotonic_ns()
    realtime = time.time_ns()
    return realtime - (before + time.monotonic_ns()) // 2


def read(peer_capture, pair_capture, pair_address, first_pid, offset_ns):
    """All TCP segments of the session in the order of time (CLOCK_MONOTONIC), with their senders as far as captures tell."""
    packets = _packets(_pcap_frames(peer_capture), pair_address, offset_ns)
    packets.sort(key=lambda packet: packet.at_ns)
    senders = {}
    for path in [pair_capture, *glob.glob(pair_capture + ".*")]:
        suffix = path[len(pair_capture) + 1:]
        pid = int(suffix) if suffix.isdigit() else first_pid
        if os.path.exists(path):
            for packet in _packets(_pcapng_frames(path), pair_address, offset_ns):
                senders.setdefault(packet.key, []).append((packet.at_ns, pid))
    for packet in packets:
        found = senders.get(packet.key) if packet.from_pair else None
        if found:
            packet.pid = min(found, key=lambda sender: abs(sender[0] - packet.at_ns))[1]
    return packets


def name_senders(packets, owners):
    """Gives packets that no capture knows to the owner of the wire; `owners` is [(since_ns, pid)] in the order of time."""
    for packet in packets:
        if packet.from_pair and packet.pid == 0:
            packet.pid = next((pid for since, pid in reversed(owners) if since <= packet.at_ns), owners[0][1])


def number_from_start(packets):
    """Makes sequence numbers relative to the connection's first, as in drawings of TCP; beyond 2^32 they go on."""
    first = {packet.from_pair: packet.seq for packet in packets if packet.flags & SYN}
    if len(first) < 2:
        return
    for packet in packets:
        packet.seq = (packet.seq - first[packet.from_pair]) & 0xFFFFFFFF
        packet.ack = (packet.ack - first[not packet.from_pair]) & 0xFFFFFFFF


def first_from(packets, pid):
    """The first packet that this process has put on the wire."""
    return next((packet for packet in packets if packet.from_pair and packet.pid == pid), None)


def facts(packets):
    """What can be said about the session from its packets alone. Sequence numbers are relative already."""
    connections = {(packet.source_port, packet.destination_port) for packet in packets if packet.from_pair}
    counts = {"connections": len(connections), "segments": len(packets),
              "resets": sum(1 for packet in packets if packet.flags & RST),
              "fins": sum(1 for packet in packets if packet.flags & FIN)}
    for side, from_pair in (("pair", True), ("peer", False)):
        stream, repeated = _stream([packet for packet in packets if packet.from_pair == from_pair])
        updates, withdrawn = _updates(stream)
        counts[side] = {"bytes": len(stream), "retransmissions": repeated, "updates": updates, "withdrawn": withdrawn}
    return counts


def _stream(packets):
    """The bytes that a side sent, and how many of its segments brought nothing new."""
    stream, repeated, expected = bytearray(), 0, 1
    for packet in packets:
        if not packet.payload:
            continue
        if packet.end <= expected:
            repeated += 1
        elif packet.seq <= expected:
            stream += packet.payload[expected - packet.seq:]
            expected = packet.end
        else:
            break
    return bytes(stream), repeated


def _updates(stream):
    """Numbers of UPDATE messages, and of IPv4 prefixes that they withdraw."""
    at = updates = withdrawn = 0
    while at + 19 <= len(stream):
        length, kind = struct.unpack_from(">HB", stream, at + 16)
        if kind == UPDATE and length >= 23:
            updates += 1
            position = at + 21
            end = position + struct.unpack_from(">H", stream, at + 19)[0]
            while position < end:
                withdrawn += 1
                position += 1 + (stream[position] + 7) // 8
        at += max(length, 19)
    return updates, withdrawn


def _packets(frames, pair_address, offset_ns):
    packets = []
    for at_ns, frame in frames:
        if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        header = 14 + (frame[14] & 15) * 4
        total, ip_id = struct.unpack_from(">HH", frame, 16)
        source = ".".join(str(octet) for octet in frame[26:30])
        source_port, destination_port, seq, ack, offset, flags = struct.unpack_from(">HHIIBB", frame, header)
        payload = frame[header + (offset >> 4) * 4:14 + total]
        packets.append(Packet(at_ns - offset_ns, source == pair_address, ip_id, source_port, destination_port, seq, ack, flags,
                              payload))
    return packets


def _pcap_frames(path):
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24:
        return
    scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[struct.unpack_from("<I", data)[0]]
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, kept, _ = struct.unpack_from("<IIII", data, at)
        if at + 16 + kept > len(data):
            return
        yield seconds * 1_000_000_000 + fraction * scale, data[at + 16:at + 16 + kept]
        at += 16 + kept


def _pcapng_frames(path):
    """Enhanced packet blocks, of a file whose times are in nanoseconds; a last block that is cut short is passed over."""
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if length < 12 or at + length > len(data):
            return
        if kind == 6:
            high, low, kept = struct.unpack_from("<III", data, at + 12)
            yield (high << 32) | low, data[at + 28:at + 28 + kept]
        at += length
