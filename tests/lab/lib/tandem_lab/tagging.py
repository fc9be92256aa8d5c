# SPDX-License-Identifier: BSD-3-Clause
"""A wire with a switch in its middle that tags: untagged at the peer, in a VLAN towards the pair.

    box              switch                      peer
      t0 ------------- s0  tagging relay  s1 ------ p0

The kernel of a test machine may have no VLAN devices, so the switch is this file, run as a program.
"""

import os
import select
import socket
import struct
import sys

from .network import Namespace, Network
from .process import Process, run

ETH_P_ALL = 3
ETH_P_8021Q = b"\x81\x00"
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
TP_STATUS_VLAN_VALID = 1 << 4
AUXDATA = struct.Struct("IIIHHHH")
LARGEST = 9100


class TaggedNetwork(Network):
    """`tag` is what the pair's frames have to have, and what those to it get: 16 bits, or None for none at all."""

    def __init__(self, kind, directory, tag, options="", extra_peers=()):
        self.switch = Namespace("switch")
        self.tag = tag
        self.directory = directory
        super().__init__(kind, extra_peers)
        self.device += options
        self._relay = None
        self.set_tag(tag)

    def _make_veth(self, address=Network.BOX_MAC):
        for inside, outside, one, other, mac in ((self.box, self.switch, "t0", "s0", address),
                                                 (self.peer, self.switch, "p0", "s1", self.PEER_MAC)):
            run(["ip", "link", "add", one, "numtxqueues", "1", "numrxqueues", "1", "address", mac, "netns", str(inside.pid), "type",
                 "veth", "peer", "name", other, "numtxqueues", "1", "numrxqueues", "1", "netns", str(outside.pid)])
            outside.run("sysctl", "-qw", f"net.ipv6.conf.{other}.disable_ipv6=1")
            outside.run("ip", "link", "set", other, "promisc", "on", "up")
        # A switch gets frames that are finished, and of the link's size; it is no hardware that does the rest.
        self.peer.run("ethtool", "-K", "p0", "tx", "off", "tso", "off", "gso", "off")

    def set_tag(self, tag):
        """The switch's configuration from now on."""
        if self._relay is not None:
            self._relay.end()
        library = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
        self._relay = Process([sys.executable, "-u", "-m", "tandem_lab.tagging", "none" if tag is None else str(tag)],
                              os.path.join(self.directory, "switch.log"), namespace=self.switch,
                              environment={"PYTHONPATH": library})

    def close(self):
        self._relay.end()
        self.switch.close()
        super().close()


def opened(interface):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    port.bind((interface, ETH_P_ALL))
    port.setblocking(False)
    return port


def take(port):
    """(frame without a tag, its tag or None), or None when there is none. What we have sent ourselves is none."""
    try:
        frame, extra, _, source = port.recvmsg(LARGEST, socket.CMSG_SPACE(AUXDATA.size))
    except BlockingIOError:
        return None
    if source[2] == PACKET_OUTGOING:
        return b"", None
    # The kernel takes the tag off for whoever looks, and says which it was.
    for level, kind, data in extra:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            fields = AUXDATA.unpack(data[:AUXDATA.size])
            if fields[0] & TP_STATUS_VLAN_VALID:
                return frame, fields[5]
    if frame[12:14] == ETH_P_8021Q:
        return frame[:12] + frame[16:], int.from_bytes(frame[14:16], "big")
    return frame, None


def relay(tag):
    pair, peer = opened("s0"), opened("s1")
    # An access port takes what has its VLAN's number, whatever the priority; a port without a VLAN takes priority tags too.
    expected = 0 if tag is None else tag & 0xFFF
    inserted = b"" if tag is None else ETH_P_8021Q + tag.to_bytes(2, "big")
    poller = select.poll()
    poller.register(pair, select.POLLIN)
    poller.register(peer, select.POLLIN)
    while True:
        poller.poll()
        while (taken := take(pair)) is not None:
            frame, seen = taken
            if frame and (expected == 0 if seen is None else seen & 0xFFF == expected):
                forward(peer, frame)
        while (taken := take(peer)) is not None:
            if taken[0]:
                forward(pair, taken[0][:12] + inserted + taken[0][12:])


def forward(port, frame):
    try:
        port.send(frame)
    except OSError:
        pass  # no room: lost, as on any switch


if __name__ == "__main__":
    relay(None if sys.argv[1] == "none" else int(sys.argv[1]))
