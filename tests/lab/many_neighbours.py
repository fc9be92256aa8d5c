# SPDX-License-Identifier: BSD-3-Clause
"""A hundred and fifty hosts on the link, all of which speak at once, over both IP versions: each is asked for where it is once, none
makes room for another, and whoever takes over knows them all."""

import os
import re
import selectors
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually  # noqa: E402
from tandem_lab.capture import Capture  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402
from tandem_lab.talk import AT_ONCE_S, ECHO  # noqa: E402

#: The last numbers of their addresses.
HOSTS = range(50, 200)
ROUNDS, SIZE = 10, 400


class ManyNetwork(Network):
    def add_peer_addresses(self):
        super().add_peer_addresses()
        lines = [line for number in HOSTS for line in (f"address add {self.v4(number)}/24 dev p0",
                                                       f"address add {self.v6(number)}/64 dev p0 nodad")]
        self.peer.run("ip", "-batch", "-", stdin="\n".join(lines))


class Crowd:
    """One connection from each host over each version, all of which exchange at once."""

    def __init__(self, network, random):
        self.random = random
        self.sockets = network.peer.start_inside(self._connect).result()

    def _connect(self):
        made = []
        for number in HOSTS:
            for family, source, to in ((socket.AF_INET, Network.v4(number), Network.v4(Network.PAIR)),
                                       (socket.AF_INET6, Network.v6(number), Network.v6(Network.PAIR))):
                one = socket.socket(family, socket.SOCK_STREAM)
                one.setblocking(False)
                one.bind((source, 0))
                one.connect_ex((to, ECHO))
                made.append(one)
        return made

    def exchange(self, rounds):
        """So many messages of each and their echoes, none before the echo of the one before. All together."""
        wait = selectors.DefaultSelector()
        left = {}
        for one in self.sockets:
            wait.register(one, selectors.EVENT_WRITE)
            left[one] = rounds
        said, heard = {}, {}
        while left:
            ready = wait.select(AT_ONCE_S)
            if not ready:
                raise TimeoutError(f"{len(left)} of {len(self.sockets)} hosts hear nothing")
            for key, _ in ready:
                one = key.fileobj
                if key.events == selectors.EVENT_WRITE:
                    said[one], heard[one] = self.random.randbytes(SIZE), b""
                    one.send(said[one])
                    wait.modify(one, selectors.EVENT_READ)
                    continue
                heard[one] += one.recv(SIZE)
                if not said[one].startswith(heard[one]) or not heard[one]:
                    raise AssertionError(f"{one.getsockname()} heard {heard[one]!r} and not {said[one]!r}")
                if heard[one] == said[one]:
                    left[one] -= 1
                    wait.modify(one, selectors.EVENT_WRITE)
                    if left[one] == 0:
                        wait.unregister(one)
                        del left[one]
        wait.close()

    def close(self):
        for one in self.sockets:
            one.close()


class ManyNeighbours(Scenario):
    def make_network(self):
        return ManyNetwork(self.kind)

    def table(self):
        return {entry["address"]: entry["mac"] for entry in eventually(lambda: self.group.ask("arp"), "the neighbours are told")["arp"]}

    def questions(self, capture):
        """For whom the pair has asked, once for each time."""
        text = self.network.peer.run("tcpdump", "-nr", capture.stop(), check=False)
        asked = re.findall(rf"who-has (\S+) tell {re.escape(Network.v4(Network.PAIR))}, ", text)
        asked += re.findall(rf"{re.escape(Network.v6(Network.PAIR))} > \S+ ICMP6, neighbor solicitation, who has ([^,]+),", text)
        return sorted(address for address in asked if address in self.hosts())

    def watch_questions(self, name):
        capture = Capture(self.network.peer, self.directory, name, "arp or icmp6")
        self.addCleanup(capture.stop)
        return capture

    @staticmethod
    def hosts():
        return {address(number) for number in HOSTS for address in (Network.v4, Network.v6)}

    def assert_none_made_room(self):
        metrics = self.group.metrics()
        names = ("neighbours_evicted_total", "neighbours_refused_total", "neighbours_unreachable_total", "packets_unresolved_total")
        self.assertEqual([metrics[name] for name in names], [0] * len(names))
        self.assertEqual({self.table().get(address) for address in self.hosts()}, {Network.PEER_MAC})

    def test_a_hundred_and_fifty_hosts_exchange_at_once_over_a_takeover(self):
        self.group.start_pair()
        watched = self.watch_questions("before")
        crowd = Crowd(self.network, self.random)
        self.addCleanup(crowd.close)
        crowd.exchange(ROUNDS)
        asked = self.questions(watched)
        self.assertTrue(asked)
        self.assertEqual(len(asked), len(set(asked)), asked)
        self.assert_none_made_room()
        # Whoever takes over, in the midst of it, asks for none of them again.
        watched = self.watch_questions("behind")
        pid, _ = self.group.kill_primary()
        crowd.exchange(ROUNDS)
        self.group.wait_taken_over(pid)
        self.group.start()
        self.group.wait_protected()
        crowd.exchange(ROUNDS)
        self.assertEqual(self.questions(watched), [])
        self.assert_none_made_room()
        # And one that has joined late.
        self.group.replace_primary()
        self.assert_none_made_room()
        crowd.exchange(ROUNDS)
        # The peer's retransmission timer was never needed: there was no burst of losses.
        self.assertEqual(self.network.peer.counter("TcpExtTCPTimeouts"), 0)
        self.assert_no_frame_lost()


class Xdp(ManyNeighbours):
    kind = "xdp"


class Tap(ManyNeighbours):
    kind = "tap"


del ManyNeighbours

if __name__ == "__main__":
    main()
