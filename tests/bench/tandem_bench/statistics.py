# SPDX-License-Identifier: BSD-3-Clause
"""Quantiles, intervals, verdicts. Nothing here knows what is measured."""

import math

#: What an interval of a median is to cover.
CONFIDENCE = 0.95


def quantile(values, fraction):
    """The least value that `fraction` of all do not exceed (nearest rank): always one that was measured."""
    ordered = sorted(values)
    rank = max(1, math.ceil(fraction * len(ordered)))
    return ordered[rank - 1]


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def median_interval(values, confidence=CONFIDENCE):
    """(low, high) that covers the true median with at least `confidence`; None with too few values.

    By order statistics: how many of n values lie below the true median is binomial with 1/2, whatever their distribution.
    """
    ordered = sorted(values)
    count = len(ordered)
    tail = (1 - confidence) / 2
    below = 0.0
    rank = 0
    # The largest rank whose lower tail, P(fewer than `rank` lie below), still is no more than allowed.
    while rank < count // 2:
        below += math.comb(count, rank) / 2**count
        if below > tail:
            break
        rank += 1
    if rank == 0:
        return None
    return ordered[rank - 1], ordered[count - rank]


def paired_ratios(pairs):
    """on / off of each pair: the paired difference as a share of its own `off`, plus 1."""
    return [1 + (on - off) / off for on, off in pairs]


def paired_differences(pairs):
    return [on - off for on, off in pairs]


def verdict_of_value(value, level, at_most=True):
    """Whether a single value, such as a quantile, keeps to a level."""
    return "met" if (value <= level if at_most else value >= level) else "missed"


def verdict_of_interval(interval, level, at_most=True, allowance=None):
    """Whether a level is kept by everything that the interval holds.

    `allowance` is what the level allows: an effect of that size. An interval that is wider cannot tell it from none, so it
    shows nothing, wherever its middle lies.
    """
    allowance = level if allowance is None else allowance
    if interval is None:
        return "not shown"
    low, high = interval
    if (low > level) if at_most else (high < level):
        return "missed"
    if high - low > allowance:
        return "not shown"
    inside = (high <= level) if at_most else (low >= level)
    return "met" if inside else "not shown"
