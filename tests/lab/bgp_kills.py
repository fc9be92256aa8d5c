# SPDX-License-Identifier: BSD-3-Clause
"""BGP sessions with BIRD, FRR and GoBGP at once stay up, with every route, over 50 kills of the speaker."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import eventually, peers  # noqa: E402
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402

HOLD_S = 3
ROUTES = 200


class BgpKills(Scenario):
    kills = 50
    extra_peers = (3, 4)

    def start_peers(self):
        self.speakers = [kind(self.network, self.directory, routes=ROUTES, hold_s=HOLD_S)
                         for kind in (peers.Bird, peers.Frr, peers.GoBgp)]
        for speaker in self.speakers:
            self.addCleanup(speaker.close)
            speaker.start()
        self.group = self.make_group(
            ["tandem-bgpd", "--export-all", "--as", str(peers.PAIR_AS), "--router-id", "10.77.0.1", "--network", "40.0.0.0/24",
             "--network", "2001:db8:4000::/64"],
            options=[option for speaker in self.speakers for option in speaker.neighbor_options()])
        self.group.start_pair()
        for speaker in self.speakers:
            speaker.feed()
            eventually(speaker.established, f"{speaker.name} has its sessions", 30)
        # What the two others announce, and what the pair does.
        expected = (len(self.speakers) - 1) * ROUTES + 1
        for speaker in self.speakers:
            eventually(lambda: all(session.received >= expected for session in speaker.sessions().values()),
                       f"{speaker.name} has {expected} routes of each version", 30)
        # With the last route, nothing is under way any more.
        eventually(self.is_quiet, "no table changes any more", 30)

    def is_quiet(self):
        before = self.tables()
        time.sleep(0.5)
        return before == self.tables()

    def tables(self):
        return [speaker.table_changes() for speaker in self.speakers]

    def facts(self):
        """Of every session: how often it came up, and how many routes it has."""
        return [[(version, session.established, session.ups, session.received)
                 for version, session in sorted(speaker.sessions().items())] for speaker in self.speakers]

    def routes(self):
        answer = eventually(lambda: self.group.ask("routes"), "the speaker answers")
        return {key: answer[key] for key in ("received", "best", "advertised")}

    def test_sessions_and_routes_survive_consecutive_kills(self):
        self.start_peers()
        resets = self.watch_resets()
        facts, tables, routes = self.facts(), self.tables(), self.routes()
        begun = time.monotonic()
        count = rounds(self.kills)
        for index in range(count):
            self.group.replace_primary()
            self.pause(0, 0.1)
            if index % 10 == 9:
                self.assertEqual(self.facts(), facts, self.group.tail())
        # A speaker that had fallen silent would have been noticed.
        eventually(lambda: time.monotonic() - begun > 2 * HOLD_S, "two hold times have passed")
        self.assertEqual(self.facts(), facts, self.group.tail())
        self.assertEqual(self.tables(), tables, "no route was withdrawn or changed at any peer")
        self.assertEqual(self.routes(), routes)
        self.assertEqual(self.group.answered()["takeovers"], count)
        self.assert_updates_flow()
        self.assert_no_reset(resets)
        self.assert_no_frame_lost()

    def assert_updates_flow(self):
        """A route of each peer's reaches every other one, so it went through the pair in both directions."""
        for speaker in self.speakers:
            prefixes = [f"30.{speaker.number}.0.0/24", f"2001:db8:3000:{speaker.number}::/64"]
            for prefix in prefixes:
                speaker.announce(prefix)
            for other in self.speakers:
                for prefix in prefixes:
                    eventually(lambda: other.has_route(prefix), f"{prefix} of {speaker.name} reaches {other.name}", 10)


class Xdp(BgpKills):
    kind = "xdp"


class Tap(BgpKills):
    kind = "tap"


del BgpKills

if __name__ == "__main__":
    main()
