# SPDX-License-Identifier: BSD-3-Clause
"""Runs inside a guest whose kernel is older than 6.4: what is to run on AF_XDP says why it cannot, and leaves the interface alone."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab", "lib"))
from tandem_lab import exit_code  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402


class XdpRefused(Scenario):
    kind = "xdp"

    def test_it_says_which_kernel_it_takes_and_leaves_nothing_behind(self):
        for mode in ("auto", "native", "generic"):
            with self.subTest(mode):
                self.network.device = f"xdp:t0,mode={mode}"
                process = self.make_group().start()
                self.assertEqual(process.wait(60), exit_code.UNSUPPORTED, process.output())
                for part in (os.uname().release, "Linux 6.4 does", "--device tap:"):
                    self.assertIn(part, process.output())
        self.assertIsNone(self.network.xdp_program("t0"), "an XDP program stays")
        self.network.peer.run("ping", "-c", "3", "-i", "0.2", "-W", "5", self.network.v4(self.network.HOST))
        print(process.output().strip())


if __name__ == "__main__":
    main(limit_s=150)
