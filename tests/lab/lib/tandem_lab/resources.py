# SPDX-License-Identifier: BSD-3-Clause
"""What a process holds: descriptors and memory, and whether that grows."""

import os
import re
from collections import Counter


def descriptors(pid):
    """What the process holds open, without the numbers that differ from one process to the next."""
    kinds = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            continue  # closed since the list was made
        target = re.sub(r"^/proc/\d+/task/\d+/", "/proc/self/task/self/", target)
        kinds.append(target.split("[")[0] if target.startswith(("socket:", "pipe:")) else target)
    # Which log file a process writes to is a matter of the lab's.
    return Counter(kind for kind in kinds if not kind.endswith(".log"))


def anonymous_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss_Anon:"))


def growth(values, noise, least=8):
    """By how much the last quarter of the values lies above the first one, beyond `noise`; 0 when it does not.

    What a process holds differs from one life to the next, and with what is under way; growth does not go away again. So the
    least of the last quarter is held against the greatest of the first. Fewer than `least` values say nothing.
    """
    if len(values) < least:
        return 0
    quarter = len(values) // 4
    return max(0, min(values[-quarter:]) - max(values[:quarter]) - noise)
