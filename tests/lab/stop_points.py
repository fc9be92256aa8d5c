# SPDX-License-Identifier: BSD-3-Clause
"""The primary dies at chosen steps of its turn, again and again, under the same connections.

Each process is started with a stop point, and passes of it count only while the process is primary and a twin stands by.
"""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import eventually, run  # noqa: E402
from tandem_lab.network import program  # noqa: E402
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402

#: Passed in every turn, or nearly.
TURN = ["rx.taken", "rx.half", "turn.handlers", "turn.recorded", "publish.before", "publish.after", "tx.words", "tx.half",
        "tx.producer", "tx.after", "rx.words_half", "rx.words", "rx.after", "fill.intent", "fill.after", "reap.word"]
#: Passed when the primary hands over.
SWITCHOVER = ["switchover.published", "switchover.given"]


class StopPoints(Scenario):
    judged_bytes = 160
    repetitions = 14
    points = TURN + SWITCHOVER
    #: Small queues are quickly shown to the next twin.
    options = ["--send-queue", "256K", "--receive-window", "256K"]

    def setUp(self):
        super().setUp()
        known = run([program("tandem-inetd"), "--list-stop-points"], check=False).split()
        if not known:
            self.skipTest("the programs were built without TANDEM_STOP_POINTS")
        self.assertLessEqual(set(self.points), set(known))

    def armed(self, point):
        count = 1 if point in SWITCHOVER else self.random.randint(1, 60)
        return {"TANDEM_STOP": f"{point}:{count}"}

    def test_streams_survive_a_death_at_every_step(self):
        order = self.points * max(1, rounds(self.repetitions))
        self.random.shuffle(order)
        # The streams need a group that does not die yet.
        self.group.start_pair()
        resets = self.watch_resets()
        streams = [
            self.perf("echo", version=4),
            self.perf("chargen", version=6),
            self.perf("rr", "--connections", "4", version=6),
        ]
        self.replace_twin(self.armed(order[0]))
        primary, _ = self.group.kill_primary()
        for index, point in enumerate(order):
            taken = self.group.wait_taken_over(primary)
            self.assertEqual(taken["takeovers"], index + 1, f"{point}; {self.group.tail()}")
            primary = taken["pid"]
            self.group.start(self.armed(order[index + 1]) if index + 1 < len(order) else None)
            if point in SWITCHOVER:
                self.group.wait_protected()
                self.group.ask("switchover")
            try:
                code = self.group.process_of(primary).wait(30)
            except subprocess.TimeoutExpired:
                self.fail(f"{point} was not passed; {self.group.tail()}")
            self.assertEqual(code, -signal.SIGKILL, f"{point}; {self.group.tail()}")
        at = time.monotonic_ns()
        self.group.wait_taken_over(primary)
        for stream in streams:
            stream.wait_progress(at, directions=["received"])
        print(f"{len(order)} deaths at {len(self.points)} steps")
        self.assert_good(*streams)
        self.assert_no_reset(resets)
        self.assert_no_frame_lost()

    def replace_twin(self, environment):
        status = self.group.wait_protected()
        self.group.process_of(status["twin"]).kill()
        eventually(lambda: not self.group.answered()["protected"], "the twin's death is seen")
        self.group.start(environment)
        self.group.wait_protected()


class Xdp(StopPoints):
    kind = "xdp"


class Tap(StopPoints):
    kind = "tap"
    repetitions = 4


del StopPoints

if __name__ == "__main__":
    main(limit_s=280)
