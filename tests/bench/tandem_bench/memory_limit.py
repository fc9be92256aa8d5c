# SPDX-License-Identifier: BSD-3-Clause
"""A memory cgroup with a low limit, in which a process meets the OOM killer alone."""

import glob
import os
import time

_NAME = "tandem-bench"


class CannotLimit(Exception):
    """This machine gives us no memory cgroup."""


def _own_cgroup(controller):
    """Path of our cgroup in the hierarchy of a controller ("" is the unified one); None when there is none."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            _number, controllers, path = line.rstrip("\n").split(":", 2)
            if controller in controllers.split(","):
                return path
    return None


class MemoryLimit:
    """Both versions of cgroups. In the first a moved process takes none of its charge along: the limit is for what comes."""

    def __init__(self):
        path = _own_cgroup("memory")
        self.first_version = path is not None
        if self.first_version:
            parent = "/sys/fs/cgroup/memory" + path
            if not os.path.isdir(parent):
                parent = "/sys/fs/cgroup/memory"
        else:
            # A child of our own cgroup would have to be without processes beside it; the root's need not.
            parent = "/sys/fs/cgroup"
        self.path = os.path.join(parent, f"{_NAME}-{os.getpid()}-{time.monotonic_ns()}")
        try:
            os.mkdir(self.path)
            self._write("memory.limit_in_bytes" if self.first_version else "memory.max", "max" if not self.first_version else "-1")
        except OSError as error:
            self.close()
            raise CannotLimit(f"no memory cgroup can be made in {parent}: {error.strerror}") from None

    def _write(self, name, text):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(text)

    def _read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

    def hold(self, pid, spare_bytes):
        """Moves a process in; it may allocate this much more."""
        self._write("cgroup.procs", str(pid))
        if self.first_version:
            self._write("memory.limit_in_bytes", str(spare_bytes + int(self._read("memory.usage_in_bytes"))))
        else:
            self._write("memory.max", str(spare_bytes + int(self._read("memory.current"))))
            if os.path.exists(os.path.join(self.path, "memory.swap.max")):
                self._write("memory.swap.max", "0")

    def release(self):
        self._write("memory.limit_in_bytes" if self.first_version else "memory.max", "-1" if self.first_version else "max")

    def kills(self):
        """How many processes the OOM killer has ended in here."""
        text = self._read("memory.oom_control" if self.first_version else "memory.events")
        return sum(int(line.split()[1]) for line in text.splitlines() if line.split()[0] == "oom_kill")

    def close(self):
        """Once its processes are gone; the last of them may still be on its way out."""
        for _ in range(500):
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)


def remove_left_over():
    """Cgroups of a run that was killed. One that is in use stays."""
    for pattern in ("/sys/fs/cgroup/memory/**/", "/sys/fs/cgroup/"):
        for path in glob.glob(f"{pattern}{_NAME}-*", recursive=True):
            try:
                os.rmdir(path)
            except OSError:
                pass
