# SPDX-License-Identifier: BSD-3-Clause
"""What a guest is put together from, and what is said when a part of it is wrong."""

import lzma
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from tandem_guest import CannotRun  # noqa: E402
from tandem_guest.cpio import Archive  # noqa: E402
from tandem_guest.kernel import Kernel  # noqa: E402
from tandem_guest.modules import Modules  # noqa: E402
from tandem_guest.steps import steps_for  # noqa: E402

RELEASE = "6.1.0-9-amd64"


def module(depends="", release=RELEASE):
    return b"ELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0vermagic=" + release.encode() + b" SMP\0code"


def image(release=RELEASE):
    """As much of a bzImage as says which release it is."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    text = release.encode() + b" (somebody) #1\0"
    head[0x300:0x300 + len(text)] = text
    return bytes(head)


class Parts(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="tandem-guest-")
        self.addCleanup(scratch.cleanup)
        self.directory = scratch.name

    def write(self, path, content):
        path = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_an_archive_is_what_the_kernel_reads(self):
        archive = Archive()
        archive.directory("bin")
        archive.file("bin/x", b"abcde", 0o755)
        archive.character_device("console", 5, 1)
        self.assertEqual(archive.finish(), (
            b"070701" b"00000001" b"000041ed" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000" b"00000000" b"00000000"
            b"00000000" b"00000000" b"00000004" b"00000000" b"bin\0" b"\0\0"
            b"070701" b"00000002" b"000081ed" b"00000000" b"00000000" b"00000001" b"00000000" b"00000005" b"00000000" b"00000000"
            b"00000000" b"00000000" b"00000006" b"00000000" b"bin/x\0" b"abcde\0\0\0"
            b"070701" b"00000003" b"00002180" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000" b"00000000" b"00000000"
            b"00000005" b"00000001" b"00000008" b"00000000" b"console\0" b"\0\0"
            b"070701" b"00000004" b"00000000" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000" b"00000000" b"00000000"
            b"00000000" b"00000000" b"0000000b" b"00000000" b"TRAILER!!!\0" b"\0\0\0"))

    def test_modules_come_after_what_they_need_and_once(self):
        self.write("m/kernel/a/net-top.ko", module("middle,base"))
        self.write("m/kernel/b/middle.ko.xz", lzma.compress(module("base")))
        self.write("m/kernel/c/base.ko", module())
        self.write("m/kernel/c/other.ko", module("base"))
        modules = Modules(os.path.join(self.directory, "m"), RELEASE)
        self.assertEqual([name for name, _ in modules.in_order(["net_top", "other", "built-in"])], ["base", "middle", "net_top", "other"])
        self.assertEqual(dict(modules.in_order(["middle"]))["middle"], module("base"))

    def test_a_kernel_finds_its_modules_beside_it(self):
        for ours, place in (("a/boot/vmlinuz-x", f"a/lib/modules/{RELEASE}"), ("b/boot/vmlinuz-x", f"b/usr/lib/modules/{RELEASE}"),
                            (f"c/lib/modules/{RELEASE}/vmlinuz", f"c/lib/modules/{RELEASE}")):
            self.write(os.path.join(place, "kernel", "x.ko"), module())
            kernel = Kernel(self.write(ours, image()))
            self.assertEqual((kernel.release, kernel.version), (RELEASE, (6, 1)))
            self.assertEqual(kernel.modules, os.path.realpath(os.path.join(self.directory, place)))

    def test_what_cannot_run_says_what_to_give(self):
        alone = self.write("alone/vmlinuz", image())
        text = self.write("text", b"no kernel" * 1000)
        self.write("other/kernel/x.ko", module(release="6.12.1"))
        self.write("empty/kernel/readme", b"")
        for make, words in ((lambda: Kernel(os.path.join(self.directory, "nowhere")), "cannot be read: No such file"),
                            (lambda: Kernel(text), "is no kernel image"),
                            (lambda: Kernel(alone), "give them with --modules DIR"),
                            (lambda: Kernel(alone, os.path.join(self.directory, "alone")), "there is no kernel/ with the modules"),
                            (lambda: Modules(os.path.join(self.directory, "empty"), RELEASE), "there is no module"),
                            (lambda: Modules(os.path.join(self.directory, "other"), RELEASE).in_order(["x"]), "is of the kernel 6.12.1")):
            with self.subTest(words), self.assertRaisesRegex(CannotRun, words):
                make()

    def test_the_version_decides_what_is_run(self):
        for release, expected, left_out in (("6.1.0", ["demo-tap", "dev-demo", "xdp-refused"], 2), ("6.4.0", ["demo-tap", "demo-xdp"], 1),
                                            ("6.12.9", ["demo-tap", "demo-xdp"], 1), ("6.13.0", ["demo-tap", "demo-xdp", "virtio-net"], 0)):
            self.write(f"{release}/lib/modules/{release}/kernel/x.ko", module())
            kernel = Kernel(self.write(f"{release}/vmlinuz", image(release)))
            steps, not_run = steps_for(kernel, True)
            self.assertEqual(([step.name for step in steps], len(not_run)), (expected, left_out), release)
            self.assertTrue(all("not run (" in text and "--kernel FILE" in text for text in not_run))

    def test_bad_arguments_are_told_from_a_machine_that_lacks_something(self):
        for code, words, *arguments in ((3, "give in --kernel", "--kernel", os.path.join(self.directory, "nowhere")),
                                        (2, "belongs to the kernel that --kernel gives", "--modules", self.directory),
                                        (2, "not between 1 and 86400", "--limit", "0"),
                                        (2, "unrecognized arguments", "--nonsense")):
            result = subprocess.run([sys.executable, "-B", os.path.join(HERE, "guest.py"), "--prepare", *arguments], capture_output=True,
                                    text=True, timeout=30, check=False)
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertIn(words, result.stderr)


if __name__ == "__main__":
    unittest.main()
