# SPDX-License-Identifier: BSD-3-Clause
"""A card that spreads what it receives over several queues, as cards come."""

import os
import re
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually  # noqa: E402
from tandem_lab.network import program  # noqa: E402
from tandem_lab.process import Process, run  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402

QUEUES = 4


class Spreading(Network):
    """The peer's end sends through as many queues as ours receives on; a connection keeps to one of them."""

    def _make_veth(self, address=Network.BOX_MAC):
        run(["ip", "link", "add", "t0", "numtxqueues", str(QUEUES), "numrxqueues", str(QUEUES), "address", address, "netns",
             str(self.box.pid), "type", "veth", "peer", "name", "p0", "numtxqueues", str(QUEUES), "numrxqueues", str(QUEUES),
             "address", self.PEER_MAC, "netns", str(self.peer.pid)])
        self.box.run("ethtool", "-L", "t0", "rx", str(QUEUES), "tx", str(QUEUES))
        self.peer.run("ethtool", "-L", "p0", "rx", str(QUEUES), "tx", str(QUEUES))


class Xdp(Scenario):
    kind = "xdp"
    judged_bytes = 128

    def make_network(self):
        network = Spreading(self.kind)
        network.device = "xdp:t0,queue=all"
        return network

    def said(self, *words):
        return [line for process in self.group.processes for line in process.output().splitlines()
                if all(word in line for word in words)]

    def streams(self):
        return [self.perf("echo", "--connections", "12", "--rate", "2M", version=4),
                self.perf("rr", "--connections", "12", version=6), self.perf("chargen", "--connections", "4", version=4)]

    def test_streams_over_all_queues_are_exact_across_takeovers(self):
        status = self.group.start_pair()
        self.assertEqual(status["link"]["queues"], QUEUES)
        self.assertIn(f"queues 0 to {QUEUES - 1}", status["device"])
        resets = self.watch_resets()
        streams = self.streams()
        for _ in range(6):
            at, taken = self.group.replace_primary()
            self.assertEqual(taken["link"]["queues"], QUEUES)
            for stream in streams:
                stream.wait_progress(at, directions=["received"], timeout=30)
        self.assertIn("switchover", self.group.ask("switchover"))
        self.assert_good(*streams)
        self.assert_no_reset(resets)
        metrics = self.assert_no_frame_lost()
        self.assertEqual(metrics["device_rx_no_socket_total"], 0)
        self.assertEqual(metrics["frames_total"], QUEUES * 8192)

    def test_of_all_queues_only_the_frame_that_ends_its_readers_is_dropped(self):
        text = "deadly-content"
        self.group = self.make_group(name="deadly", environment={"TANDEM_DEADLY": f"input:{text}"})
        self.group.crashes = lambda: []
        self.group.start_pair()
        streams = self.streams()
        client = self.network.peer.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(client.close)
        client.connect((Network.v4(Network.PAIR), 7))
        client.sendall(text.encode())

        def is_over():
            if sum(process.is_running() for process in self.group.processes) < 2:
                self.group.start()
            return self.said("resetting the connection with")

        eventually(is_over, "the connection that cannot go on is reset", 60, 0.01)
        address, port = client.getsockname()
        for line in self.said("dropped "):
            self.assertIn(f"dropped the TCP segment of {address}:{port} to ", line)
        self.assertEqual(sum(process.exit_code() == -signal.SIGABRT for process in self.group.processes), 2)
        self.group.wait_protected()
        self.assert_good(*streams)

    def test_what_came_over_any_queue_is_answered_once_across_deaths(self):
        if not run([program("tandem-inetd"), "--list-stop-points"], check=False):
            self.skipTest("the programs were built without TANDEM_STOP_POINTS")

        def armed():
            return {"TANDEM_STOP": f"{self.random.choice(['publish.after', 'tx.words', 'tx.after'])}:{self.random.randint(1, 40)}"}

        primary = self.group.start_primary(environment=armed()).pid
        # A question that is dealt with twice is answered twice, where a segment that comes again changes nothing. Each of these
        # keeps to a queue, and they to different ones.
        pings = [Process(["ping", "-n", "-q", "-i", "0.002", Network.v4(Network.PAIR)], os.path.join(self.directory, f"ping-{i}"),
                         namespace=self.network.peer) for i in range(2 * QUEUES)]
        for ping in pings:
            self.addCleanup(ping.end)
        for last in [False] * 7 + [True]:
            self.group.start(None if last else armed())
            self.assertEqual(self.group.process_of(primary).wait(30), -signal.SIGKILL, self.group.tail())
            primary = self.group.wait_taken_over(primary)["pid"]
        self.group.start()
        self.group.wait_protected()
        for ping in pings:
            ping.signal(signal.SIGINT)
            self.assertEqual(ping.wait(10), 0, ping.output())
            self.assertNotIn("duplicates", ping.output())
            sent, answered = (int(number) for number in re.search(r"(\d+) packets transmitted, (\d+) received", ping.output()).groups())
            self.assertLessEqual(sent - answered, 1, "none is lost but one that was on its way in the end")
            self.assertGreater(answered, 0)
        self.assert_no_frame_lost()

    def test_the_interface_is_made_anew(self):
        self.group.start_pair()
        streams = self.streams()
        self.network.remove_link()
        eventually(lambda: not self.group.answered()["link"]["up"], "the link's loss is noticed")
        self.network.remake_link()
        eventually(lambda: self.group.answered()["link"]["up"], "the link is there again")
        self.group.wait_protected()
        at, _ = self.group.replace_primary()
        for stream in streams:
            stream.wait_progress(at, directions=["received"], timeout=30)
        self.assert_good(*streams)

    def test_with_one_queue_the_others_are_told_of_with_the_remedy(self):
        self.network.device = "xdp:t0"
        self.group = self.make_group(name="one")
        self.group.start_primary()
        self.assertTrue(self.said(f"{QUEUES} queues", "queue=all", "ethtool -L t0"))
        self.network.peer.run("ping", "-n", "-c", "1", "-W", "2", Network.v4(Network.PAIR), check=False)
        # Connections of which some come in on other queues.
        command = ["timeout", "5", "nc", "-z", "-w", "1", Network.v4(Network.PAIR), "7"]
        eventually(lambda: self.network.peer.run(*command, check=False) or
                   self.group.metrics()["device_rx_no_socket_total"] > 0, "something comes in elsewhere", timeout=30)
        eventually(lambda: self.said("arrive on other queues", "queue=all"), "it is said")
        self.assertEqual(len(self.said("arrive on other queues")), 1)


if __name__ == "__main__":
    main()
