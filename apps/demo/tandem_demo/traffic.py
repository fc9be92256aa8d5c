# SPDX-License-Identifier: BSD-3-Clause
"""Threads beside the play: one keeps the session busy, one looks at it."""

import contextlib
import threading
import time

from .peers import FLAPPING


class Traffic(threading.Thread):
    """While it runs, the peer asks for all of the pair's routes, and now and then announces or withdraws a few of its own.

    The asking is the greater part, since it is answered at once. An UPDATE is not: the next segment of a daemon that leaves
    Nagle's algorithm on, as BIRD does, waits for the ACK, which may be delayed.
    """

    PAUSE_S = 0.0015
    ASKED_BETWEEN = 60

    def __init__(self, peer):
        super().__init__(daemon=True)
        self._peer = peer
        self._over = threading.Event()

    def run(self):
        while not self._over.is_set():
            self._peer.announce(FLAPPING)
            self._ask_again()
            self._peer.withdraw(FLAPPING)
            self._ask_again()

    def _ask_again(self):
        for _ in range(self.ASKED_BETWEEN if self._peer.can_refresh and not self._peer.is_slow else 1):
            if self._over.wait(self.PAUSE_S):
                return
            if self._peer.can_refresh:
                self._peer.refresh()

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
