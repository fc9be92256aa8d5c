# SPDX-License-Identifier: BSD-3-Clause
"""A real neighbour that announces more than max-prefix: the session ends as RFC 4486 says, and no takeover forgets or repeats it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import eventually, peers  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

LIMIT = 10
RESTART_S = 20


class MaxPrefix(Scenario):
    extra_peers = (3,)

    def lines(self, *words):
        return [line for process in self.group.processes for line in process.output().splitlines()
                if all(word in line for word in words)]

    def neighbor(self, version=4):
        address = self.bird.address(version)
        answer = eventually(lambda: self.group.ask("neighbors"), "the speaker answers")
        return next(row for row in answer["neighbors"] if row["address"] == address)

    def take_over(self):
        old, _ = self.group.kill_primary()
        self.group.wait_taken_over(old)
        self.group.start()
        self.group.wait_protected()

    def metric(self, name):
        return self.group.metrics()[name]

    def refused(self):
        """How often BIRD was told that it announces too much."""
        with open(self.bird.path("bird.log"), encoding="ascii", errors="replace") as file:
            return file.read().count("Received: Maximum number of prefixes reached")

    def test_more_than_max_prefix_ends_the_session_over_takeovers(self):
        self.bird = peers.Bird(self.network, self.directory, routes=LIMIT - 1, hold_s=9)
        self.addCleanup(self.bird.close)
        self.bird.start()
        neighbors = [word for version in (4, 6) for word in
                     ("--neighbor", f"{self.bird.address(version)} as={self.bird.as_number} hold=9 max-prefix={LIMIT} "
                                    f"restart={RESTART_S}")]
        self.group = self.make_group(["tandem-bgpd", "--as", str(peers.PAIR_AS), "--router-id", "10.77.0.1"], options=neighbors,
                                     name="bgp")
        self.group.start_pair()
        eventually(self.bird.established, "both sessions are up", 30)
        for version in (4, 6):
            eventually(lambda: self.neighbor(version)[f"received_ipv{version}"] == LIMIT - 1, "the routes are there", 10)
            self.assertEqual(len(self.lines("announces", f"IPv{version} prefixes, of max-prefix={LIMIT}")), 1)
        # The count goes over a takeover, and what was said is not said again.
        self.take_over()
        self.bird.announce("30.2.0.0/24")
        eventually(lambda: self.neighbor()["received_ipv4"] == LIMIT, "as many as may be", 10)
        self.assertEqual(len(self.lines("announces", f"IPv4 prefixes, of max-prefix={LIMIT}")), 1)
        self.assertEqual(self.refused(), 0)
        # One more.
        self.bird.announce("30.2.1.0/24")
        eventually(lambda: self.refused() == 1, "BIRD is told why", 10)
        row = self.neighbor()
        self.assertTrue(row["held_down"])
        self.assertEqual(row["max_prefix_reached"], 1)
        self.assertIn(f"announced more than max-prefix={LIMIT} IPv4 prefixes; no session for {RESTART_S} s", row["last_down"])
        self.assertEqual(len(self.lines("is down: announced more than")), 1)
        self.take_over()
        self.assertTrue(self.neighbor()["held_down"])
        self.assertLessEqual(self.neighbor()["held_down_ms"], RESTART_S * 1000)
        # And so to one that joins now, which then takes over.
        self.take_over()
        row = self.neighbor()
        self.assertEqual((row["held_down"], row["max_prefix_reached"]), (True, 1))
        self.assertEqual(self.refused(), 1)
        self.assertEqual(len(self.lines("is down: announced more than")), 1)
        self.assertTrue(self.bird.sessions()[6].established)
        # Once it announces less it is let in by itself.
        self.bird.extra.clear()
        self.bird._write_configuration()
        self.bird.control("configure")
        eventually(self.bird.established, "the session is there again", 2 * RESTART_S)
        eventually(lambda: self.neighbor()["received_ipv4"] == LIMIT - 1, "with its routes", 10)
        self.assertEqual((self.bird.sessions()[4].ups, self.bird.sessions()[6].ups, self.refused()), (2, 1, 1))


class Xdp(MaxPrefix):
    kind = "xdp"


class Tap(MaxPrefix):
    kind = "tap"


del MaxPrefix

if __name__ == "__main__":
    main()
