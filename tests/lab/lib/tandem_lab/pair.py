# SPDX-License-Identifier: BSD-3-Clause
"""A replication group: its processes, its state, its kills."""

import json
import os
import signal
import socket
import time

from .network import program
from .process import Process


class Timeout(Exception):
    """Something that was waited for has not come."""


class exit_code:
    """The programs' exit codes (node.hpp), and tandemctl's own."""

    OK = 0
    FAILURE = 1
    USAGE = 64
    NO_INTERFACE = 66
    UNSUPPORTED = 69
    INTERNAL = 70
    SYSTEM = 71
    BUSY = 75
    PROTOCOL = 76
    PRIVILEGE = 77
    MISMATCH = 78
    TWIN_ATTACHED = 79
    TAKEOVER_LOOP = 80
    NO_GROUP = 81
    SHUT_DOWN = 83


def eventually(condition, what, timeout=10, interval=0.003):
    """Waits until condition() is true, and returns what it returned."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {timeout} seconds")
        time.sleep(interval)


class Group:
    """The processes of one group. Any of them may be primary; start() brings in the next one."""

    #: A busy machine can keep a healthy primary waiting; tests that are not about hangs have patience.
    PATIENT = ("--detect", "2000")

    def __init__(self, network, directory, command, name="lab", options=(), environment=None):
        self.network = network
        self.directory = directory
        self.name = name
        self.runtime_dir = os.path.join(directory, "run")
        self.command = [program(command[0]), *command[1:], *network.pair_options(), "--group", name, "--runtime-dir",
                        self.runtime_dir, *options]
        if "--detect" not in options:
            self.command += self.PATIENT
        self.environment = environment or {}
        self.processes = []
        self.started = 0

    def start(self, environment=None, extra=()):
        """Starts one more process: the primary if there is none, else a twin."""
        log = os.path.join(self.directory, f"tandem-{self.started}.log")
        self.started += 1
        process = Process([*self.command, *extra], log, namespace=self.network.box,
                          environment={**self.environment, **(environment or {})})
        self.processes.append(process)
        return process

    def start_pair(self, timeout=20):
        self.start_primary(timeout)
        self.start()
        return self.wait_protected(timeout)

    def start_primary(self, timeout=20, environment=None):
        """Starts the first process and waits until it answers."""
        process = self.start(environment)

        def answers():
            if not process.is_running():
                raise RuntimeError(f"the first process ended; {self.tail()}")
            return self.status(1)

        try:
            eventually(answers, "a primary answers", timeout)
        except Timeout as error:
            raise Timeout(f"{error}; {self.tail()}") from None
        eventually(self.network.is_forwarding, "the wire forwards", 5)
        return process

    def ask(self, command, timeout=5):
        """One request on the control socket; None when nobody answers."""
        path = os.path.join(self.runtime_dir, self.name, "control.sock")
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(timeout)
        try:
            client.connect(path)
            client.sendall(json.dumps({"command": command}).encode() + b"\n")
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        except OSError:
            return None
        finally:
            client.close()
        return json.loads(answer) if answer else None

    def status(self, timeout=5):
        answer = self.ask("status", timeout)
        return answer if answer and "pid" in answer else None

    def answered(self):
        """The status, asked for until somebody answers: during a takeover nobody does."""
        return eventually(self.status, "the primary answers")

    def metrics(self):
        """The counters by name, without the prefix that all share."""
        answer = eventually(lambda: self.ask("metrics"), "metrics are answered")
        values = {}
        for line in answer["text"].splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name.removeprefix("tandem_")] = float(value)
        return values

    def process_of(self, pid):
        return next(process for process in self.processes if process.pid == pid)

    def primary(self):
        return self.process_of(self.answered()["pid"])

    def wait_protected(self, timeout=20, after_pid=None):
        """Until a primary (other than `after_pid`) has a member twin; returns its status."""

        def is_protected():
            status = self.status(1)
            if status and status["protected"] and status["pid"] != after_pid:
                return status
            for process in self.processes[-1:]:
                code = process.exit_code()
                if code is not None and code > 0:
                    raise RuntimeError(f"process {process.pid} exited with {code}; {self.tail()}")
            return None

        try:
            return eventually(is_protected, "the group is protected", timeout)
        except Timeout as error:
            raise Timeout(f"{error}; {self.tail()}") from None

    def wait_taken_over(self, old_pid, timeout=15):
        """Until another process than `old_pid` answers as primary."""

        def is_taken_over():
            status = self.status(1)
            return status if status and status["pid"] != old_pid and status["role"] == "primary" else None

        try:
            return eventually(is_taken_over, "the twin has taken over", timeout)
        except Timeout as error:
            raise Timeout(f"{error}; {self.tail()}") from None

    def kill_primary(self, number=signal.SIGKILL, status=None):
        """Sends the signal to the primary of a protected group; returns (its pid, CLOCK_MONOTONIC just before)."""
        status = status or self.wait_protected()
        at = time.monotonic_ns()
        os.kill(status["pid"], number)
        return status["pid"], at

    def replace_primary(self, environment=None):
        """One whole round: kill the primary, wait for the twin, start a new one, wait until protected.

        Returns (moment of the kill, status after it).
        """
        pid, at = self.kill_primary()
        taken = self.wait_taken_over(pid)
        self.process_of(pid).wait(10)
        self.start(environment)
        self.wait_protected()
        return at, taken

    def tail(self, lines=12):
        """The last lines of the newest logs, for error messages."""
        text = ""
        for process in self.processes[-3:]:
            last = process.output().splitlines()[-lines:]
            text += f"\n--- process {process.pid}, exit code {process.exit_code()}\n" + "\n".join(last)
        return text

    def crashes(self):
        """What a process said or how it ended, where that was no planned end: a takeover may have hidden it."""
        found = []
        for process in self.processes:
            lines = [line for line in process.output().splitlines()
                     if "Sanitizer" in line or "runtime error:" in line or "Assertion" in line]
            if -(process.exit_code() or 0) in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE):
                lines.append(f"ended by signal {-process.exit_code()}")
            found += [f"process {process.pid}: {line}" for line in lines]
        return found

    def close(self):
        # Both at once, else the later one would wait for a successor. Whoever does not answer is ended one by one, the twin first.
        self.ask("shutdown", timeout=1)
        for process in reversed(self.processes):
            process.end(timeout=2)
