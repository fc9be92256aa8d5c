# SPDX-License-Identifier: BSD-3-Clause
"""An archive that Linux unpacks at start: cpio's "newc" format, 110 octets of hexadecimal fields before each name."""

import stat


class Archive:
    def __init__(self):
        self._data = bytearray()
        self._count = 0

    def _add(self, name, mode, content=b"", device=(0, 0)):
        self._count += 1
        path = name.encode() + b"\0"
        # inode, mode, uid, gid, links, time, size, device of the archive (two), device that it is (two), length of the name, sum
        fields = (self._count, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
        self._data += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self._pad()
        self._data += content
        self._pad()

    def _pad(self):
        self._data += bytes(-len(self._data) % 4)

    def directory(self, name):
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name, content, mode=0o644):
        self._add(name, stat.S_IFREG | mode, content)

    def character_device(self, name, major, minor):
        self._add(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def finish(self):
        self._add("TRAILER!!!", 0)
        return bytes(self._data)
