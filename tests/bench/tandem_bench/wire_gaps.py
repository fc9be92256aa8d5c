# SPDX-License-Identifier: BSD-3-Clause
"""When the pair's packets reach the peer's interface, from tandem-wire-gaps. Times are CLOCK_MONOTONIC, nanoseconds."""

import bisect
import json
import subprocess

from tandem_lab import Network
from tandem_lab.network import program

#: Gaps shorter than this are not recorded.
FLOOR_US = 15

METHOD = (f"on the wire: a filter in the peer's kernel takes the time of each of the pair's packets as it reaches the interface; gaps of "
          f"at least {FLOOR_US} us are kept")


class WireGaps:
    """Watches the peer's interface until it is closed."""

    def __init__(self, network):
        self._process = subprocess.Popen(
            network.peer.enter() + [program("tandem-wire-gaps"), "p0", network.v4(Network.PAIR), str(FLOOR_US)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.gaps = []
        if self._process.stdout.readline() != "ready\n":
            self.close()
            raise RuntimeError("tandem-wire-gaps does not watch the peer's interface")

    def read(self):
        """Takes what has been recorded since the last time."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        news = json.loads(self._process.stdout.readline())
        if news["lost"]:
            raise RuntimeError(f"{news['lost']} gaps on the wire were not read in time")
        self.gaps += [tuple(gap) for gap in news["gaps"]]

    def around(self, moment_ns):
        """The packets before and behind a moment, as (from, to); None when they were closer than the floor."""
        index = bisect.bisect_right(self.gaps, moment_ns, key=lambda gap: gap[1])
        if index == len(self.gaps) or self.gaps[index][0] > moment_ns:
            return None
        return self.gaps[index]

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
