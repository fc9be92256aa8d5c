# SPDX-License-Identifier: BSD-3-Clause
"""Writes what passes an interface into a pcap file: python3 sniff.py INTERFACE FILE, until SIGTERM.

tcpdump changes to a user of its own, which a user namespace of one user does not have.
"""

import select
import signal
import socket
import struct
import sys

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33


def main(interface, path):
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    try:
        sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    except PermissionError:
        sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sniffer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sniffer.bind((interface, ETH_P_ALL))
    sniffer.setblocking(False)
    # The signal is read like a packet, so that all that came before it is written.
    ends, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        file.flush()
        print("capturing", flush=True)
        over = False
        while not over:
            ready, _, _ = select.select([sniffer, ends], [], [])
            over = ends in ready
            while packet := _next(sniffer):
                file.write(packet)
            file.flush()


def _next(sniffer):
    try:
        frame, ancillary, _, _ = sniffer.recvmsg(65535, 64)
    except BlockingIOError:
        return None
    seconds = nanoseconds = 0
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data[:16])
    return struct.pack("<IIII", seconds, nanoseconds, len(frame), len(frame)) + frame


if __name__ == "__main__":
    main(*sys.argv[1:])
