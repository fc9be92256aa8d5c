# SPDX-License-Identifier: BSD-3-Clause
"""A place of one's own on the machine.

The program is run again as process 1 of a process namespace. When that process ends, for whatever reason, the kernel ends
everything that it has started, and the network namespaces go with their last process: there is nothing to clean up, also
after SIGKILL.
"""

import os
import signal
import subprocess
import sys
import time

_MARK = "TANDEM_LAB_ISOLATED"

#: What a test that cannot run here exits with; CTest counts it as skipped.
SKIPPED = 77


class OutOfTime(Exception):
    """The whole run has taken longer than its bound."""


def limit_run_time(seconds):
    """Ends the run with an exception when it takes longer than `seconds`, and at once when that does not help."""
    rings = []

    def on_alarm(_signal, _frame):
        rings.append(time.monotonic())
        if len(rings) > 2:
            os._exit(124)
        raise OutOfTime(f"the run was not over after {seconds} seconds")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds, 10)


def is_root():
    return os.geteuid() == 0


def isolate(as_user=False):
    """Goes on in namespaces of our own. `as_user`: without privileges, in a user namespace too.

    Returns only in the process that is isolated; the one outside passes on signals and exits with its code.
    """
    if os.environ.get(_MARK) == str(os.getppid()) or (os.getpid() == 1 and _MARK in os.environ):
        del os.environ[_MARK]
        _settle_in()
        return
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    if as_user:
        command += ["--user", "--map-root-user"]
    command += ["--", sys.executable, *_interpreter_flags(), *sys.argv]
    environment = dict(os.environ, **{_MARK: "1"})
    outer = subprocess.Popen(command, env=environment)

    def pass_on(number, _frame):
        # unshare itself stays deaf; what it has started is process 1, which Python's handler in there answers for.
        for child in _children(outer.pid):
            os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    # A terminal sends SIGINT to both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = outer.wait()
    sys.exit(code if code >= 0 else 128 - code)


def _interpreter_flags():
    return ["-u"] if not sys.stdout.line_buffering and not sys.stdout.isatty() else []


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _settle_in():
    def on_end(number, _frame):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, on_end)
    # The daemons' directories are ours alone, and end with us: FRR names one by its process number.
    subprocess.run(["mount", "--make-rprivate", "/"], check=False, stderr=subprocess.DEVNULL)
    for directory, mode in (("/run", "755"), ("/var/tmp", "1777")):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", directory], check=False,
                       stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
