# SPDX-License-Identifier: BSD-3-Clause
"""After 200 takeovers nothing has leaked: no frame, no descriptor, no memory."""

import os
import sys
import time
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab.resources import anonymous_kib, descriptors, growth  # noqa: E402
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402


class Endurance(Scenario):
    takeovers = 200
    warm_up = 20
    memory_every = 10
    memory_noise_kib = 256
    options = ["--send-queue", "256K", "--receive-window", "256K", "--log-size", "8M"]

    def settled(self):
        """Descriptors of both processes, and the frames, while no stream is under way."""
        status = self.group.wait_protected()
        metrics = self.group.metrics()
        return ([descriptors(pid) for pid in (status["pid"], status["twin"])],
                {name: metrics[name] for name in ("frames_total", "frames_held", "frames_missing")})

    def memory(self):
        """Of primary and twin, in KiB."""
        status = self.group.wait_protected()
        return [anonymous_kib(pid) for pid in (status["pid"], status["twin"])]

    def assert_no_growth(self, samples):
        for role, values in zip(("primary", "twin"), zip(*samples)):
            self.assertEqual(growth(values, self.memory_noise_kib), 0, f"memory of the {role}, KiB: {values}")

    @staticmethod
    def gained(before, after):
        return [later - earlier for earlier, later in zip(before[0], after[0])]

    def test_nothing_leaks_in_many_takeovers(self):
        self.group.start_pair()
        idle = self.perf("connections", "--connections", "50", "--idle", version=6)
        count = rounds(self.takeovers)
        before = None
        memory = []
        for index in range(count):
            # Some traffic in each life, of connections that come and go, too.
            if index % 10 == 0:
                short = self.perf("rr", "--connections", "4", "--requests", "5", "--pace", "2000")
            at, _ = self.group.replace_primary()
            if index % 10 == 9:
                self.assert_good(short)
            if index + 1 == self.warm_up:
                before = self.settled()
            if index + 1 >= self.warm_up and (index + 1) % self.memory_every == 0:
                memory.append(self.memory())
        if count % 10 != 0:
            self.assert_good(short)
        self.assertEqual(self.group.answered()["takeovers"], count)
        after = self.settled()
        if before is not None:
            # A socket of the question itself may still be on its way out.
            end = time.monotonic() + 5
            while any(self.gained(before, after)) and time.monotonic() < end:
                after = self.settled()
            self.assertEqual(self.gained(before, after), [Counter(), Counter()], "descriptors of primary and twin")
            self.assertEqual(after[1], before[1], "frames")
        self.assert_no_growth(memory)
        self.assertEqual(after[1]["frames_missing"], 0)
        self.assert_good(idle)


class Xdp(Endurance):
    kind = "xdp"


class Tap(Endurance):
    kind = "tap"


del Endurance

if __name__ == "__main__":
    main()
