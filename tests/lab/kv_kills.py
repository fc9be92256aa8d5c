# SPDX-License-Identifier: BSD-3-Clause
"""A program with state of its own: a key-value store and its clients go on through deaths, also of a process that dies while its
twin is being brought up, with every answer as if there had been one process."""

import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, run  # noqa: E402
from tandem_lab.network import program  # noqa: E402
from tandem_lab.scenario import Scenario, main, rounds  # noqa: E402

PORT = 6380
KEYS = 4000
BATCH = 40


class Client(threading.Thread):
    """Sets, deletes and reads keys of its own, and knows what every answer has to be."""

    def __init__(self, network, number, random):
        super().__init__(daemon=True)
        self.name = f"client {number}"
        self.random = random
        self.model = {}
        self.batches = 0
        self.failure = None
        self.stop = threading.Event()
        self.socket = network.peer.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect((Network.v4(1), PORT))
        self.answers = self.socket.makefile("rb")
        self.number = number

    def request(self):
        """One request, what it does to the model, and its answer."""
        key = f"{self.number}-{self.random.randrange(KEYS)}"
        what = self.random.random()
        if what < 0.55:
            value = "x" * self.random.randrange(300) + str(self.random.randrange(10**9))
            self.model[key] = value
            return f"SET {key} {value}", "OK"
        if what < 0.8:
            return f"DEL {key}", "NONE" if self.model.pop(key, None) is None else "OK"
        return f"GET {key}", f"VALUE {self.model[key]}" if key in self.model else "NONE"

    def exchange(self, pairs):
        self.socket.sendall("".join(request + "\n" for request, _ in pairs).encode())
        for request, expected in pairs:
            answer = self.answers.readline().decode().rstrip("\n")
            if answer != expected:
                raise AssertionError(f"{self.name}: {request!r} was answered with {answer!r} and not {expected!r}")

    def run(self):
        try:
            while not self.stop.is_set():
                self.exchange([self.request() for _ in range(BATCH)])
                self.batches += 1
        except (AssertionError, OSError, UnicodeError) as error:
            self.failure = f"{self.name}: {error!r}"

    def finish(self):
        """Ends it, and compares every key that it ever used."""
        self.stop.set()
        self.join(60)
        if self.failure is None:
            keys = [f"{self.number}-{index}" for index in range(KEYS)]
            for begin in range(0, KEYS, BATCH):
                self.exchange([(f"GET {key}", f"VALUE {self.model[key]}" if key in self.model else "NONE")
                               for key in keys[begin:begin + BATCH]])
        return self.failure


class KvKills(Scenario):
    program = ["tandem-kv"]
    judged_bytes = 160

    def test_store_and_clients_survive_deaths_and_joins_under_way(self):
        self.group.start_pair()
        resets = self.watch_resets()
        clients = [Client(self.network, number, self.random) for number in range(3)]
        for client in clients:
            client.start()

        def progress(batches):
            before = [client.batches for client in clients]
            eventually(lambda: all(client.failure or client.batches >= count + batches for client, count in zip(clients, before)),
                       f"every client gets {batches} batches further", 60)
            self.assertEqual([client.failure for client in clients if client.failure], [], self.group.tail())

        progress(100)
        for index in range(rounds(12)):
            status = self.group.wait_protected()
            if index % 4 == 3:
                run([program("tandemctl"), "--runtime-dir", self.group.runtime_dir, "--group", self.group.name, "switchover"])
                self.group.wait_taken_over(status["pid"])
                progress(2)
                continue
            self.group.kill_primary(status=status)
            self.group.wait_taken_over(status["pid"])
            twin = self.group.start()
            if index % 4 == 2:
                # A twin that dies while it is brought up, under changes, leaves nothing behind.
                eventually(lambda: "twin of pid" in twin.output() or not twin.is_running(), "the twin has attached")
                twin.kill()
                twin.wait(10)
                self.group.start()
            progress(3)
        self.group.wait_protected()
        progress(5)
        # The last word is the last twin's: what it was brought up with, and followed since.
        self.group.replace_primary()
        for client in clients:
            self.assertIsNone(client.finish(), self.group.tail())
        count = sum(len(client.model) for client in clients)
        clients[0].exchange([("COUNT", f"COUNT {count}")])
        for client in clients:
            client.socket.close()
        self.assert_no_reset(resets)
        self.assert_no_frame_lost()

    def test_a_store_of_many_megabytes_is_handed_on(self):
        self.group.start_primary()
        client = Client(self.network, 0, self.random)
        values = {f"key-{index}": f"{index:06}" + "v" * 4000 for index in range(4000)}
        keys = list(values)
        for begin in range(0, len(keys), BATCH):
            client.exchange([(f"SET {key} {values[key]}", "OK") for key in keys[begin:begin + BATCH]])
        # It is handed on twice, so that what the twin made of it is what the next one gets.
        self.group.start()
        for _ in range(2):
            self.group.replace_primary()
        client.exchange([("COUNT", f"COUNT {len(keys)}")])
        for begin in range(0, len(keys), BATCH):
            client.exchange([(f"GET {key}", f"VALUE {values[key]}") for key in keys[begin:begin + BATCH]])
        client.socket.close()


class Xdp(KvKills):
    kind = "xdp"


class Tap(KvKills):
    kind = "tap"


del KvKills

if __name__ == "__main__":
    main()
