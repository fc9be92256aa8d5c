#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The link's control traffic: who says that he has moved is followed at once, link-local addresses work, a card that filters lets
through what the pair has asked for, the kernel beside the pair keeps its own, before a takeover and behind it."""

import os
import ipaddress
import re
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, exit_code, peers  # noqa: E402
from tandem_lab.capture import Capture  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402
from tandem_lab.talk import AT_ONCE_S  # noqa: E402

#: A peer's next address on the link, each time that it moves.
MOVED = ("02:00:00:00:00:1b", "02:00:00:00:00:2b", "02:00:00:00:00:3b")
PEER_LINK_LOCAL = "fe80::b"
#: An address that is on no link, behind the peer.
FAR = "fd99::1"


def listener_query():
    """A router's general MLD query (RFC 2710) to all nodes, as a frame."""
    source, destination = (ipaddress.ip_address(text).packed for text in (PEER_LINK_LOCAL, "ff02::1"))
    body = struct.pack(">BBHHH16s", 130, 0, 0, 100, 0, bytes(16))
    words = source + destination + struct.pack(">II", len(body), 58) + body
    total = sum(struct.unpack(f">{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack(">H", ~total & 0xFFFF) + body[4:]
    router_alert = bytes((58, 0, 5, 2, 0, 0, 1, 0))
    header = struct.pack(">IHBB", 6 << 28, len(router_alert) + len(body), 0, 1) + source + destination
    ethernet = bytes.fromhex("333300000001") + bytes.fromhex(Network.PEER_MAC.replace(":", "")) + b"\x86\xdd"
    return ethernet + header + router_alert + body


class WithTalks(Scenario):
    def link_local(self):
        """The pair's own link-local address, as it says."""
        addresses = eventually(lambda: self.group.ask("device"), "the device is told")["addresses"]
        return next(address.split("/")[0] for address in addresses if address.startswith("fe80"))

    def add_peer_link_local(self):
        self.network.peer.run("ip", "-6", "address", "add", f"{PEER_LINK_LOCAL}/64", "dev", "p0", "nodad")


class LinkControl(WithTalks):
    def kill(self):
        """The primary dies, its twin goes on, and another twin joins."""
        self.group.replace_primary()

    def pair_mac(self):
        return re.search(r"lladdr (\S+)", self.network.peer.run("ip", "neigh", "show", Network.v4(Network.PAIR), "dev", "p0"))[1]

    def silence_peer(self):
        """The peer asks for nobody and announces what it becomes: all that the pair learns is what it is told unasked."""
        self.network.peer.run("sysctl", "-qw", "net.ipv4.conf.p0.arp_notify=1", "net.ipv6.conf.p0.ndisc_notify=1")
        self.network.drop("egress", f"arp operation request arp daddr ip {Network.v4(Network.PAIR)}")
        self.network.drop("egress", "icmpv6 type nd-neighbor-solicit")

    def move_peer(self, mac, pair_mac):
        self.network.peer.run("ip", "link", "set", "p0", "address", mac)
        for address in (Network.v4(Network.PAIR), Network.v6(Network.PAIR)):
            self.network.peer.run("ip", "neigh", "replace", address, "lladdr", pair_mac, "nud", "permanent", "dev", "p0")

    def table(self):
        entries = eventually(lambda: self.group.ask("arp"), "the neighbours are told")["arp"]
        return {entry["address"]: entry["mac"] for entry in entries}

    def test_who_says_that_he_has_moved_is_followed_at_once(self):
        self.group.start_pair()
        talks = [self.talk(Network.v4(Network.PAIR)), self.talk(Network.v6(Network.PAIR))]
        pair_mac = self.pair_mac()
        self.silence_peer()
        for mac in MOVED:
            self.move_peer(mac, pair_mac)
            for talk in talks:
                self.assertTrue(talk.once())
            table = self.table()
            self.assertEqual((table[Network.v4(Network.PEER)], table[Network.v6(Network.PEER)]), (mac, mac))
            # Behind a takeover as well.
            self.kill()

    def test_who_asks_from_a_new_link_address_is_followed(self):
        self.group.start_pair()
        talks = [self.talk(Network.v4(Network.PAIR)), self.talk(Network.v6(Network.PAIR))]
        # It announces nothing and answers nothing: all that the pair learns is what its questions tell.
        self.network.drop("egress", "arp operation reply")
        self.network.drop("egress", "icmpv6 type nd-neighbor-advert")
        for mac in MOVED:
            # The peer's kernel forgets whom it knew, and asks.
            self.network.peer.run("ip", "link", "set", "p0", "address", mac)
            for talk in talks:
                self.assertTrue(talk.once())
            table = self.table()
            self.assertEqual((table[Network.v4(Network.PEER)], table[Network.v6(Network.PEER)]), (mac, mac))
            self.kill()

    def test_who_moves_while_nobody_turns_is_followed_by_who_takes_over(self):
        self.group.start_pair()
        talks = [self.talk(Network.v4(Network.PAIR)), self.talk(Network.v6(Network.PAIR))]
        pair_mac = self.pair_mac()
        self.silence_peer()
        status = self.group.wait_protected()
        os.kill(status["pid"], 19)  # SIGSTOP
        self.move_peer(MOVED[0], pair_mac)
        os.kill(status["pid"], 9)
        for talk in talks:
            self.assertTrue(talk.once())
        self.group.wait_taken_over(status["pid"])

    def test_a_link_local_neighbour_speaks_to_the_pair_over_takeovers(self):
        self.add_peer_link_local()
        self.group.start_pair()
        address = self.link_local()
        talk = self.talk(address)
        for _ in range(2):
            self.kill()
            self.assertEqual(self.link_local(), address)
            self.assertTrue(talk.once())
            self.network.peer.run("ip", "-6", "neigh", "flush", "dev", "p0")
            self.talk(address)

    def test_a_bgp_neighbour_with_a_link_local_address(self):
        self.add_peer_link_local()
        self.group = self.make_group(["tandem-bgpd", "--as", str(peers.PAIR_AS), "--router-id", "10.77.0.1", "--network",
                                      "2001:db8:aa::/48", "--export-all"],
                                     options=["--neighbor", f"{PEER_LINK_LOCAL} as=65002 hold=9"], name="bgp")
        self.group.start_pair()
        bird = LinkLocalBird(self.network, self.directory, self.link_local())
        self.addCleanup(bird.close)
        bird.start()
        eventually(lambda: os.path.exists(bird.path("bird.log")) and bird.established(), "the session over link-local addresses is established", timeout=20)
        eventually(lambda: "2001:db8:aa::/48" in bird.control("show", "route", "all"), "the pair's network is received")
        self.assertIn(self.link_local(), bird.control("show", "route", "all"))
        ups = bird.sessions()[6].ups
        for _ in range(2):
            self.kill()
        self.assertTrue(bird.established())
        self.assertEqual(bird.sessions()[6].ups, ups)

    def test_a_link_local_gateway(self):
        self.add_peer_link_local()
        self.network.peer.run("ip", "-6", "address", "add", f"{FAR}/128", "dev", "lo")
        self.group = self.make_group(options=["--gateway", PEER_LINK_LOCAL], name="routed")
        self.group.start_pair()
        self.talk(Network.v4(Network.PAIR))
        # The gateway never asks, so that it is the pair that has to: from its link-local address, to which the answer goes.
        self.network.drop("egress", "icmpv6 type nd-neighbor-solicit")
        self.network.peer.run("ip", "neigh", "replace", Network.v6(Network.PAIR), "lladdr", self.pair_mac(), "nud", "permanent",
                              "dev", "p0")
        talk = self.talk(Network.v6(Network.PAIR), source=FAR)
        for _ in range(2):
            self.kill()
            self.assertTrue(talk.once())
            self.talk(Network.v6(Network.PAIR), source=FAR)

    def test_routers_and_switches_that_ask_who_listens_are_answered(self):
        self.group.start_pair()
        self.talk(Network.v6(Network.PAIR))
        seen = Capture(self.network.peer, self.directory, "listeners", "icmp6 or ip6 proto 0")
        self.addCleanup(seen.stop)
        self.kill()

        def reports():
            text = self.network.peer.run("tcpdump", "-vnr", seen.path, check=False)
            return len(re.findall(r"listener report[^\n]*ff02::1:ff00:1\b", text))

        # Behind a takeover of the very rings who listens is said once more, unasked; what comes then is an answer.
        unasked = eventually(reports, "the pair says which groups it listens to")
        with self.network.peer.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("p0", 0))
            wire.send(listener_query())
        eventually(lambda: reports() > unasked, "the pair says it again when it is asked", timeout=AT_ONCE_S)

    def test_the_kernel_beside_the_pair_keeps_its_neighbours(self):
        # The kernel has a link-local address made of the interface's MAC, as most have: not the pair's.
        self.network.box.run("sysctl", "-qw", f"net.ipv6.conf.{self.host_interface()}.addr_gen_mode=0")
        self.add_peer_link_local()
        self.group.start_pair()
        shown = self.network.box.run("ip", "-6", "-o", "address", "show", "dev", self.host_interface(), "scope", "link")
        kernels = re.search(r"inet6 (fe80\S+)/", shown)[1]
        self.assertNotEqual(kernels, self.link_local())
        talk = self.talk(Network.v4(Network.PAIR))
        stream = self.foreign_traffic()
        for mac in MOVED[:2]:
            # Nobody knows anybody; who has moved says so; each finds the other anew.
            self.network.peer.run("sysctl", "-qw", "net.ipv4.conf.p0.arp_notify=1", "net.ipv6.conf.p0.ndisc_notify=1")
            self.network.peer.run("ip", "link", "set", "p0", "address", mac)
            self.network.peer.run("ip", "neigh", "flush", "dev", "p0")
            self.assertTrue(talk.once())
            for address in (Network.v4(Network.PEER), Network.v6(Network.PEER)):
                self.network.box.run("ping", "-c", "1", "-W", str(AT_ONCE_S), address)
                self.assertIn(mac, self.network.box.run("ip", "neigh", "show", address))
            self.network.box.run("ip", "neigh", "flush", "dev", self.host_interface())
            for address in (Network.v4(Network.HOST), Network.v6(Network.HOST), f"{kernels}%p0"):
                self.network.peer.run("ping", "-c", "1", "-W", str(AT_ONCE_S), address)
            self.kill()
        # The kernel hears what others ask the pair, and learns from it where they are (RFC 826).
        self.network.box.run("sysctl", "-qw", f"net.ipv4.neigh.{self.host_interface()}.locktime=0")
        self.network.peer.run("sysctl", "-qw", "net.ipv4.conf.p0.arp_notify=0")
        self.network.drop("egress", f"arp operation request arp daddr ip {Network.v4(Network.HOST)}")
        self.network.peer.run("ip", "link", "set", "p0", "address", MOVED[2])
        self.assertTrue(talk.once())
        eventually(lambda: MOVED[2] in self.network.box.run("ip", "neigh", "show", Network.v4(Network.PEER)),
                   "the kernel has heard where the peer is")
        self.network.accept_all()
        self.assert_good(stream)

    def host_interface(self):
        return "t0" if self.kind == "xdp" else "br0"


class LinkLocalBird(peers.Bird):
    """BIRD with one session between link-local addresses."""

    def __init__(self, network, directory, pair):
        super().__init__(network, directory, routes=10, hold_s=9, versions=(6,))
        self.pair = pair

    def address(self, version):
        return PEER_LINK_LOCAL if version == 6 else super().address(version)

    def pair_address(self, version):
        return f"{self.pair}%p0" if version == 6 else super().pair_address(version)


class Xdp(LinkControl):
    kind = "xdp"

    def test_another_link_address_is_asked_for_and_works(self):
        mac = "02:00:00:00:00:77"
        self.network.BOX_MAC = mac
        self.group = self.make_group(options=["--mac", mac], name="mac")
        self.group.start_pair()
        self.assertIn(mac, self.network.box.run("bridge", "fdb", "show", "dev", "t0"))
        talks = [self.talk(Network.v4(Network.PAIR)), self.talk(Network.v6(Network.PAIR))]
        for _ in range(2):
            self.kill()
            self.assertIn(mac, self.network.box.run("bridge", "fdb", "show", "dev", "t0"))
            for talk in talks:
                self.assertTrue(talk.once())


    def test_a_link_local_address_is_the_kernels_on_its_own_link_alone(self):
        for number, interface, code in ((0x77, "t0", exit_code.BUSY), (0x78, "lo", None)):
            self.network.box.run("ip", "-6", "address", "add", f"fe80::{number:x}/64", "dev", interface, "nodad")
            group = self.make_group(options=["--address", f"fe80::{number:x}/64"], name=f"given-{interface}")
            if code is None:
                group.start_pair()
                self.group = group
                self.assertEqual(self.link_local(), f"fe80::{number:x}")
            else:
                process = group.start()
                self.assertEqual(process.wait(20), code)
                self.assertIn(f"fe80::{number:x} is configured on the kernel's interface {interface}", process.output())


class Tap(LinkControl):
    kind = "tap"

    def test_behind_a_takeover_the_addresses_are_announced_again(self):
        status = self.group.start_pair()
        self.talk(Network.v4(Network.PAIR))
        seen = Capture(self.network.peer, self.directory, "announcements", "arp or icmp6")
        self.addCleanup(seen.stop)
        self.kill()

        def announced():
            text = self.network.peer.run("tcpdump", "-nr", seen.path, check=False)
            own = re.escape(Network.v4(Network.PAIR))
            return (re.search(rf"who-has {own} tell {own}|Announcement {own}", text)
                    and re.search(rf"{re.escape(Network.v6(Network.PAIR))} > ff02::1: ICMP6, neighbor advertisement", text))

        eventually(announced, "the addresses are announced")
        self.assertNotEqual(self.group.answered()["pid"], status["pid"])


class FilteredNetwork(Network):
    """The pair's interface takes what is sent to it, to all, and to the groups that somebody on it has joined: as a card does."""

    def __init__(self, mode, extra_peers=()):
        super().__init__("xdp", extra_peers)
        self.BOX_MAC = "02:00:00:00:00:0c"
        self.box.run("ip", "link", "add", "mv0", "link", "t0", "address", self.BOX_MAC, "type", "macvlan", "mode", mode)
        self.box.run("ip", "link", "set", "mv0", "up")
        self.device = "xdp:mv0"


class Filtered(WithTalks):
    kind = "xdp"
    mode = None

    def make_network(self):
        return FilteredNetwork(self.mode, self.extra_peers)

    def test_behind_a_card_that_filters_both_versions_work_over_takeovers(self):
        self.add_peer_link_local()
        self.group.start_pair()
        talks = []
        for _ in range(3):
            # Each time the peer asks all of the pair's groups for who is there.
            self.network.peer.run("ip", "neigh", "flush", "dev", "p0")
            self.network.peer.run("ip", "-6", "neigh", "flush", "dev", "p0")
            talks += [self.talk(Network.v4(Network.PAIR)), self.talk(Network.v6(Network.PAIR))]
            for talk in talks:
                self.assertTrue(talk.once())
            self.group.replace_primary()
        talks.append(self.talk(self.link_local()))
        for talk in talks:
            self.assertTrue(talk.once())


class FilteredBridge(Filtered):
    mode = "bridge"


class FilteredPrivate(Filtered):
    mode = "private"


del LinkControl, Filtered, WithTalks

if __name__ == "__main__":
    main()
