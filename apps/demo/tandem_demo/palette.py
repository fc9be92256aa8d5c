# SPDX-License-Identifier: BSD-3-Clause
"""One colour for each process, the same on the screen and in the picture."""

#: Told apart also by people who see red and green alike: neighbours differ in brightness too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0348a", "#b8860b", "#3b6fd4", "#c22e4f", "#2e7d32")


class Palette:
    def __init__(self):
        self._of = {}

    def colour(self, pid):
        return self._of.setdefault(pid, COLOURS[len(self._of) % len(COLOURS)])

    def on_screen(self, pid, text):
        red, green, blue = (int(self.colour(pid)[at:at + 2], 16) for at in (1, 3, 5))
        # A little lighter, since most terminals are dark.
        red, green, blue = (value + (255 - value) * 3 // 10 for value in (red, green, blue))
        return f"\x1b[1;38;2;{red};{green};{blue}m{text}\x1b[0m"
