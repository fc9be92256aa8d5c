# SPDX-License-Identifier: BSD-3-Clause
"""The lab: network namespaces, real peers, pairs of processes, and real kills.

Whoever uses it calls isolate() first: the program then goes on in process, mount and network namespaces of its own, so that
whatever it starts or makes ends with it, however it ends.
"""

from .capture import Capture, judge, read_packets
from .isolation import isolate, limit_run_time
from .network import Network, Namespace
from .pair import Group, Timeout, eventually, exit_code
from .perf import Perf
from .process import Process, run
from . import peers

__all__ = [
    "Capture", "Group", "Namespace", "Network", "Perf", "Process", "Timeout", "eventually", "exit_code", "isolate",
    "judge", "limit_run_time", "peers", "read_packets", "run",
]
