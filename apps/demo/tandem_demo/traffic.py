# SPDX-License-Identifier: BSD-3-Clause
"""Threads beside the play: one keeps the session busy, one looks at it."""

import contextlib
import threading
import time

from .peers import FLAPPING


class Traffic(threading.Thread):
    """While it runs, the peer announces and withdraws a few routes and asks for all of the pair's: updates flow both ways."""

    PAUSE_S = 0.004

    def __init__(self, peer):
        super().__init__(daemon=True)
        self._peer = peer
        self._over = threading.Event()
        self.rounds = 0

    def run(self):
        while not self._over.wait(self.PAUSE_S):
            self._peer.announce(FLAPPING)
            self._peer.refresh()
            self._over.wait(self.PAUSE_S)
            self._peer.withdraw(FLAPPING)
            self.rounds += 1

    def stop(self):
        """Ends with the routes withdrawn."""
        self._over.set()
        self.join()


class Observer(threading.Thread):
    """Asks the peer and the pair how they are, several times a second."""

    def __init__(self, peer, group, on_sample, interval_s=0.2):
        super().__init__(daemon=True)
        self._peer = peer
        self._group = group
        self._on_sample = on_sample
        self._interval_s = interval_s
        self._over = threading.Event()
        self._lock = threading.Lock()
        #: (seconds of CLOCK_MONOTONIC, the peer's view), from the first that was established.
        self.samples = []

    def run(self):
        while not self._over.wait(self._interval_s):
            with self._lock:
                self._look()

    def _look(self):
        snapshot = self._peer.snapshot()
        if snapshot and (self.samples or snapshot["state"] == "Established"):
            self.samples.append((time.monotonic(), snapshot))
        self._on_sample(snapshot, self._group.status(0.5), self._group.ask("routes", 0.5))

    @contextlib.contextmanager
    def quiet(self):
        """Looks at nothing meanwhile: a look costs processor time, which here is the pair's too."""
        with self._lock:
            yield

    def stop(self):
        self._over.set()
        if self.is_alive():
            self.join()
