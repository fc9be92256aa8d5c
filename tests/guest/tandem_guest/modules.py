# SPDX-License-Identifier: BSD-3-Clause
"""The modules of a kernel, and the order in which they can be loaded. A module itself says what it depends on; the list that
depmod makes of that is not part of Debian's packages."""

import lzma
import os
import re
import shutil
import subprocess

from . import CannotRun

SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")


def name_of(text):
    return text.replace("-", "_")


class Modules:
    """Those of the kernel `release`, in `directory`."""

    def __init__(self, directory, release):
        self.directory = directory
        self.release = release
        self._paths = {}
        for folder, _, files in os.walk(directory):
            for file in files:
                if SUFFIX.search(file):
                    self._paths.setdefault(name_of(SUFFIX.sub("", file)), os.path.join(folder, file))
        if not self._paths:
            raise CannotRun(f"there is no module (*.ko, *.ko.xz) below {directory}; give in --modules the directory that holds this "
                            "kernel's (lib/modules/RELEASE of its package)")

    def _content(self, path):
        if path.endswith(".zst"):
            if shutil.which("zstd") is None:
                raise CannotRun(f"{path} is compressed with zstd, which is not there; as root: apt-get install zstd")
            return subprocess.run(["zstd", "-dc", path], capture_output=True, check=True, timeout=60).stdout
        with open(path, "rb") as file:
            content = file.read()
        if path.endswith(".xz"):
            return lzma.decompress(content)
        if path.endswith(".gz"):
            import gzip
            return gzip.decompress(content)
        return content

    def in_order(self, names):
        """[(name, content)] of these and of what they depend on, each after what it needs. One that is nowhere is left out: most are
        built into some kernels, and not every package has the list of those.
        """
        order, seen = [], set()

        def visit(name):
            if name in seen or name not in self._paths:
                return
            seen.add(name)
            content = self._content(self._paths[name])
            built_for = said(content, "vermagic").split(" ")[0]
            if built_for != self.release:
                raise CannotRun(f"{self._paths[name]} is of the kernel {built_for} and not of {self.release}; give that one's in --modules")
            for dependency in said(content, "depends").split(","):
                visit(name_of(dependency))
            order.append((name, content))

        for name in names:
            visit(name_of(name))
        return order


def said(content, field):
    """What a module says of itself in its section .modinfo."""
    found = re.search(rb"\0" + field.encode() + rb"=([^\0]*)\0", content)
    return found.group(1).decode() if found else ""
