# SPDX-License-Identifier: BSD-3-Clause
"""Deaths and stalls other than that of a primary with its twin ready."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import eventually, exit_code, run  # noqa: E402
from tandem_lab.network import program  # noqa: E402
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402
from tandem_lab.terminal import Terminal  # noqa: E402


class Faults(Scenario):
    def streams(self):
        return [self.perf("echo", "--rate", "20M", version=4), self.perf("chargen", "--socket-buffer", "64K", version=6),
                self.perf("rr", "--connections", "4", version=4)]

    def wait_streams(self, streams, after_ns):
        for stream in streams:
            stream.wait_progress(after_ns, directions=["received"])

    def test_a_dead_twin_is_noticed_and_replaced(self):
        self.group.start_pair()
        resets = self.watch_resets()
        streams = self.streams()
        for _ in range(rounds(5)):
            status = self.group.wait_protected()
            self.group.process_of(status["twin"]).kill()
            alone = eventually(lambda: (s := self.group.status())["twin"] is None and s, "the death is noticed")
            self.assertFalse(alone["protected"])
            self.assertEqual(alone["members"], [])
            survives = {c["survives"] for c in self.group.ask("connections")["connections"]}
            self.assertEqual(survives, {"nothing"})
            self.wait_streams(streams, time.monotonic_ns())
            self.group.start()
            self.group.wait_protected()
        # The last twin is one that can take over.
        at, _ = self.group.replace_primary()
        self.wait_streams(streams, at)
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def test_a_hung_primary_is_ended_and_its_connections_go_on(self):
        self.group = self.make_group(name="quick", options=["--detect", "200"])
        self.group.start_pair()
        resets = self.watch_resets()
        streams = self.streams()
        for _ in range(rounds(5)):
            pid, at = self.group.kill_primary(signal.SIGSTOP)
            status = self.group.wait_taken_over(pid)
            self.assertEqual(status["timeline"]["cause"], "hung")
            self.assertEqual(self.group.process_of(pid).wait(10), -signal.SIGKILL)
            self.wait_streams(streams, at)
            self.group.start()
            self.group.wait_protected()
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def test_a_hung_twin_does_not_hold_the_primary_up(self):
        self.group = self.make_group(name="quick", options=["--detect", "200"])
        self.group.start_pair()
        resets = self.watch_resets()
        streams = self.streams()
        status = self.group.wait_protected()
        twin = self.group.process_of(status["twin"])
        twin.signal(signal.SIGSTOP)
        self.wait_streams(streams, time.monotonic_ns())
        eventually(lambda: self.group.answered()["twin"] is None, "the hung twin is removed", timeout=30)
        self.wait_streams(streams, time.monotonic_ns())
        # What was removed may never take over, but may join again.
        twin.signal(signal.SIGCONT)
        eventually(lambda: self.group.answered()["protected"] or not twin.is_running(), "it joins again or ends")
        # That it ended decides, not the state: a member that falls behind for a moment protects no more until it has caught up.
        if not twin.is_running():
            self.group.start()
        self.assertEqual(self.group.wait_protected()["pid"], status["pid"])
        at, _ = self.group.replace_primary()
        self.wait_streams(streams, at)
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def test_a_removed_twin_that_runs_again_leaves_the_next_ones_alone(self):
        self.group = self.make_group(name="quick", options=["--detect", "200"])
        self.group.start_pair()
        resets = self.watch_resets()
        streams = self.streams()
        removed = self.group.process_of(self.group.wait_protected()["twin"])
        removed.signal(signal.SIGSTOP)
        eventually(lambda: self.group.answered()["twin"] is None, "the hung twin is removed", timeout=30)
        self.group.start()
        self.group.wait_protected()
        # Another epoch, with another twin in it.
        at, _ = self.group.replace_primary()
        status = self.group.wait_protected()
        removed.signal(signal.SIGCONT)
        self.assertEqual(removed.wait(20), exit_code.TWIN_ATTACHED, self.group.tail())
        self.assertNotIn("joining again", self.group.process_of(status["twin"]).output())
        self.assertEqual(self.group.wait_protected()["twin"], status["twin"])
        self.wait_streams(streams, at)
        at, _ = self.group.replace_primary()
        self.wait_streams(streams, at)
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def test_a_process_that_starts_while_the_twin_adopts_becomes_the_next_twin(self):
        self.group.start_pair()
        resets = self.watch_resets()
        streams = self.streams()
        for _ in range(rounds(10)):
            status = self.group.wait_protected()
            # A process needs some milliseconds to come so far that it looks for its group.
            lead_s = self.random.uniform(0, 0.02)
            newcomer = self.group.start()
            self.pause(lead_s, lead_s)
            pid, at = self.group.kill_primary(status=status)
            taken = self.group.wait_taken_over(pid)
            self.assertEqual(taken["pid"], status["twin"])
            # Whoever came while the old twin was attached was turned away; later ones stay.
            code = eventually(lambda: (newcomer.exit_code() is not None or self.group.answered()["protected"]) and
                              (newcomer.exit_code() or "stays"), "the newcomer is settled")
            if code != "stays":
                self.assertEqual(code, exit_code.TWIN_ATTACHED, self.group.tail())
                self.group.start()
            self.assertEqual(self.group.wait_protected()["pid"], taken["pid"])
            self.wait_streams(streams, at)
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def test_a_log_that_stands_still_holds_up_neither_role_and_is_read_afterwards(self):
        self.group = self.make_group(name="stopped", options=["--detect", "200"])
        self.group.command = ["sh", "-c", 'exec "$@" 2>"$TERMINAL"', "sh", *self.group.command]
        terminals = [Terminal() for _ in range(2)]
        for terminal in terminals:
            self.addCleanup(terminal.close)
            terminal.stop()
        first, second = terminals
        self.group.start_primary(environment={"TERMINAL": first.path})
        self.group.start(environment={"TERMINAL": second.path})
        status = self.group.wait_protected()
        resets = self.watch_resets()
        streams = self.streams()
        # A line each, of a process that has waiting ones already.
        for process in self.group.processes:
            process.signal(signal.SIGHUP)
        self.wait_streams(streams, time.monotonic_ns())
        self.assertEqual(self.group.wait_protected()["pid"], status["pid"])
        self.assertEqual([terminal.text() for terminal in terminals], ["", ""])
        first.go_on()
        eventually(lambda: "SIGHUP" in first.text(), "the primary's lines come")
        pid, at = self.group.kill_primary()
        self.assertEqual(self.group.wait_taken_over(pid)["pid"], status["twin"])
        self.wait_streams(streams, at)
        self.assertEqual(second.text(), "")
        second.go_on()
        text = eventually(lambda: (t := second.text()) and "took over from" in t and t, "the other one's lines come")
        self.assertLess(text.index("SIGHUP"), text.index("took over from"))
        self.assertNotIn("lines were lost", text)
        self.assert_good(*streams)
        self.assert_no_reset(resets)

    def lose_everything(self, what, first=None, second=None):
        """Starts a pair that both die or that is not protected yet, and then a new one: nothing wrong was ever sent."""
        self.group.start_primary(environment=first)
        streams = [self.perf("echo", "--rate", "20M"), self.perf("echo", "--connections", "4", "--rate", "1M", version=6)]
        self.group.start(second)
        if second:
            status = self.group.wait_protected()
            self.group.kill_primary(status=status)
        victim = self.group.processes[1 if second else 0]
        self.assertEqual(victim.wait(20), -signal.SIGKILL, f"{what} was not passed; {self.group.tail()}")
        if second:
            self.group.start()
        fresh = eventually(lambda: (s := self.group.status(1)) and s["pid"] != victim.pid and s, f"{what}: a new primary")
        self.assertEqual(fresh["takeovers"], 0, f"{what}: nobody may take over what was not whole")
        for stream in streams:
            result = stream.wait(30)
            self.assertFalse(result["ok"])
            for error in result["errors"]:
                self.assertNotIn("wrong", error)
        self.group.start()
        self.group.wait_protected()
        after = self.perf("echo", "--rate", "1M")
        at, _ = self.group.replace_primary()
        after.wait_progress(at)
        self.assert_good(after)
        self.group.close()
        self.group = self.make_group(name=f"lab-{len(self.group.name)}-{what.replace('.', '-')}")

    def needs_stop_points(self):
        if not run([program("tandem-inetd"), "--list-stop-points"], check=False):
            self.skipTest("the programs were built without TANDEM_STOP_POINTS")

    def test_a_primary_that_dies_while_a_joiner_is_brought_up_leaves_nothing_half_done(self):
        self.needs_stop_points()
        for point in ("snapshot.part", "snapshot.end"):
            with self.subTest(point):
                self.lose_everything(point, first={"TANDEM_STOP": f"{point}:1"})

    def test_a_twin_that_dies_while_it_adopts_leaves_a_group_that_starts_anew(self):
        self.needs_stop_points()
        for point in ("adopt.begin", "adopt.fill", "adopt.tx", "adopt.rx", "adopt.done", "promote.linked"):
            with self.subTest(point):
                self.lose_everything(point, second={"TANDEM_STOP": f"{point}:1"})


class Xdp(Faults):
    kind = "xdp"


class Tap(Faults):
    kind = "tap"


del Faults

if __name__ == "__main__":
    main()
