# SPDX-License-Identifier: BSD-3-Clause
"""A kernel's image, its release and its modules: Debian's own, or one that somebody has given."""

import glob
import os
import re
import shutil
import subprocess

from . import CannotRun

#: Debian's package of the kernel that is newest in this machine's package sources.
PACKAGE = "linux-image-amd64"


class Kernel:
    def __init__(self, image, modules=None):
        self.image = image
        self.release = release_of(image)
        self.version = tuple(int(number) for number in re.match(r"(\d+)\.(\d+)", self.release).groups())
        self.modules = modules_of(self, modules)


def release_of(image):
    """What `uname -r` will say: the setup header of a bzImage points at it (the kernel's Documentation/arch/x86/boot.rst)."""
    try:
        with open(image, "rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise CannotRun(f"the kernel {image} cannot be read: {error.strerror}; give in --kernel an x86-64 kernel image, such as a "
                        "package's boot/vmlinuz-RELEASE") from None
    if head[0x202:0x206] != b"HdrS":
        raise CannotRun(f"{image} is no kernel image (bzImage) for x86; give in --kernel a file such as a package's "
                        "boot/vmlinuz-RELEASE")
    at = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    release = head[at:at + 256].split(b"\0")[0].split(b" ")[0].decode("ascii", "replace")
    if not re.match(r"\d+\.\d+", release):
        raise CannotRun(f"{image} does not say which release it is ('{release}'); is it whole?")
    return release


def modules_of(kernel, given):
    """The directory with the kernel's modules: the given one, or one that stands beside the image."""
    image = os.path.realpath(kernel.image)
    if given is not None:
        places = [os.path.join(given, "lib", "modules", kernel.release), os.path.join(given, kernel.release), given]
        found = next((place for place in places if os.path.isdir(os.path.join(place, "kernel"))), None)
        if found is None:
            raise CannotRun(f"there is no kernel/ with the modules of {kernel.release} in {given}; give in --modules the directory "
                            "lib/modules/RELEASE of the kernel's package")
        return found
    here = os.path.dirname(image)
    places = [here]
    for folder in (here, os.path.dirname(here)):
        places += [os.path.join(folder, *way, kernel.release) for way in (("lib", "modules"), ("usr", "lib", "modules"), ("modules",))]
    found = next((place for place in places if os.path.isdir(os.path.join(place, "kernel"))), None)
    if found is None:
        raise CannotRun(f"the modules of {kernel.release} are not beside {kernel.image}; give them with --modules DIR, where DIR is "
                        f"lib/modules/{kernel.release} of the kernel's package")
    return found


def debians_own(directory):
    """The kernel of this Debian, from its package sources: fetched and unpacked in `directory`, never installed."""
    package = _newest_package()
    unpacked = os.path.join(directory, package)
    if not os.path.isdir(unpacked):
        _fetch(package, unpacked)
    images = glob.glob(os.path.join(unpacked, "boot", "vmlinuz-*"))
    if len(images) != 1:
        raise CannotRun(f"the package {package} holds {len(images)} kernels in boot/ and not one; remove {unpacked} and try again")
    return Kernel(images[0])


def _newest_package():
    said = subprocess.run(["apt-cache", "show", "--no-all-versions", PACKAGE], capture_output=True, text=True, check=False,
                          timeout=60).stdout
    found = re.search(r"^Depends:.*?(linux-image-\d[^ ,]*)", said, re.M)
    if not found:
        raise CannotRun(f"apt knows no kernel package ({PACKAGE}); as root: apt-get update. Or give a kernel with --kernel FILE")
    return found.group(1)


def _fetch(package, unpacked):
    print(f"Fetching {package} from this machine's package sources (about 70 MB) ...", flush=True)
    partial = unpacked + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    try:
        command = ["apt-get", "--quiet=2", "-o", "Acquire::Retries=3", "download", package]
        result = subprocess.run(command, cwd=partial, capture_output=True, text=True, check=False, timeout=900)
        files = glob.glob(os.path.join(partial, "*.deb"))
        if result.returncode != 0 or len(files) != 1:
            raise CannotRun(f"apt-get could not download {package}; as root: apt-get update, then try again. It said:\n"
                            f"{result.stdout}{result.stderr}")
        subprocess.run(["dpkg-deb", "-x", files[0], partial], check=True, timeout=300)
        os.remove(files[0])
        os.rename(partial, unpacked)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
