# SPDX-License-Identifier: BSD-3-Clause
"""What the peer saw in a window of time, from tandem-perf's own record. Times are CLOCK_MONOTONIC, nanoseconds."""

import bisect

MS = 1_000_000


class Silences:
    """Silences of one direction, as (start, end) of times in which a connection made no progress."""

    def __init__(self, rows, direction, floor_ns):
        kept = sorted((row[3], row[2]) for row in rows if row[0] == direction)
        self._ends = [end for end, _start in kept]
        self._starts = [start for _end, start in kept]
        self._longest = max((end - start for end, start in kept), default=0)
        #: Silences shorter than this are not recorded, so a window without any had none longer than this.
        self.floor_ns = floor_ns

    def longest_in(self, begin_ns, end_ns):
        """The length of the longest one that overlaps the window, in full; the floor when none is recorded."""
        longest = self.floor_ns
        for index in range(bisect.bisect_left(self._ends, begin_ns), len(self._ends)):
            if self._ends[index] > end_ns + self._longest:
                break
            if self._starts[index] <= end_ns:
                longest = max(longest, self._ends[index] - self._starts[index])
        return longest

    def recorded_until(self):
        return self._ends[-1] if self._ends else 0


def bytes_between(intervals, start_ns, interval_ns, begin_ns, end_ns):
    """(bytes, nanoseconds) of the recorded intervals that lie wholly between two moments."""
    first = -((start_ns - begin_ns) // interval_ns)
    last = (end_ns - start_ns) // interval_ns
    first = max(first, 0)
    if last <= first:
        return 0, 0
    # The record ends with the last byte: what lies behind it is zero.
    return sum(intervals[first:last]), (last - first) * interval_ns


def recovery_ns(intervals, start_ns, interval_ns, moment_ns, former_ns, smooth_ns, horizon_ns, share=0.9):
    """How long after `moment_ns` a stretch of `smooth_ns` first has `share` of the former rate; None: not before the horizon.

    The former rate is that of the time `former_ns` before the moment. The answer is that of the record's intervals.
    """
    moment = (moment_ns - start_ns) // interval_ns
    former = former_ns // interval_ns
    smooth = smooth_ns // interval_ns
    before = intervals[max(0, moment - former):moment]
    if not before or sum(before) == 0:
        return None
    wanted = share * sum(before) / len(before) * smooth
    for later in range(horizon_ns // interval_ns + 1):
        # The interval that the moment lies in began before it.
        begin = moment + 1 + later
        if sum(intervals[begin:begin + smooth]) >= wanted:
            return later * interval_ns
    return None


def last_goes_on_ns(history, moment_ns):
    """How long after `moment_ns` every connection had made progress again, from (at, oldest last progress) in order.

    None when that was not seen. The answer is late by no more than the time between two reports.
    """
    begin = bisect.bisect_left(history, (moment_ns, 0))
    for at_ns, oldest_ns in history[begin:]:
        if oldest_ns is not None and oldest_ns > moment_ns:
            return at_ns - moment_ns
    return None
