# SPDX-License-Identifier: BSD-3-Clause
"""The unit that ships, as `cmake --install` leaves it below a prefix, run under exactly its restrictions."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, exit_code, peers, run  # noqa: E402
from tandem_lab.network import programs_directory  # noqa: E402
from tandem_lab.process import Process  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402
from tandem_lab.service import NotifySocket, Unit  # noqa: E402

PREFIX = "/opt/tandem"
RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "tandem_lab", "service.py")


class ShippedUnit(Scenario):
    #: The capabilities without which the unit's program cannot start on this device.
    needed = ()

    def setUp(self):
        super().setUp()
        run(["mount", "-t", "tmpfs", "tmpfs", "/opt"])
        self.addCleanup(run, ["umount", "-l", "/opt"])
        run(["cmake", "--install", os.path.dirname(programs_directory()), "--prefix", PREFIX], timeout=120)
        self.unit = Unit(os.path.join(PREFIX, "lib/systemd/system/tandem-bgpd@.service"))
        self.notify = NotifySocket("/run/notify")
        self.addCleanup(self.notify.close)
        self.addCleanup(os.unlink, "/run/notify")
        self.group.runtime_dir = "/run/tandem"
        self.group.name = "edge"

    def configure(self, instance, neighbors=(), **changes):
        """Writes the instance's own file of options."""
        values = {"group": "edge", "device": self.network.device, "as": str(peers.PAIR_AS), "router-id": "10.77.0.1",
                  "network": "40.0.0.0/24", **changes}
        lines = [f"{key} = {value}" for key, value in values.items()]
        lines += [f"address = {address}" for address in (f"{Network.v4(1)}/24", f"{Network.v6(1)}/64")]
        lines += [f"neighbor = {neighbor}" for neighbor in neighbors]
        path = self.unit.command(instance)[self.unit.command(instance).index("--config") + 1]
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")

    def start(self, instance, drop=()):
        log = os.path.join(self.directory, f"{instance}-{len(os.listdir(self.directory))}.log")
        words = [word for name in drop for word in ("--drop", name)]
        process = Process([sys.executable, RUNNER, self.unit.path, instance, *words], log, namespace=self.network.box,
                          environment={"NOTIFY_SOCKET": self.notify.path})
        self.addCleanup(process.end)
        self.group.processes.append(process)
        return process

    def wait_ready(self, process):
        def is_ready():
            self.assertTrue(process.is_running(), process.output())
            return "1" in self.notify.values(process.pid, "READY")

        eventually(is_ready, "the process is ready", 30)

    def bird(self):
        bird = peers.Bird(self.network, self.directory, routes=50, hold_s=30)
        self.addCleanup(bird.close)
        bird.start()
        return bird

    def test_a_pair_of_instances_keeps_a_session_through_a_death_a_hang_and_restarts(self):
        bird = self.bird()
        neighbors = [option for option in bird.neighbor_options() if option != "--neighbor"]
        for instance in ("edge-1", "edge-2"):
            self.configure(instance, neighbors)
        first = self.start("edge-1")
        self.wait_ready(first)
        second = self.start("edge-2")
        self.wait_ready(second)
        # A twin is ready when it would take over; the primary looks whether it has caught up some milliseconds later.
        status = self.group.status()
        self.assertEqual((status["pid"], status["twin"]), (first.pid, second.pid))
        self.group.wait_protected()
        self.assertEqual(os.sched_getscheduler(second.pid) & ~os.SCHED_RESET_ON_FORK, os.SCHED_FIFO,
                         "the twin goes before others: CAP_SYS_NICE and LimitRTPRIO are enough")
        bird.feed()
        eventually(bird.established, "BIRD has its sessions", 30)
        eventually(lambda: bird.sessions()[4].received >= 1 and self.group.ask("routes")["best"] >= 50, "routes are exchanged", 30)
        facts = {version: session.ups for version, session in bird.sessions().items()}

        first.kill()
        self.group.wait_taken_over(first.pid)
        first = self.start("edge-1")
        self.wait_ready(first)
        # The fence: the twin has to kill a primary that hangs.
        second.signal(signal.SIGSTOP)
        self.assertEqual(self.group.wait_taken_over(second.pid)["timeline"]["cause"], "hung")
        self.assertEqual(second.wait(10), -signal.SIGKILL)
        second = self.start("edge-2")
        self.wait_ready(second)
        # What tandem-bgpd-restart@ does: one behind the other, each until it is ready.
        for instance, process in (("edge-1", first), ("edge-2", second)):
            process.signal(signal.SIGTERM)
            self.assertEqual(process.wait(10), exit_code.OK, process.output())
            self.assertIn("1", self.notify.values(process.pid, "STOPPING"))
            self.wait_ready(self.start(instance))
        self.group.wait_protected()
        self.assertTrue(bird.established())
        self.assertEqual({version: session.ups for version, session in bird.sessions().items()}, facts,
                         "no session went down")

    def test_the_watchdog_hears_of_each_process_and_the_journal_gets_priorities(self):
        for instance in ("edge-1", "edge-2"):
            self.configure(instance)
        processes = []
        for instance in ("edge-1", "edge-2"):
            processes.append(self.start(instance))
            self.wait_ready(processes[-1])
        for process in processes:
            before = len(self.notify.values(process.pid, "WATCHDOG"))
            eventually(lambda: len(self.notify.values(process.pid, "WATCHDOG")) >= before + 2, "the watchdog is fed", 10)
            for line in process.output().splitlines():
                self.assertRegex(line, r"^<[3-6]>tandem\[\d+\] (alone|primary|twin): ")
        primary, twin = processes
        eventually(lambda: self.notify.values(primary.pid, "STATUS")[-1:] == ["primary, protected by a twin"], "the primary's status")
        self.assertEqual(self.notify.values(twin.pid, "STATUS")[-1], "twin, ready to take over")
        # A process that hangs feeds it no more.
        twin.signal(signal.SIGSTOP)
        self.notify.said(twin.pid)
        before = len(self.notify.values(twin.pid, "WATCHDOG"))
        count = len(self.notify.values(primary.pid, "WATCHDOG"))
        eventually(lambda: len(self.notify.values(primary.pid, "WATCHDOG")) >= count + 3, "the primary goes on")
        self.assertEqual(len(self.notify.values(twin.pid, "WATCHDOG")), before)

    def test_advice_names_the_capability_that_is_missing_and_no_other(self):
        for dropped in self.needed:
            with self.subTest(dropped):
                drop = [dropped, "memlock"] if dropped == "CAP_IPC_LOCK" else [dropped]
                self.configure("edge-1", **self.strange_device())
                process = self.start("edge-1", drop)
                self.assertEqual(process.wait(20), exit_code.PRIVILEGE, process.output())
                said = process.output()
                self.assertIn(f"lacks {dropped}", said)
                for other in self.unit.capabilities():
                    if other != dropped:
                        self.assertNotIn(other, said)

    def strange_device(self):
        return {}

    def test_the_unit_names_what_was_installed_and_nothing_is_written_outside(self):
        command = self.unit.command("edge-1")
        self.assertEqual(command[0], os.path.join(PREFIX, "bin/tandem-bgpd"))
        self.assertTrue(os.access(command[0], os.X_OK))
        self.assertTrue(os.path.isdir(os.path.join(PREFIX, "etc/tandem/bgpd")))
        self.assertTrue(os.path.exists(os.path.join(PREFIX, "share/doc/tandem/COPYING.lwip")))
        # The example of a configuration is one.
        with open(os.path.join(PREFIX, "share/doc/tandem/bgpd.conf.example"), encoding="ascii") as file:
            example = file.read().replace("xdp:eth1", self.network.device)
        path = command[command.index("--config") + 1]
        with open(path, "w", encoding="ascii") as file:
            file.write(example)
        self.wait_ready(self.start("edge-1"))


class Xdp(ShippedUnit):
    kind = "xdp"
    needed = ("CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON", "CAP_NET_RAW", "CAP_IPC_LOCK")


class Tap(ShippedUnit):
    kind = "tap"
    needed = ("CAP_NET_ADMIN",)

    def strange_device(self):
        # A TAP that is there may be used by whoever may open it; making one takes a privilege.
        return {"device": "tap:new0"}


del ShippedUnit

if __name__ == "__main__":
    main()
