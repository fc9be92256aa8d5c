# SPDX-License-Identifier: BSD-3-Clause
"""XDP programs of others on our interface: theirs is never replaced, nor is ours, and what is not ours is theirs at the next hook."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, exit_code  # noqa: E402
from tandem_lab.process import CommandFailed  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402


class Xdp(Scenario):
    kind = "xdp"

    def test_somebody_elses_program_is_named_with_what_to_do_and_left_alone(self):
        stranger = self.network.attach_foreign_program("t0")
        for mode in ("auto", "native", "generic"):
            with self.subTest(mode):
                self.network.device = f"xdp:t0,mode={mode}"
                process = self.make_group(name=mode).start()
                self.assertEqual(process.wait(20), exit_code.BUSY)
                for words in (f"stranger, number {stranger}", "`ip link set dev t0 xdp off`"):
                    self.assertIn(words, process.output())
                self.assertEqual(self.network.xdp_program("t0"), stranger)
        self.network.box.run("ip", "link", "set", "dev", "t0", "xdp", "off")
        self.network.device = "xdp:t0"
        self.group = self.make_group(name="then")
        self.group.start_pair()

    def test_nobody_replaces_ours_and_it_goes_with_the_last_of_the_pair(self):
        self.group.start_pair()
        ours = self.network.xdp_program("t0")
        stream = self.perf("echo")
        with self.assertRaises(CommandFailed):
            self.network.attach_foreign_program("t0")
        at, _ = self.group.replace_primary()
        stream.wait_progress(at)
        self.assertEqual(self.network.xdp_program("t0"), ours)
        self.assert_good(stream)
        for process in self.group.processes:
            process.kill()
            process.wait(10)
        # Nothing is left that would drop what was ours, and the interface is free.
        self.assertIsNone(self.network.xdp_program("t0"))
        self.network.attach_foreign_program("t0")

    def test_what_is_not_ours_passes_the_hooks_behind_xdp(self):
        self.network.box.run("nft", "-f", "-", stdin=(
            "add table netdev others\n"
            "add chain netdev others first { type filter hook ingress device t0 priority 0; }\n"
            "add rule netdev others first icmp type echo-request counter\n"))
        self.group.start_pair()
        self.network.peer.run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", Network.v4(Network.HOST))
        self.network.peer.run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", Network.v4(Network.PAIR))
        self.assertIn("packets 3 ", self.network.box.run("nft", "list", "table", "netdev", "others"))


if __name__ == "__main__":
    main()
