# SPDX-License-Identifier: BSD-3-Clause
"""Processes that end when they are told to, and whose output is kept."""

import os
import select
import signal
import subprocess
import time


class CommandFailed(Exception):
    """A command that sets something up has failed."""


def run(command, namespace=None, check=True, timeout=30, stdin=None):
    """Runs a command to its end and returns what it printed. In a namespace if one is given."""
    if namespace is not None:
        command = namespace.enter() + list(command)
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, input=stdin)
    if check and result.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}\nexit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


class Process:
    """A process in a process group of its own, with its output in a file."""

    def __init__(self, command, log, namespace=None, environment=None, stdout=None, user=None):
        if namespace is not None:
            command = namespace.enter() + list(command)
        self.command = list(command)
        self.log_path = log
        with open(log, "ab") as sink:
            self._popen = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=stdout if stdout is not None else sink, stderr=sink,
                env=dict(os.environ, **(environment or {})), start_new_session=True, user=user)
        self.started_ns = time.monotonic_ns()

    @property
    def pid(self):
        return self._popen.pid

    @property
    def stdout(self):
        return self._popen.stdout

    def is_running(self):
        return self._popen.poll() is None

    def exit_code(self):
        """Negative: ended by that signal. None: it still runs."""
        return self._popen.poll()

    def wait(self, timeout):
        """Until it has ended; returns at that moment, not at the next look."""
        if self._popen.poll() is None:
            descriptor = os.pidfd_open(self.pid)
            try:
                if not select.select([descriptor], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(self.command, timeout)
            finally:
                os.close(descriptor)
        return self._popen.wait()

    def signal(self, number):
        if self.is_running():
            os.kill(self.pid, number)

    def kill(self):
        """SIGKILL; returns CLOCK_MONOTONIC just before."""
        at = time.monotonic_ns()
        self.signal(signal.SIGKILL)
        return at

    def end(self, timeout=5):
        """SIGTERM, and SIGKILL for the whole group when that does not help in time."""
        if self.is_running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._popen.wait()
        return self._popen.returncode

    def _has_lines_under_way(self):
        """Whether its thread that writes lines to files (tandem/side_writer.hpp) has been woken and does not sleep again yet."""
        try:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="utf-8", errors="replace") as file:
                    name, state = file.read().split("(", 1)[1].rsplit(") ", 1)
                if name == "tandem-writer" and state[0] in "RD":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            pass
        return False

    def output(self):
        """What it has said until now."""
        end = time.monotonic() + 5
        while self._has_lines_under_way() and time.monotonic() < end:
            time.sleep(0.0005)
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()
