# SPDX-License-Identifier: BSD-3-Clause
"""What happens from the first line to the exit code."""

import os
import re
import shutil
import subprocess
import sys

from tandem_lab.isolation import OutOfTime, is_root, isolate, limit_run_time
from tandem_lab.network import program
from tandem_lab.pair import Timeout
from tandem_lab.process import CommandFailed

from . import options
from .palette import Palette
from .peers import KINDS, missing_programs
from .screen import Screen

FACT_BROKEN = 1
CANNOT_RUN = 3

#: Beside the daemons; and where Debian has them.
TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "mount": "mount", "ip": "iproute2", "sysctl": "procps"}
PACKAGES = {"bird": "bird2", "frr": "frr", "gobgp": "gobgpd", "openbgpd": "openbgpd"}


#: Before, nobody can map the rings of an AF_XDP socket that is in use.
XDP_PAIRS_KERNEL = (6, 4)


class CannotRun(Exception):
    """Something that the demonstration needs is not there."""


def main():
    chosen = options.parse()
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    is_outside = "TANDEM_LAB_ISOLATED" not in os.environ
    as_user = not is_root() and is_outside
    falls_back = chosen.device is None and not as_user and not _kernel_has_xdp_pairs(os.uname().release)
    if falls_back:
        chosen.device = "tap"
    try:
        _check(chosen, as_user)
    except CannotRun as error:
        print(f"demo: {error}", file=sys.stderr)
        return CANNOT_RUN
    if as_user:
        print("Not root: running in a user namespace of its own, on a TAP device (AF_XDP takes root).",
              file=sys.stderr if chosen.json == "-" else sys.stdout, flush=True)
        os.environ["TANDEM_DEMO_AS_USER"] = "1"
    if falls_back and is_outside:
        print(f"On a TAP device: AF_XDP takes Linux {'.'.join(map(str, XDP_PAIRS_KERNEL))}, and this is {os.uname().release}.",
              file=sys.stderr if chosen.json == "-" else sys.stdout, flush=True)
    isolate(as_user=as_user)
    chosen.as_user = os.environ.pop("TANDEM_DEMO_AS_USER", None) is not None
    if chosen.device is None:
        chosen.device = "tap" if chosen.as_user else "xdp"
    return _play(chosen)


def _kernel_has_xdp_pairs(release):
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is not None and tuple(map(int, found.groups())) >= XDP_PAIRS_KERNEL


def _check(chosen, as_user):
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing_programs(chosen.peer):
        missing.append(PACKAGES[chosen.peer])
    if missing:
        raise CannotRun(f"these packages are missing: {' '.join(missing)}. As root: apt-get install {' '.join(missing)}")
    try:
        program("tandem-bgpd")
    except FileNotFoundError as error:
        raise CannotRun(str(error)) from None
    if as_user:
        if chosen.device == "xdp":
            raise CannotRun("AF_XDP takes root; run it as root, or with --device tap")
        if KINDS[chosen.peer].needs_root:
            raise CannotRun(f"{KINDS[chosen.peer].label} changes to a user of its own, which takes root; run it as root, or with "
                            "another --peer")
        if subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True, check=False).returncode:
            raise CannotRun("this kernel lets no unprivileged user make a user namespace; allow it as root "
                            "(sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0), "
                            "or run it as root")
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise CannotRun("/dev/net/tun cannot be opened by this user; as root: chmod 666 /dev/net/tun, or run it as root")
    elif subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        raise CannotRun("no network namespace can be made here, though this is root: a container without CAP_SYS_ADMIN?")
    elif chosen.device == "tap" and not os.path.exists("/dev/net/tun"):
        raise CannotRun("there is no /dev/net/tun; as root: modprobe tun")


def _play(chosen):
    from .play import Play  # What it needs is there only now.
    palette = Palette()
    screen = Screen(palette, sys.stderr if chosen.json == "-" else sys.stdout)
    limit_run_time(60 + (15 + 2 * chosen.pause) * chosen.kills + chosen.routes // 200)
    play = Play(chosen, screen, palette)
    try:
        with play:
            return 0 if play.run() else FACT_BROKEN
    except (RuntimeError, OSError, Timeout, CommandFailed, OutOfTime, subprocess.SubprocessError) as error:
        screen.close()
        screen.say(screen.bad("The demonstration failed: ") + str(error))
        return FACT_BROKEN
    except SystemExit as stopped:
        screen.close()
        screen.say("Stopped; all processes have been ended and the namespaces are gone.")
        raise stopped
    finally:
        screen.close()
