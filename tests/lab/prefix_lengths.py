# SPDX-License-Identifier: BSD-3-Clause
"""Networks of two and other lengths that are not a /24 or a /64: sessions come up whoever has the lower address and whoever begins, and
again behind a takeover, and the next hop is an address on the neighbor's own network. Each network is an address of the pair's, so
there are many of both IP versions."""

import ipaddress
import itertools
import os
import re
import sys
from collections import namedtuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, peers  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

#: One network on the wire: the ends' addresses, its length, and whether the pair is the one that begins.
Link = namedtuple("Link", "name pair peer length pair_begins")
#: By IP version.
LENGTHS = {4: (31, 30, 27), 6: (127, 126, 65)}
WITHIN_S = 30
#: What the pair announces.
NETWORKS = {4: "20.99.0.0/16", 6: "2001:db8:99::/48"}


def all_links():
    links = []
    for version, lengths in LENGTHS.items():
        base = int(ipaddress.ip_address("10.78.0.0" if version == 4 else "fd78::"))
        for length, swapped, pair_begins in itertools.product(lengths, (False, True), (False, True)):
            network = base + (len(links) << (8 if version == 4 else 64))
            # A network of two has no address that is only the network's.
            first = 0 if length == lengths[0] else 1
            ends = [str(ipaddress.ip_address(network + first + index)) for index in range(2)]
            pair, peer = reversed(ends) if swapped else ends
            links.append(Link(f"net{len(links)}", pair, peer, length, pair_begins))
    return links


LINKS = all_links()
#: Addresses of their own networks' length, to which the peer has a route, and where it comes from.
SERVICES = [Link("service4", "10.79.0.1", Network.v4(20), 32, False), Link("service6", "fd79::1", Network.v6(20), 128, False)]


class LinkedNetwork(Network):
    def pair_addresses(self):
        return [*super().pair_addresses(), *(f"{link.pair}/{link.length}" for link in LINKS + SERVICES)]

    def add_peer_addresses(self):
        super().add_peer_addresses()
        for link in LINKS:
            self.peer.run("ip", "address", "add", f"{link.peer}/{link.length}", "dev", "p0", *(["nodad"] if ":" in link.peer else []))
        for link, via in zip(SERVICES, (self.v4(self.PAIR), self.v6(self.PAIR))):
            self.peer.run("ip", "route", "add", f"{link.pair}/{link.length}", "via", via)


class LinkedBird(peers.Bird):
    """A session over each of the networks."""

    def _write_configuration(self):
        text = f"router id {self.address(4)};\nlog \"{self.path('bird.log')}\" all;\nprotocol device {{}}\n"
        for link in LINKS + SERVICES:
            text += (f"protocol bgp {link.name} {{\n  debug {{ states, events }};\n  strict bind yes;\n"
                     f"  local {link.peer} as {self.as_number};\n  neighbor {link.pair} as {peers.PAIR_AS};\n"
                     f"  passive {'yes' if link.pair_begins else 'no'};\n  {'multihop 2' if link in SERVICES else 'direct'};\n"
                     "  connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 1;\n"
                     f"  ipv{6 if ':' in link.peer else 4} {{ import all; export none; }};\n}}\n")
        self.write("bird.conf", text)

    def ups(self):
        """How often each session has come up; one that is down now is left out."""
        with open(self.path("bird.log"), encoding="ascii", errors="replace") as file:
            log = file.read()
        up = re.findall(r"^(\w+) +BGP .* Established", self.control("show", "protocols"), re.MULTILINE)
        return {name: len(re.findall(rf"\b{name}: State changed to up", log)) for name in up}

    def next_hops(self):
        """What each session was told of the pair's own network of its IP version."""
        text = "".join(self.control("show", "route", "for", network, "all") for network in NETWORKS.values())
        return dict(re.findall(r"\[(\w+) .*\n(?:.*\n)*?\tBGP.next_hop: (\S+)", text))


class PrefixLengths(Scenario):
    program = ["tandem-bgpd", "--as", str(peers.PAIR_AS), "--router-id", "10.77.0.1"]
    options = [*(word for link in LINKS + SERVICES for word in
                 ("--neighbor", f"{link.peer} as=65002{'' if link.pair_begins else ' passive'}")),
               *(word for network in NETWORKS.values() for word in ("--network", network))]
    extra_peers = (20,)

    def make_network(self):
        return LinkedNetwork(self.kind, self.extra_peers)

    def wait_up(self, bird, times):
        wanted = {link.name: times for link in LINKS + SERVICES}
        seen = {}

        def are_up():
            seen.update(bird.ups())
            return seen == wanted

        try:
            eventually(are_up, "all sessions are up", WITHIN_S, interval=0.05)
        except Exception as error:
            missing = [link for link in LINKS + SERVICES if seen.get(link.name) != times]
            raise AssertionError(f"{error}: not {times} times up: {missing}; {self.group.tail()}") from None
        eventually(lambda: len(bird.next_hops()) == len(wanted), "all sessions have the pair's networks")
        self.assertEqual(bird.next_hops(), {link.name: link.pair for link in LINKS + SERVICES})

    def test_sessions_come_up_in_networks_of_every_length_from_both_ends_and_again_behind_a_takeover(self):
        self.group.start_pair()
        bird = LinkedBird(self.network, self.directory)
        self.addCleanup(bird.close)
        bird.start()
        eventually(lambda: os.path.exists(bird.path("bird.log")), "BIRD writes its log")
        self.wait_up(bird, 1)
        self.group.replace_primary()
        self.wait_up(bird, 1)
        # Whoever has taken over begins anew, and is begun with, by a peer that has forgotten where it is.
        for version in ("-4", "-6"):
            self.network.peer.run("ip", version, "neigh", "flush", "dev", "p0")
        bird.control("restart", "all")
        self.wait_up(bird, 2)
        known = {entry["address"] for entry in self.group.ask("arp")["arp"]}
        self.assertEqual({link.peer for link in LINKS} - known, set())


class Xdp(PrefixLengths):
    kind = "xdp"


class Tap(PrefixLengths):
    kind = "tap"


del PrefixLengths

if __name__ == "__main__":
    main()
