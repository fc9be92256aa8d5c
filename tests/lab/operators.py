# SPDX-License-Identifier: BSD-3-Clause
"""What an operator is told: one line of log for each change of state, and tandemctl's answers and exit codes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, exit_code, peers  # noqa: E402
from tandem_lab.network import program  # noqa: E402
from tandem_lab.process import Process  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

UNPROTECTED = 82


class Operators(Scenario):
    extra_peers = (3,)

    def ctl(self, *words, group="lab"):
        """Runs tandemctl to its end; returns (exit code, what it printed, what it complained about)."""
        command = [program("tandemctl"), "--runtime-dir", self.group.runtime_dir, *words]
        if group is not None:
            command += ["--group", group]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout, done.stderr

    def shown(self, *words, group="lab"):
        code, text, wrong = self.ctl(*words, group=group)
        self.assertEqual((code, wrong), (0, ""))
        return text

    def lines(self, *words):
        """The lines that hold all words, of every process of the group."""
        return [line for process in self.group.processes for line in process.output().splitlines()
                if all(word in line for word in words)]

    def bgp(self, *neighbors, options=()):
        words = [word for neighbor in neighbors for word in ("--neighbor", neighbor)]
        return self.make_group(["tandem-bgpd", "--as", str(peers.PAIR_AS), "--router-id", "10.77.0.1"], options=[*words, *options],
                               name="bgp")

    def test_each_change_of_state_is_one_line(self):
        status = self.group.start_pair()
        self.assertEqual(len(self.lines("protected: twin", str(status["twin"]))), 1)
        # A death.
        old, _ = self.group.kill_primary()
        taken = self.group.wait_taken_over(old)
        self.assertEqual(len(self.lines(f"took over from pid {old}, which died")), 1)
        # A new twin, and its death.
        twin = self.group.start()
        self.group.wait_protected()
        self.assertEqual(len(self.lines("protected: twin", str(twin.pid))), 1)
        twin.kill()
        eventually(lambda: self.lines("unprotected: ", f"pid {twin.pid}"), "the twin's death is told")
        # A planned switchover: one line of each of the two.
        self.group.start()
        status = self.group.wait_protected()
        self.assertEqual(self.ctl("switchover", "--wait")[0], 0)
        eventually(lambda: self.lines(f"took over from pid {status['pid']}, which handed over"), "the successor tells")
        eventually(lambda: self.lines("planned switchover: handed over"), "the predecessor tells")
        self.assertEqual(len(self.lines("planned switchover: handed over")), 1)
        # A hang.
        status = self.group.wait_protected()
        self.group.process_of(status["pid"]).signal(signal.SIGSTOP)
        self.group.wait_taken_over(status["pid"])
        eventually(lambda: self.lines(f"took over from pid {status['pid']}, which hung"), "the hang is told")
        self.assertEqual(len(self.lines("has not turned for")), 1)
        self.assertEqual(len(self.lines("took over from")), 3)
        self.assertNotEqual(taken["pid"], old)

    def test_a_neighbor_that_does_not_come_up_is_told_once_with_the_reason(self):
        stranger = peers.Bird(self.network, self.directory, routes=1, hold_s=9)
        self.addCleanup(stranger.close)
        stranger.start()
        nobody, other = Network.v4(77), Network.v4(3)
        self.group = self.bgp(f"{Network.v4(2)} as={stranger.as_number + 1}", f"{nobody} as=65077", f"{other} as=65010")
        primary = self.group.start_primary()

        def told(address):
            return self.lines(f"neighbor {address} ", "does not come up")

        eventually(lambda: any("Bad Peer AS" in line or "bad peer AS" in line.lower() for line in told(Network.v4(2))),
                   "the wrong AS number is told", 30)
        eventually(lambda: any("refused" in line for line in told(other)), "that nobody listens is told", 30)
        eventually(lambda: any("nobody on the link answers" in line for line in told(nobody)), "that nobody is there is told", 60)
        # Further attempts fail for the same reasons, and say nothing.
        before = self.group.metrics()["connections_opened_total"]
        eventually(lambda: self.group.metrics()["connections_opened_total"] >= before + 4, "further attempts are made", 60)
        for address in (Network.v4(2), nobody, other):
            lines = [re.sub(r".*does not come up: ", "", line) for line in told(address)]
            self.assertEqual(len(lines), len(set(lines)), f"the same reason was told again: {lines}")
            self.assertLessEqual(len(lines), 4)
        self.assertTrue(primary.is_running())
        rows = self.shown("neighbors", group="bgp").splitlines()
        self.assertEqual(len(rows), 4)
        self.assertTrue(any(row.startswith(nobody) and "answer" in row for row in rows), rows)

    def test_who_draws_packets_is_told_that_they_are_not_forwarded(self):
        neighbor = f"{Network.v4(2)} as=65002"
        self.group = self.bgp(neighbor)
        self.group.start_primary()
        self.assertEqual(self.lines("not forwarded"), [])
        self.group.close()
        self.group = self.bgp(neighbor, options=["--network", "40.0.0.0/24"])
        self.group.start_pair()
        self.assertEqual(len(self.lines(f"hear {Network.v4(1)} and {Network.v6(1)} as next hop", "not forwarded")), 1)

    def packets_of(self, path):
        """What tcpdump reads in a capture: packets to the pair and from it."""
        text = subprocess.run(["tcpdump", "-nn", "-r", path, "ip"], capture_output=True, text=True, timeout=30, check=True).stdout
        own = re.escape(Network.v4(1))
        return len(re.findall(rf"> {own}\.", text)), len(re.findall(rf"IP {own}\.\d+ >", text))

    def test_packets_are_captured_while_the_pair_runs(self):
        self.group.start_pair()
        stream = self.perf("echo", "--rate", "2M")
        first, second, third = (os.path.join(self.directory, f"{name}.pcapng") for name in ("first", "second", "third"))
        self.assertEqual(self.shown("capture"), "nothing is being captured\n")
        self.assertEqual(self.ctl("capture", "stop")[0], exit_code.FAILURE)
        self.shown("capture", "start", first)
        eventually(lambda: json.loads(self.shown("capture", "--json"))["capture"]["packets"] > 100, "packets are captured")
        # What cannot be is refused, says why, and leaves nothing behind.
        code, _, wrong = self.ctl("capture", "start", second)
        self.assertEqual(code, exit_code.BUSY)
        self.assertIn(f"captured to {first} already", wrong)
        self.assertFalse(os.path.exists(second))
        for path, words in ((first, "it exists"), (os.path.join(self.directory, "nowhere", "x"), "No such file")):
            code, _, wrong = self.ctl("capture", "start", path)
            self.assertEqual(code, exit_code.FAILURE)
            self.assertIn(words, wrong)
        self.assertEqual(self.ctl("capture", "begin")[0], exit_code.USAGE)
        done = json.loads(self.shown("capture", "stop", "--json"))["captured"]
        self.assertEqual((done["file"], done["not_captured"], done["complete"]), (first, 0, True))
        to_pair, from_pair = self.packets_of(first)
        self.assertGreater(min(to_pair, from_pair), 40)
        self.assertLessEqual(to_pair + from_pair, done["packets"])
        self.assertEqual(os.stat(first).st_mode & 0o777, 0o600)
        # A capture is its process's, and who takes over says that there was one.
        self.shown("capture", "start", second)
        eventually(lambda: os.path.getsize(second) > 300_000, "packets of both directions are written")
        old, _ = self.group.kill_primary()
        self.group.wait_taken_over(old)
        eventually(lambda: self.lines("the capture that an operator had begun ended"), "the successor tells")
        self.assertEqual(self.shown("capture"), "nothing is being captured\n")
        self.assertGreater(min(self.packets_of(second)), 0)
        self.shown("capture", "start", third)
        eventually(lambda: os.path.getsize(third) > 300_000, "packets of both directions are written")
        self.shown("capture", "stop")
        self.assertGreater(min(self.packets_of(third)), 0)
        self.assertEqual(len(self.lines("the capture that an operator had begun ended")), 1)
        self.assert_good(stream)

    def test_a_capture_that_nobody_reads_holds_up_nothing(self):
        self.group.start_pair()
        stream = self.perf("echo", "--rate", "40M")
        path = os.path.join(self.directory, "pipe")
        os.mkfifo(path)
        code, _, wrong = self.ctl("capture", "start", path)
        self.assertEqual(code, exit_code.FAILURE)
        self.assertIn("nobody reads the pipe", wrong)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.shown("capture", "start", path)
        eventually(lambda: json.loads(self.shown("capture", "--json"))["capture"]["not_captured"] > 0, "packets are dropped and counted", 60)
        done = json.loads(self.shown("capture", "stop", "--json"))["captured"]
        self.assertFalse(done["complete"])
        self.assertTrue(self.group.answered()["protected"])
        self.assertEqual(self.group.answered()["takeovers"], 0)
        self.assert_good(stream)

    def test_what_can_never_work_is_refused_before_anything_starts(self):
        for number, (options, words) in enumerate([
                (["--neighbor", f"{Network.v4(1)} as=65002"], "own --address"),
                (["--neighbor", "198.51.100.1 as=65002"], "no --gateway for IPv4"),
                (["--neighbor", f"{Network.v4(2)} as=65002 hold=2"], "hold time"),
                (["--neighbor", f"{Network.v4(2)} as=65002", "--neighbor", f"{Network.v4(2)} as=65003"], "configured twice"),
                (["--gateway", Network.v4(1)], "is an address of our own")]):
            with self.subTest(words):
                log = os.path.join(self.directory, f"refused-{number}.log")
                process = Process([program("tandem-bgpd"), *self.network.pair_options(), "--as", "65001", "--router-id", "10.77.0.1",
                                   *options], log, namespace=self.network.box)
                self.addCleanup(process.end)
                self.assertEqual(process.wait(20), exit_code.USAGE, process.output())
                self.assertIn(words, process.output())
                self.assertNotIn("tandem[", process.output(), "no node was started")

    def test_tandemctl_shows_neighbours_listeners_and_the_device(self):
        self.group.start_primary()
        stream = self.perf("echo", "--rate", "1M")
        self.assertIn(f"{Network.v4(2)}  {Network.PEER_MAC}", re.sub(" +", "  ", self.shown("arp")))
        listeners = self.shown("listeners")
        for port in (7, 9, 13, 19):
            self.assertIn(f"{Network.v4(1)}:{port} ", listeners)
            self.assertIn(f"[{Network.v6(1)}]:{port} ", listeners)
        device = json.loads(self.shown("device", "--json"))
        self.assertEqual((device["mtu"], device["addresses"][0]), (1500, f"{Network.v4(1)}/24"))
        self.assertGreater(device["rx_frames"], 0)
        self.assertTrue(device["device"].startswith(self.kind))
        self.assert_good(stream)

    def test_exit_codes_say_whether_the_group_is_protected_and_switchover_waits(self):
        self.group.start_primary()
        self.assertEqual(self.ctl("status", "--check")[0], UNPROTECTED)
        code, _, wrong = self.ctl("switchover", "--wait")
        self.assertEqual(code, exit_code.FAILURE)
        self.assertIn("no switchover", wrong)
        self.group.start()
        status = self.group.wait_protected()
        self.assertEqual(self.ctl("status", "--check")[0], 0)
        text = self.shown("switchover", "--wait")
        self.assertIn(f"pid {status['twin']} has taken over from pid {status['pid']}", text)
        self.assertEqual(self.group.answered()["pid"], status["twin"])
        # Without --group the only one is meant.
        self.assertIn("role", self.shown("status", group=None))

    def test_an_answer_that_is_half_out_is_whole_before_a_switchover(self):
        status = self.group.start_pair()
        stream = self.perf("rr", "--connections", "1000", "--rate", "100K")
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(20)
        client.connect(os.path.join(self.group.runtime_dir, "lab", "control.sock"))
        client.sendall(b'{"command":"connections"}\n')
        answer = client.recv(1)
        # More than the kernel holds for a reader: the rest is still to come.
        self.group.process_of(status["pid"]).signal(signal.SIGUSR2)
        for _ in range(30):
            self.assertEqual(self.group.answered()["pid"], status["pid"], "it has handed over before its answer was read")
        while piece := client.recv(65536):
            answer += piece
        self.assertEqual(len(json.loads(answer)["connections"]), 1000)
        self.assertGreater(len(answer), 400_000)
        self.group.wait_taken_over(status["pid"])
        self.assert_good(stream)

    def test_watch_shows_again_and_again(self):
        self.group.start_primary()
        log = os.path.join(self.directory, "watch.log")
        watch = Process([program("tandemctl"), "--runtime-dir", self.group.runtime_dir, "--group", "lab", "status", "--watch",
                         "--interval", "100"], log)
        self.addCleanup(watch.end)
        eventually(lambda: watch.output().count("uptime_seconds") >= 3, "three looks")

    def test_a_process_without_a_group_can_be_asked(self):
        log = os.path.join(self.directory, "alone.log")
        command = [program("tandem-inetd"), *self.network.pair_options(), "--runtime-dir", self.group.runtime_dir]
        alone = Process(command, log, namespace=self.network.box)
        self.addCleanup(alone.end)
        path = os.path.join(self.group.runtime_dir, "alone", f"{alone.pid}.sock")
        eventually(lambda: os.path.exists(path) or not alone.is_running(), "its socket is there")
        self.assertIn("alone", self.shown("status", "--pid", str(alone.pid), group=None))
        self.assertIn(str(alone.pid), self.shown("status", group=None))
        self.assertEqual(self.ctl("status", "--check", group=None)[0], UNPROTECTED)
        # One that is killed leaves its socket behind, and the next one takes it away.
        alone.kill()
        alone.wait(10)
        # io_uring keeps its listening socket for some milliseconds behind its end.
        eventually(lambda: self.ctl("status", group=None)[0] == exit_code.NO_GROUP, "nobody is found")
        again = Process(command, log + "2", namespace=self.network.box)
        self.addCleanup(again.end)
        eventually(lambda: self.ctl("status", group=None)[0] == 0, "the next one answers")
        self.assertFalse(os.path.exists(path))
        again.end()
        self.assertEqual(os.listdir(os.path.dirname(path)), [])


class Xdp(Operators):
    kind = "xdp"


class Tap(Operators):
    kind = "tap"


del Operators

if __name__ == "__main__":
    main()
