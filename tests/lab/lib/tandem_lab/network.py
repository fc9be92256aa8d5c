# SPDX-License-Identifier: BSD-3-Clause
"""Two hosts on one wire: `box`, where the pair runs, and `peer`, whose kernel speaks to it.

    box                                peer
      xdp:  t0 (native XDP) ----------- p0        one veth pair
      tap:  tap0 - br0 - t0 ----------- p0        a bridge between the TAP and the veth

The box's kernel has an address of its own on the same link, for traffic that is not the pair's.
"""

import concurrent.futures
import ctypes
import json
import os
import socket
import subprocess
import sys
import threading

from .process import run


CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace that lives as long as a process that does nothing in it."""

    def __init__(self, name):
        self.name = name
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        if self._holder.stdout.readline() != b"ready\n":
            raise RuntimeError(f"no network namespace could be made for {name}; are the privileges there?")
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self):
        return self._holder.pid

    def enter(self):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def run(self, *command, **options):
        return run(command, namespace=self, **options)

    def start_inside(self, function):
        """Calls it in a thread of this program that is in this namespace; returns a future."""
        future = concurrent.futures.Future()

        def call():
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with open(f"/proc/{self.pid}/ns/net", encoding="ascii") as namespace:
                    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "entering the network namespace failed")
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        # Namespaces belong to threads.
        threading.Thread(target=call, daemon=True).start()
        return future

    def socket(self, family, kind):
        """A socket that belongs to this namespace, for use by this program."""
        return self.start_inside(lambda: socket.socket(family, kind)).result()

    def close(self):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()

    def counter(self, name):
        """A counter of the kernel's, such as "TcpExtTCPTimeouts"; all of its interfaces together."""
        for line in self.run("nstat", "-asz", name).splitlines():
            fields = line.split()
            if fields and fields[0] == name:
                return int(fields[1])
        raise KeyError(name)


class Network:
    """The addresses that the rest uses; the last number of each tells whose it is."""

    PAIR = 1
    PEER = 2
    HOST = 10

    #: Octets of the box's interface and thus of the pair on AF_XDP.
    BOX_MAC = "02:00:00:00:00:0a"
    PEER_MAC = "02:00:00:00:00:0b"

    @staticmethod
    def v4(number):
        return f"10.77.0.{number}"

    @staticmethod
    def v6(number):
        return f"fd77::{number:x}"

    def __init__(self, kind, extra_peers=()):
        self.kind = kind
        self.box = Namespace("box")
        self.peer = Namespace("peer")
        for namespace in (self.box, self.peer):
            namespace.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                          "net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.default.accept_ra=0",
                          "net.ipv4.tcp_slow_start_after_idle=0", "net.ipv6.conf.default.addr_gen_mode=1")
        self.extra_peers = extra_peers
        self._make_wire()
        self.add_peer_addresses()
        if kind == "xdp":
            self.device = "xdp:t0"
            self._add_addresses(self.box, "t0", (self.HOST,))
        else:
            self.device = "tap:tap0"
            self._add_addresses(self.box, "br0", (self.HOST,))

    def _make_wire(self):
        self._make_veth()
        if self.kind == "tap":
            self.box.run("ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0",
                         "mcast_snooping", "0")
            self._make_tap()
            self.box.run("ip", "link", "set", "t0", "master", "br0")
            self.box.run("ip", "link", "set", "br0", "up")
        self._set_veth_up()

    def _make_veth(self, address=BOX_MAC):
        run(["ip", "link", "add", "t0", "numtxqueues", "1", "numrxqueues", "1", "address", address, "netns",
             str(self.box.pid), "type", "veth", "peer", "name", "p0", "numtxqueues", "1", "numrxqueues", "1", "address",
             self.PEER_MAC, "netns", str(self.peer.pid)])

    def _set_veth_up(self):
        self.box.run("ip", "link", "set", "t0", "up")
        self.peer.run("ip", "link", "set", "p0", "up")

    def _make_tap(self):
        self.box.run("ip", "tuntap", "add", "tap0", "mode", "tap")
        self.box.run("ip", "link", "set", "tap0", "master", "br0", "up")

    def add_peer_addresses(self):
        self._add_addresses(self.peer, "p0", (self.PEER, *self.extra_peers))

    # What happens to a link in its life. An interface that was removed takes its addresses along.

    def remake_veth(self, address=BOX_MAC, mtu=1500, meanwhile=lambda: None):
        """After either of its ends was deleted, and the other one with it. `meanwhile` comes before it is set up."""
        self._make_veth(address)
        meanwhile()
        self.box.run("ip", "link", "set", "t0", "mtu", str(mtu))
        self.peer.run("ip", "link", "set", "p0", "mtu", str(mtu))
        if self.kind == "tap":
            self.box.run("ip", "link", "set", "t0", "master", "br0")
        else:
            self._add_addresses(self.box, "t0", (self.HOST,))
        self._set_veth_up()
        self.add_peer_addresses()
        self.keep_order()

    def remove_link(self):
        """The interface that the pair is on."""
        self.box.run("ip", "link", "del", "dev", "t0" if self.kind == "xdp" else "tap0")

    def remake_link(self, **how):
        if self.kind == "xdp":
            self.remake_veth(**how)
            return
        self._make_tap()
        if "address" in how:
            self.box.run("ip", "link", "set", "tap0", "address", how["address"])

    def attach_foreign_program(self, interface):
        """An XDP program of somebody else's; returns its number."""
        here = os.path.dirname(os.path.abspath(__file__))
        self.box.run(sys.executable, os.path.join(here, "stranger.py"), interface)
        return self.xdp_program(interface)

    def xdp_program(self, interface):
        """The number of the XDP program on an interface of the box's; None when there is none."""
        for shown in json.loads(self.box.run("ip", "-j", "-d", "link", "show", "dev", interface)):
            attached = shown.get("xdp", {})
            for program in [attached.get("prog"), *(each.get("prog") for each in attached.get("attached", []))]:
                if program:
                    return program["id"]
        return None

    def set_mtu(self, mtu):
        """Of everything between the pair and the peer."""
        for interface in ("t0",) if self.kind == "xdp" else ("tap0", "t0", "br0"):
            self.box.run("ip", "link", "set", interface, "mtu", str(mtu))
        self.peer.run("ip", "link", "set", "p0", "mtu", str(mtu))

    def switch_offloads_off(self):
        """For measurements alone: what the kernel's hosts then do is what a card without offloads would have them do. All else
        runs on the link as it is made, where checksums are left unfinished and segments may be larger than the MTU."""
        for namespace, interface in ((self.box, "t0"), (self.peer, "p0")):
            namespace.run("ethtool", "-K", interface, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off")

    def is_forwarding(self):
        """Whether frames reach the pair's device: a bridge takes up to a second to see that a TAP has a carrier."""
        return self.kind != "tap" or "state forwarding" in self.box.run("bridge", "link", "show", "dev", "tap0")

    def keep_order(self):
        """Has the peer take in everything on one processor, for captures that are judged by the order of their packets.

        The kernel takes a frame in on the processor that sent it, so that the last frames of a process that was killed could
        be overtaken by the first ones of the twin on another processor, which no real wire does.
        """
        self.peer.run("unshare", "--mount", "sh", "-c",
                      "mount -t sysfs sysfs /sys && echo 1 >/sys/class/net/p0/queues/rx-0/rps_cpus")

    def _add_addresses(self, namespace, interface, numbers):
        for number in numbers:
            namespace.run("ip", "address", "replace", f"{self.v4(number)}/24", "dev", interface)
            namespace.run("ip", "-6", "address", "replace", f"{self.v6(number)}/64", "dev", interface, "nodad")

    def pair_addresses(self):
        """The pair's, each with its on-link prefix."""
        return [f"{self.v4(self.PAIR)}/24", f"{self.v6(self.PAIR)}/64"]

    def pair_options(self):
        """What a node needs to be on this wire."""
        return ["--device", self.device, *(word for address in self.pair_addresses() for word in ("--address", address))]

    def lose(self, percent):
        """Drops that much of what goes each way; 0 ends it."""
        self.peer.run("nft", "delete", "table", "netdev", "loss", check=False)
        if percent == 0:
            return
        rules = "\n".join(
            f"chain {hook} {{ type filter hook {hook} device p0 priority 0; "
            f"numgen random mod 1000 < {int(percent * 10)} drop; }}" for hook in ("ingress", "egress"))
        self.peer.run("nft", "-f", "-", stdin=f"table netdev loss {{\n{rules}\n}}\n")

    def drop(self, hook, match):
        """Drops what matches (an nftables expression) at the peer's `ingress` or `egress`, until accept_all."""
        self.peer.run("nft", "-f", "-", stdin=(
            f"add table netdev held\n"
            f"add chain netdev held {hook} {{ type filter hook {hook} device p0 priority 0; }}\n"
            f"add rule netdev held {hook} {match} drop\n"))

    def accept_all(self):
        self.peer.run("nft", "delete", "table", "netdev", "held", check=False)

    def close(self):
        self.box.close()
        self.peer.close()


def programs_directory():
    """Where the programs under test are: TANDEM_BIN, or the release build of this tree."""
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.normpath(os.path.join(here, "..", "..", "..", ".."))
    return os.environ.get("TANDEM_BIN", os.path.join(root, "build", "release", "bin"))


def program(name):
    path = os.path.join(programs_directory(), name)
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is not there; build it (./dev build), or say in TANDEM_BIN where it is")
    return path
