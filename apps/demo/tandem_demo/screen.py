# SPDX-License-Identifier: BSD-3-Clause
"""Lines that stay, and on a terminal a few below them that show the present."""

import shutil
import sys
import threading


class Screen:
    def __init__(self, palette, stream=None):
        self._stream = stream or sys.stdout
        self._palette = palette
        self._lock = threading.RLock()
        self._footer = []
        self._drawn = 0
        self.is_terminal = self._stream.isatty()

    def bold(self, text):
        return f"\x1b[1m{text}\x1b[0m" if self.is_terminal else text

    def faint(self, text):
        return f"\x1b[2m{text}\x1b[0m" if self.is_terminal else text

    def good(self, text):
        return f"\x1b[32m{text}\x1b[0m" if self.is_terminal else text

    def bad(self, text):
        return f"\x1b[1;31m{text}\x1b[0m" if self.is_terminal else text

    def process(self, pid, width=0):
        text = f"{pid:>{width}}" if width else str(pid)
        return self._palette.on_screen(pid, text) if self.is_terminal else text

    def say(self, line=""):
        with self._lock:
            self._erase()
            self._stream.write(line + "\n")
            self._draw()

    def show(self, lines):
        """Replaces the lines at the bottom; without a terminal there are none."""
        if not self.is_terminal:
            return
        with self._lock:
            self._erase()
            self._footer = lines
            self._draw()

    def close(self):
        self.show([])

    def _erase(self):
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self):
        width = shutil.get_terminal_size().columns
        for line in self._footer:
            self._stream.write(_cut(line, width - 1) + "\n")
        self._drawn = len(self._footer)
        self._stream.flush()


def _cut(line, width):
    """At most `width` columns of it; what colours take is not counted."""
    kept, columns, at = [], 0, 0
    while at < len(line):
        if line[at] == "\x1b":
            end = line.index("m", at) + 1
            kept.append(line[at:end])
            at = end
            continue
        if columns < width:
            kept.append(line[at])
        columns += 1
        at += 1
    return "".join(kept)
