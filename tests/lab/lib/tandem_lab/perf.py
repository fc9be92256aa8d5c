# SPDX-License-Identifier: BSD-3-Clause
"""tandem-perf as the peer's side."""

import json
import os
import subprocess
import threading

from .network import program
from .pair import Timeout, eventually
from .process import Process


class Perf:
    """A running tandem-perf on the kernel's sockets."""

    _count = 0

    def __init__(self, namespace, directory, mode, *options, kernel=True, report_ms=20):
        Perf._count += 1
        self.name = f"perf-{Perf._count}-{mode}"
        self.progress = {}
        self.result = None
        command = [program("tandem-perf"), mode, *(["--kernel"] if kernel else []), "--json", "--report",
                   str(report_ms), *options]
        self.process = Process(command, os.path.join(directory, self.name + ".log"), namespace=namespace,
                               stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event["event"] == "result":
                self.result = event
            elif event["event"] == "progress":
                self.progress = event

    def wait_connected(self, count=1, timeout=15):
        def is_connected():
            self._check()
            return self.progress.get("connected", 0) >= count

        eventually(is_connected, f"{self.name} has {count} connections", timeout)
        return self

    def wait_progress(self, after_ns, timeout=15, directions=("received", "sent")):
        """Until every connection has made progress in all `directions` since the moment `after_ns`."""

        def has_moved():
            self._check()
            return all((self.progress.get(f"oldest_{direction}_ns") or 0) > after_ns for direction in directions)

        eventually(has_moved, f"{self.name} goes on", timeout)

    def _check(self):
        if self.progress.get("errors"):
            self.process.end()
            self._reader.join(5)
            raise AssertionError(f"{self.name}: {self.result and self.result['errors']}")
        if self.process.exit_code() not in (None, 0):
            self._reader.join(5)
            errors = self.result["errors"] if self.result else self.process.output()
            raise AssertionError(f"{self.name} exited with {self.process.exit_code()}: {errors}")

    def finish(self, timeout=40):
        """Tells it to end in good order and returns its result."""
        self.process.signal(15)
        return self.wait(timeout)

    def wait(self, timeout=60):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.end(0.1)
            raise Timeout(f"{self.name} has not ended within {timeout} seconds; last: {self.progress}") from None
        self._reader.join(10)
        if self.result is None:
            raise AssertionError(f"{self.name} ended without a result: {self.process.output()}")
        return self.result

    def close(self):
        self.process.end(0.5)
        self._reader.join(5)
        self.process.stdout.close()


def silences_across(result, moments_ns, direction="received"):
    """For each moment the longest recorded silence that it fell into, nanoseconds; 0 when there was none."""
    rows = sorted((row[2], row[3]) for row in result["silences"] if row[0] == direction)
    longest = []
    for moment in moments_ns:
        around = [end - start for start, end in rows if start <= moment <= end]
        longest.append(max(around, default=0))
    return longest
