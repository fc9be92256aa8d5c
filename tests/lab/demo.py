# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration works: `./dev demo` finds at the peer what it promises, and leaves its files."""

import glob
import json
import os
import subprocess
import sys
import tempfile
import unittest
from xml.dom import minidom

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, judge  # noqa: E402
from tandem_lab.network import programs_directory  # noqa: E402
from tandem_lab.scenario import main  # noqa: E402

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "apps", "demo", "demo")
KILLS = 2


class Demo(unittest.TestCase):
    kind = None

    def demonstrate(self, *options):
        with tempfile.TemporaryDirectory(prefix="tandem-demo-") as directory:
            found, picture = os.path.join(directory, "demo.json"), os.path.join(directory, "demo.svg")
            command = [sys.executable, DEMO, "--device", self.kind, "--kills", str(KILLS), "--pause", "0.2", "--json", found,
                       "--picture", picture, "--keep", directory, *options]
            result = subprocess.run(command, env=dict(os.environ, TANDEM_BIN=programs_directory()), capture_output=True,
                                    text=True, timeout=150, check=False)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            minidom.parse(picture)
            self.judge_captures(directory)
            with open(found, encoding="utf-8") as file:
                return json.load(file)

    def judge_captures(self, directory):
        """The wire oracle's opinion of what the peer saw, and of what the processes themselves say they sent."""
        pair = ["--judge", Network.v4(Network.PAIR)]
        captures = glob.glob(os.path.join(directory, "pair.pcapng*"))
        self.assertGreater(len(captures), KILLS)
        for options in ([os.path.join(directory, "peer.pcap")], ["--at-judged", "--merge", *captures]):
            good, said = judge(*options[-1:], *pair, *options[:-1])
            self.assertTrue(good, said)
            self.assertFalse(said.startswith("0 connections"), said)

    def test_bird_notices_none_of_the_kills(self):
        found = self.demonstrate()
        self.assertTrue(found["ok"])
        self.assertEqual(found["device"], self.kind)
        self.assertEqual(len(found["kills"]), KILLS)

    def test_other_peers_notice_none_of_the_kills(self):
        for peer in ("frr", "gobgp", "openbgpd"):
            with self.subTest(peer):
                self.assertTrue(self.demonstrate("--peer", peer)["ok"])


class Xdp(Demo):
    kind = "xdp"


class Tap(Demo):
    kind = "tap"


del Demo

if __name__ == "__main__":
    main()
