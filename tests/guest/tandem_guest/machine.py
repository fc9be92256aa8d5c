# SPDX-License-Identifier: BSD-3-Clause
"""The emulated machine: one qemu process, whose console is kept, and which ends with this program."""

import ctypes
import fcntl
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import time

from . import CannotRun
from .cpio import Archive
from .modules import Modules

EMULATOR = "qemu-system-x86_64"
SHELL = "/bin/busybox"

#: What the guest begins with, and then what the steps use.
MODULES = ("virtio_pci", "9p", "9pnet_virtio", "virtio_net", "tun", "veth", "bridge", "tcp_diag", "crc32c_generic", "nf_tables",
           "nft_numgen")

#: The cards' addresses, as tests/lab has them for its two hosts.
CARDS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")

#: From the start of the emulator to the first step; about 20 s on a machine that does nothing else.
BOOT_LIMIT_S = 240

PR_SET_PDEATHSIG = 1


class Guest:
    """One run of a kernel. Results appear in `directory` of this machine."""

    def __init__(self, kernel, directory, tree):
        self.kernel = kernel
        self.directory = directory
        self.tree = tree
        self.shared = os.path.join(directory, "results")
        self.console = os.path.join(directory, "console.log")
        self._process = self._lock = None
        for program, package in ((EMULATOR, "qemu-system-x86"), (SHELL, "busybox-static")):
            if shutil.which(program) is None:
                raise CannotRun(f"{program} is not there; as root: apt-get install {package}")
        self._modules = Modules(kernel.modules, kernel.release).in_order(MODULES)

    def start(self, steps):
        """Boots, and has the guest take the `steps`: dictionaries with name, command (run in the source tree) and limit_s."""
        self._be_alone()
        if os.path.exists(self.directory):
            shutil.rmtree(self.directory)
        os.makedirs(self.shared)
        with open(os.path.join(self.shared, "plan.json"), "w", encoding="utf-8") as file:
            json.dump(steps, file)
        shutil.copy(os.path.join(os.path.dirname(__file__), "inside.py"), self.shared)
        self._write_initramfs()
        wire = socket.socketpair()
        with open(os.path.join(self.directory, "qemu.log"), "wb") as log, wire[0], wire[1]:
            ends = [end.fileno() for end in wire]
            self._process = subprocess.Popen(self._command(ends), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             start_new_session=True, preexec_fn=_end_with_parent, pass_fds=ends)

    def _be_alone(self):
        """Two runs of one kernel would write over one another's results."""
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        self._lock = open(self.directory + ".lock", "wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(f"another run of {self.kernel.release} is under way; wait for its end") from None

    def _write_initramfs(self):
        archive = Archive()
        for directory in ("bin", "dev", "modules"):
            archive.directory(directory)
        archive.character_device("dev/console", 5, 1)
        with open(SHELL, "rb") as file:
            archive.file("bin/busybox", file.read(), 0o755)
        with open(os.path.join(os.path.dirname(__file__), "init.sh"), "rb") as file:
            archive.file("init", file.read(), 0o755)
        for name, content in self._modules:
            archive.file("modules/" + name, content)
        archive.file("modules/order", "".join(name + "\n" for name, _ in self._modules).encode())
        with gzip.open(os.path.join(self.directory, "initramfs"), "wb", compresslevel=1) as file:
            file.write(archive.finish())

    def _command(self, wire):
        def shared(tag, path, options):
            return ["-virtfs", f"local,path={path.replace(',', ',,')},mount_tag={tag},security_model=none,multidevs=remap{options}"]

        # Two cards that are connected with one another and with nothing else, by a stream, which keeps the order of packets (qemu's
        # hub does not). Zero copy takes cards with modern DMA (iommu_platform).
        cards = []
        for number, (end, mac) in enumerate(zip(wire, CARDS)):
            cards += ["-netdev", f"socket,id=wire{number},fd={end}", "-device",
                      f"virtio-net-pci,netdev=wire{number},mac={mac},disable-legacy=on,iommu_platform=on"]

        return [EMULATOR, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
                "-accel", "tcg,thread=single", "-cpu", "max,-cx16,-la57", "-smp", "2", "-m", "2048",
                "-kernel", self.kernel.image, "-initrd", os.path.join(self.directory, "initramfs"),
                "-append", "console=ttyS0 panic=-1 mitigations=off", "-serial", f"file:{self.console.replace(',', ',,')}",
                *shared("machine", "/", ",readonly=on"), *shared("tree", self.tree, ",readonly=on"),
                *shared("results", self.shared, ""), *cards]

    def is_running(self):
        return self._process.poll() is None

    def notes(self):
        """What the guest has noted so far."""
        try:
            with open(os.path.join(self.shared, "notes"), encoding="utf-8") as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except OSError:
            return []

    def follow(self, limit_s):
        """Yields each note as it comes, until the guest has ended or its time is over (after `limit_s` beside booting)."""
        seen, end = 0, time.monotonic() + BOOT_LIMIT_S
        while True:
            running = self.is_running()
            notes = self.notes()
            if notes and not seen:
                end = time.monotonic() + limit_s
            yield from notes[seen:]
            seen = len(notes)
            if not running or time.monotonic() > end:
                return
            # A line of another machine's console: there is nothing to wait on but the file.
            time.sleep(0.1)

    def last_words(self, lines=30):
        said = []
        for path in (os.path.join(self.directory, "qemu.log"), self.console):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    said += file.read().splitlines()[-lines:]
            except OSError:
                pass
        return "\n".join("  " + line for line in said)

    def end(self):
        if self._process and self.is_running():
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
