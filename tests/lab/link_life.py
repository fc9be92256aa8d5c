# SPDX-License-Identifier: BSD-3-Clause
"""The interface's life under a pair with live streams: down and up, removed and made anew, narrower and wider."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, exit_code  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
#: Of one processor. Whoever is told again and again that a dead descriptor is ready takes all of it.
MOST_OF_A_PROCESSOR = 0.4


def processor_s(pid):
    """What a process has had of processors, seconds: user and system time of /proc/PID/stat."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class LinkLife(Scenario):
    #: The interface that the pair is on.
    link = None

    def said(self, *words):
        return [line for process in self.group.processes for line in process.output().splitlines()
                if all(word in line for word in words)]

    def start(self):
        self.group.start_pair()
        self.resets = self.watch_resets()
        self.streams = [self.perf("chargen", version=4), self.perf("chargen", version=6), self.perf("echo", version=4),
                        self.perf("rr", version=6)]

    def go_on(self, timeout=30):
        """All streams move from now on."""
        now = time.monotonic_ns()
        for stream in self.streams:
            stream.wait_progress(now, directions=["received"], timeout=timeout)

    def good(self):
        self.assert_good(*self.streams)
        self.assert_no_reset(self.resets)
        self.assert_no_frame_lost()

    def wait_down(self, reason):
        status = eventually(lambda: (s := self.group.status()) and not s["link"]["up"] and s, "the link's loss is noticed")
        self.assertIn(reason, status["link"]["why_down"])
        self.assertFalse(status["protected"])
        self.assertIn(reason, status["why_unprotected"])
        self.assertEqual(self.group.metrics()["link_up"], 0)
        self.assertTrue(self.said("the link is down", reason))
        return status

    def wait_up(self):
        status = eventually(lambda: (s := self.group.status()) and s["link"]["up"] and s, "the link is there again")
        self.assertEqual(self.group.metrics()["link_up"], 1)
        return status

    def assert_idle(self):
        """A pair without a link has queued data, nothing to do with it, and leaves the processors alone."""
        pids = [process.pid for process in self.group.processes if process.is_running()]
        before_s, began_s = [processor_s(pid) for pid in pids], time.monotonic()
        self.pause(1.0, 1.0)
        passed_s = time.monotonic() - began_s
        for pid, before in zip(pids, before_s):
            self.assertLess((processor_s(pid) - before) / passed_s, MOST_OF_A_PROCESSOR, f"pid {pid} works without a link")

    def set_link(self, *words):
        self.network.box.run("ip", "link", "set", "dev", self.link, *words)

    def test_down_with_data_queued_and_up_again(self):
        self.start()
        self.set_link("down")
        self.wait_down(f"`ip link set dev {self.link} up`")
        self.assert_idle()
        self.set_link("up")
        self.wait_up()
        self.go_on()
        self.assertTrue(self.said("the link is up again"))
        self.group.wait_protected()
        self.good()

    def test_a_takeover_while_the_link_is_down(self):
        self.start()
        self.set_link("down")
        status = self.wait_down("is down")
        os.kill(status["pid"], 9)
        taken = self.group.wait_taken_over(status["pid"])
        self.assertFalse(taken["link"]["up"])
        self.assert_idle()
        self.set_link("up")
        self.wait_up()
        self.group.start()
        self.go_on()
        self.group.wait_protected()
        self.good()

    def test_the_peers_end_is_down_and_up_again(self):
        self.start()
        self.network.peer.run("ip", "link", "set", "dev", "p0", "down")
        if self.kind == "xdp":
            self.wait_down("no carrier")
            self.assert_idle()
        self.network.peer.run("ip", "link", "set", "dev", "p0", "up")
        self.network.add_peer_addresses()
        self.wait_up()
        self.go_on()
        self.good()

    def test_the_peers_end_is_deleted_and_made_anew(self):
        self.start()
        self.network.peer.run("ip", "link", "del", "dev", "p0")
        if self.kind == "xdp":
            self.wait_down("has been removed")
            self.assert_idle()
        self.network.remake_veth()
        self.wait_up()
        self.go_on()
        self.assert_good(*self.streams)
        self.group.wait_protected()

    def remove_and_remake(self, meanwhile=lambda status: None, **how):
        self.start()
        self.network.remove_link()
        status = self.wait_down("has been removed")
        self.assert_idle()
        meanwhile(status)
        self.network.remake_link(**how)
        self.wait_up()
        self.go_on()
        self.group.wait_protected()
        self.assertTrue(self.said("the link is up again"))
        # The twin has joined anew, with the new rings: it can take over.
        self.group.replace_primary()
        self.go_on()
        self.assert_good(*self.streams)
        self.assert_no_frame_lost()

    def test_the_interface_is_deleted_and_made_anew(self):
        self.remove_and_remake()

    def test_the_interface_comes_back_with_another_address(self):
        self.remove_and_remake(address="02:00:00:00:00:1a")

    def test_a_takeover_while_there_is_no_interface(self):
        def kill(status):
            os.kill(status["pid"], 9)
            self.group.wait_taken_over(status["pid"])
            self.group.start()
        self.remove_and_remake(meanwhile=kill)

    def set_mtu(self, mtu):
        self.network.set_mtu(mtu)
        eventually(lambda: (s := self.group.status()) and s["link"]["mtu"] == mtu, f"an MTU of {mtu} is noticed")
        self.assertEqual(self.group.metrics()["link_mtu_bytes"], mtu)
        # Each process says it once a change.
        self.assertEqual(len(self.said(f"MTU is {mtu} now")), 2)

    def test_the_mtu_is_lowered_and_raised_under_streams(self):
        self.start()
        self.set_mtu(1300)
        self.go_on()
        self.set_mtu(1500)
        self.go_on()
        # What begins now is as wide as the link.
        wide = self.perf("echo")
        connections = self.group.ask("connections")["connections"]
        self.assertEqual({c["mss"] for c in connections if c["remote"].startswith("10.")} & {1448, 1460} != set(), True)
        self.streams.append(wide)
        self.go_on()
        self.good()

    def test_an_mtu_that_the_frames_do_not_hold_is_told_with_what_to_do(self):
        wide = 3000
        self.start()
        self.network.set_mtu(wide)
        words = (f"{self.link} has an MTU of {wide}", "stop both processes", "`tandemctl shutdown`")
        eventually(lambda: len(self.said(*words)) == 2, "each process says it")
        ours = self.group.answered()["link"]["mtu"]
        self.assertIn(f"ours stays at {ours}", self.said(*words)[0])
        self.assertLess(ours, wide)
        self.assertIn(words[0], self.group.ask("device")["warning"])
        self.go_on()
        # A twin goes on with what there is.
        self.group.replace_primary()
        self.go_on()
        self.assertIn(words[0], self.group.ask("device")["warning"])
        eventually(lambda: len(self.said(*words)) == 3, "the new twin says it, and nobody again")
        self.good()
        self.group.close()
        self.group = self.make_group(name="anew")
        self.group.start_pair()
        self.assertEqual(self.group.answered()["link"]["mtu"], wide)
        self.assertEqual(self.group.ask("device")["warning"], "")
        stream = self.perf("echo")
        self.assertGreater(min(c["mss"] for c in self.group.ask("connections")["connections"]), wide - 100)
        self.assert_good(stream)


class Xdp(LinkLife):
    kind = "xdp"
    link = "t0"

    def test_an_interface_that_cannot_be_opened_again_ends_the_process_with_its_code(self):
        self.network.device = "xdp:t0,mode=native"
        self.group = self.make_group(name="native")
        self.group.start_pair()
        first = self.group.primary()
        self.network.remove_link()
        self.wait_down("has been removed")
        # No driver runs an XDP program on packets of this size.
        self.network.remake_link(mtu=65000)
        self.assertEqual(first.wait(20), exit_code.NO_INTERFACE, self.group.tail())
        self.assertTrue(self.said("the interface is there again and cannot be opened"))

    def test_a_program_of_somebody_elses_on_the_new_interface_is_named_waited_for_and_left_alone(self):
        self.start()
        self.network.remove_link()
        self.wait_down("has been removed")
        stranger = []
        self.network.remake_link(meanwhile=lambda: stranger.append(self.network.attach_foreign_program("t0")))
        line = eventually(lambda: self.said("is there again and not open yet", "stranger"), "it is said", timeout=20)[0]
        self.assertIn("`ip link set dev t0 xdp off`", line)
        self.assert_idle()
        self.assertEqual(self.network.xdp_program("t0"), stranger[0])
        self.assertIn(f"number {stranger[0]}", line)
        self.network.box.run("ip", "link", "set", "dev", "t0", "xdp", "off")
        self.wait_up()
        self.go_on()
        self.group.wait_protected()
        self.assert_good(*self.streams)

    def test_no_interface_at_the_start_has_its_code(self):
        self.network.device = "xdp:nosuch0"
        self.group = self.make_group(name="nowhere")
        self.assertEqual(self.group.start().wait(20), exit_code.NO_INTERFACE)
        self.network.device = "xdp:t0"
        self.set_link("down")
        self.group = self.make_group(name="down")
        self.assertEqual(self.group.start().wait(20), exit_code.NO_INTERFACE)
        self.assertTrue(self.said("ip link set dev t0 up"))


class Tap(LinkLife):
    kind = "tap"
    link = "tap0"


del LinkLife

if __name__ == "__main__":
    main()
