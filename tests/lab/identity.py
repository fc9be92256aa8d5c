# SPDX-License-Identifier: BSD-3-Clause
"""Processes that are told apart in whatever pid namespace they run, and ends that hit both."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import eventually, exit_code  # noqa: E402
from tandem_lab.container import contain, inner, naps  # noqa: E402
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402


class Identity(Scenario):
    def protected(self):
        return eventually(lambda: (s := self.group.status(1)) and s["protected"] and s, "the group is protected", timeout=20)

    def test_two_containers_survive_a_kill_and_say_that_a_hang_is_not_covered(self):
        contain(self.group)
        first = self.group.start_primary()
        second = self.group.start()
        status = self.protected()
        self.assertEqual((status["pid"], status["twin"]), (1, 1))
        self.assertFalse(status["hang_covered"])
        self.assertIn("another pid namespace", status["why_hang_uncovered"])
        stream = self.perf("echo", "--rate", "1M")
        at = time.monotonic_ns()
        os.kill(inner(first), signal.SIGKILL)
        eventually(lambda: (s := self.group.status(1)) and s["takeovers"] == 1, "the twin has taken over")
        stream.wait_progress(at, directions=["received"])
        self.assertTrue(second.is_running())
        self.assert_good(stream)

    def test_a_hang_in_another_container_is_said_and_no_stranger_is_signalled(self):
        self.group = self.make_group(name="quick", options=["--detect", "300"])
        contain(self.group)
        first = self.group.start_primary()
        second = self.group.start()
        self.protected()
        stream = self.perf("echo", "--rate", "1M")
        hung = inner(first)
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: "cannot be ended from here" in second.output(), "the hang is said")
        # Once a hang: it looks on while that lasts, and says nothing again. (A busy machine may bring another one later.)
        before = naps(inner(second))
        eventually(lambda: naps(inner(second)) >= before + 200, "the twin has looked again and again")
        self.assertEqual(second.output().count("cannot be ended from here"), 1)
        self.assertTrue(second.is_running())
        at = time.monotonic_ns()
        os.kill(hung, signal.SIGCONT)
        stream.wait_progress(at, directions=["received"])
        # What cannot be ended from there can still die.
        self.protected()
        at = time.monotonic_ns()
        os.kill(inner(first), signal.SIGKILL)
        eventually(lambda: (s := self.group.status(1)) and s["takeovers"] == 1, "the twin has taken over")
        stream.wait_progress(at, directions=["received"])
        self.assert_good(stream)

    def test_a_stopped_twin_does_not_keep_the_group_from_starting(self):
        self.group = self.make_group(name="quick", options=["--detect", "300"])
        for removed in (True, False):
            with self.subTest(removed=removed):
                status = self.group.start_pair()
                primary, twin = (self.group.process_of(status[who]) for who in ("pid", "twin"))
                twin.signal(signal.SIGSTOP)
                if removed:
                    eventually(lambda: (s := self.group.status(1)) and s["twin"] is None, "the stopped twin is removed")
                primary.kill()
                primary.wait(10)
                fresh = self.group.start()
                eventually(lambda: (s := self.group.status(1)) and s["pid"] == fresh.pid, "a newcomer is primary", timeout=20)
                self.group.start()
                self.protected()
                stream = self.perf("echo", "--rate", "1M")
                at, _ = self.group.replace_primary()
                stream.wait_progress(at, directions=["received"])
                self.assert_good(stream)
                self.group.close()
                self.group = self.make_group(name="again", options=["--detect", "300"])

    def test_a_restart_of_both_keeps_the_connections(self):
        self.group.start_pair()
        resets = self.watch_resets()
        streams = [self.perf("echo", "--rate", "1M"), self.perf("rr", "--connections", "4", version=6)]
        for _ in range(rounds(6)):
            status = self.group.wait_protected()
            both = [self.group.process_of(status["pid"]), self.group.process_of(status["twin"])]
            self.random.shuffle(both)
            both[0].signal(signal.SIGTERM)
            self.pause(0, 0.1)
            both[1].signal(signal.SIGTERM)
            # As a service manager does it: each is started again when it has ended.
            left = list(both)

            def restart():
                for process in list(left):
                    if not process.is_running():
                        self.assertEqual(process.exit_code(), exit_code.OK, self.group.tail())
                        left.remove(process)
                        self.group.start()
                return not left

            at = time.monotonic_ns()
            eventually(restart, "both have ended and were started again", timeout=20)
            self.group.wait_protected()
            for stream in streams:
                stream.wait_progress(at, directions=["received"])
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def test_both_can_be_ended_for_good(self):
        for how in ("shutdown", "signals"):
            with self.subTest(how):
                status = self.group.start_pair()
                processes = [self.group.process_of(status[who]) for who in ("twin", "pid")]
                stream = self.perf("echo", "--rate", "1M")
                if how == "shutdown":
                    self.assertEqual(self.group.ask("shutdown"), {"shutdown": "begun"})
                else:
                    for process in processes:
                        process.signal(signal.SIGTERM)
                codes = {process.wait(15) for process in processes}
                self.assertEqual(codes, {exit_code.SHUT_DOWN if how == "shutdown" else exit_code.OK}, self.group.tail())
                result = stream.wait()
                self.assertIn("closed", result["errors"][0])
                self.assertEqual(result["resets"], 0)
                self.group.close()
                self.group = self.make_group(name=f"after-{how}")

    def test_other_signals_end_nobody(self):
        status = self.group.start_pair()
        processes = [self.group.process_of(status[who]) for who in ("pid", "twin")]
        stream = self.perf("echo", "--rate", "1M")
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
            for process in processes:
                process.signal(number)
        eventually(lambda: "SIGHUP: there is nothing to be read again" in processes[0].output(), "SIGHUP is said")
        eventually(lambda: "connections, protected" in processes[0].output(), "SIGUSR1 is answered")
        # One event that both get is one switchover, also where the twin finds its signal only behind its promotion.
        for number in range(rounds(10)):
            primary, twin = (self.group.process_of(status[who]) for who in ("pid", "twin"))
            for process in (primary, twin) if number % 2 else (twin, primary):
                process.signal(signal.SIGUSR2)
            taken = self.group.wait_taken_over(primary.pid)
            self.assertEqual((taken["pid"], taken["timeline"]["cause"]), (twin.pid, "switchover"))
            stream.wait_progress(taken["timeline"]["noticed_at"], directions=["received"])
            status = self.group.wait_protected()
            self.assertEqual((status["pid"], status["takeovers"]), (twin.pid, number + 1))
        self.assertTrue(all(process.is_running() for process in processes))
        self.assert_good(stream)


class Xdp(Identity):
    kind = "xdp"


class Tap(Identity):
    kind = "tap"


del Identity

if __name__ == "__main__":
    main()
