# SPDX-License-Identifier: BSD-3-Clause
"""A systemd unit's service, run as the unit says, where there is no systemd.

What the unit demands of a process is done here with the same means of the kernel: capabilities, limits, a seccomp filter,
mounts that are read-only, a socket for notifications. A directive that is not known here is an error: what ships is run, and
nothing of it is left out.

As a program: `service.py UNIT INSTANCE [--drop CAP]...` applies them to itself and becomes the service.
"""

import ctypes
import os
import re
import resource
import select
import socket
import struct
import sys

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY = 1
SYS_MOUNT_SETATTR = 442
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
SYS_SOCKET_X86_64, AUDIT_ARCH_X86_64 = 41, 0xC000003E
EAFNOSUPPORT = 97

FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_XDP": 44}

#: Directives that are for systemd itself: when to start and how to end. The tests act upon them.
FOR_THE_MANAGER = {
    "Type", "NotifyAccess", "ExecStart", "Restart", "RestartSec", "RestartPreventExitStatus", "SuccessExitStatus", "WatchdogSec", "KillMode",
    "KillSignal", "TimeoutStartSec", "TimeoutStopSec", "RuntimeDirectoryPreserve"}
#: Directives that a process feels.
APPLIED = {
    "RuntimeDirectory", "RuntimeDirectoryMode", "AmbientCapabilities", "CapabilityBoundingSet", "LimitMEMLOCK", "LimitRTPRIO",
    "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "RestrictAddressFamilies"}


class Unit:
    """The [Service] section of a unit file."""

    def __init__(self, path):
        self.path = path
        self.values = {}
        section = None
        with open(path, encoding="utf-8") as file:
            for line in file:
                line = line.strip()
                if line.startswith("["):
                    section = line
                elif section == "[Service]" and line and line[0] not in "#;":
                    key, value = line.split("=", 1)
                    self.values[key] = value
        unknown = set(self.values) - FOR_THE_MANAGER - APPLIED
        if unknown:
            raise ValueError(f"{path}: nobody here knows how to apply {sorted(unknown)}")

    def command(self, instance):
        return self.values["ExecStart"].replace("%i", instance).split()

    def capabilities(self):
        bounding = self.values["CapabilityBoundingSet"].split()
        if set(bounding) != set(self.values["AmbientCapabilities"].split()):
            raise ValueError(f"{self.path}: the two sets of capabilities differ")
        return bounding


class NotifySocket:
    """The manager's end of sd_notify: what each process has said, in order."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(path)
        self._said = {}

    def said(self, pid):
        """All assignments of a process, as (key, value)."""
        while select.select([self._socket], [], [], 0)[0]:
            data, control, _flags, _address = self._socket.recvmsg(65536, 256)
            for _level, kind, content in control:
                if kind == 2:  # SCM_CREDENTIALS
                    sender = struct.unpack_from("i", content)[0]
                    pairs = [tuple(line.split("=", 1)) for line in data.decode().splitlines() if "=" in line]
                    self._said.setdefault(sender, []).extend(pairs)
        return self._said.get(pid, [])

    def values(self, pid, key):
        return [value for name, value in self.said(pid) if name == key]

    def close(self):
        self._socket.close()


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


class _MountAttributes(ctypes.Structure):
    _fields_ = [("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("userns", ctypes.c_uint64)]


def _set_read_only(path, read_only):
    attributes = _MountAttributes(MOUNT_ATTR_RDONLY if read_only else 0, 0 if read_only else MOUNT_ATTR_RDONLY, 0, 0)
    _check(_libc().syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, ctypes.byref(attributes),
                           ctypes.sizeof(attributes)), f"mount_setattr of {path}")


def _mount(source, target, kind, flags, data=None):
    _check(_libc().mount(source.encode(), target.encode(), kind.encode() if kind else None, flags,
                         data.encode() if data else None), f"mounting {target}")


def protect_files(unit):
    """ProtectSystem=strict, ProtectHome=, PrivateTmp=, RuntimeDirectory=."""
    runtime = os.path.join("/run", unit.values["RuntimeDirectory"])
    os.makedirs(runtime, mode=int(unit.values["RuntimeDirectoryMode"], 8), exist_ok=True)
    _check(_libc().unshare(CLONE_NEWNS), "unshare")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount(runtime, runtime, None, MS_BIND)
    if unit.values["ProtectSystem"] != "strict" or unit.values["ProtectHome"] != "yes" or unit.values["PrivateTmp"] != "yes":
        raise ValueError("only ProtectSystem=strict with ProtectHome=yes and PrivateTmp=yes is known here")
    _set_read_only("/", True)
    for path in ("/dev", "/proc", "/sys", runtime):
        _set_read_only(path, False)
    for path in ("/tmp", "/var/tmp"):
        _mount("tmpfs", path, "tmpfs", 0, "mode=1777")
    for path in ("/home", "/root", "/run/user"):
        if os.path.isdir(path):
            _mount("tmpfs", path, "tmpfs", 0, "mode=000")
            _set_read_only(path, True)


def limit(which, number):
    try:
        resource.setrlimit(which, (number, number))
    except ValueError:
        # Whoever runs the tests may not raise it: then it stays as high as it is.
        _soft, hard = resource.getrlimit(which)
        resource.setrlimit(which, (hard, hard))


def set_limits(unit):
    for name, which in (("LimitMEMLOCK", resource.RLIMIT_MEMLOCK), ("LimitRTPRIO", resource.RLIMIT_RTPRIO)):
        value = unit.values.get(name)
        if value is not None:
            limit(which, resource.RLIM_INFINITY if value == "infinity" else int(value))
        elif which == resource.RLIMIT_MEMLOCK:
            limit(which, 8 << 20)  # systemd's own default


def restrict_families(unit):
    """socket() of another family fails as if the kernel did not have it."""
    allowed = [FAMILIES[name] for name in unit.values["RestrictAddressFamilies"].split()]
    program = [(0x20, 0, 0, 4), (0x15, 0, len(allowed) + 4, AUDIT_ARCH_X86_64),  # the architecture
               (0x20, 0, 0, 0), (0x15, 0, len(allowed) + 2, SYS_SOCKET_X86_64),  # the system call
               (0x20, 0, 0, 16)]  # its first argument
    for index, family in enumerate(allowed):
        program.append((0x15, len(allowed) - index, 0, family))
    program.append((0x06, 0, 0, 0x00050000 | EAFNOSUPPORT))
    program.append((0x06, 0, 0, 0x7FFF0000))
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    described = Program(len(program), ctypes.addressof(buffer))
    _check(_libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0), "seccomp")


def become(unit, instance, dropped):
    protect_files(unit)
    set_limits(unit)
    capabilities = [name for name in unit.capabilities() if name not in dropped]
    if "memlock" in dropped:
        limit(resource.RLIMIT_MEMLOCK, 65536)
    restrict_families(unit)
    names = ",".join("+" + name.lower().removeprefix("cap_") for name in capabilities)
    sets = f"-all,{names}" if names else "-all"
    command = ["setpriv", "--bounding-set", sets, "--inh-caps", sets, "--ambient-caps", sets]
    if unit.values["NoNewPrivileges"] == "yes":
        command.append("--no-new-privs")
    # Standard error is the journal's, as far as the service knows.
    status = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
    match = re.fullmatch(r"(\d+)s", unit.values["WatchdogSec"])
    os.environ["WATCHDOG_USEC"] = str(int(match[1]) * 1_000_000)
    os.execvp(command[0], [*command, "--", *unit.command(instance)])


def main():
    unit, instance, *rest = sys.argv[1:]
    become(Unit(unit), instance, {value for value in rest if value != "--drop"})


if __name__ == "__main__":
    main()
