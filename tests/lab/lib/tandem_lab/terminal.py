# SPDX-License-Identifier: BSD-3-Clause
"""Terminals that can be stopped, as ^S does: whoever writes to one waits then."""

import os
import select
import termios


class Terminal:
    def __init__(self):
        self._master, self._slave = os.openpty()
        self.path = os.ttyname(self._slave)
        self._text = ""

    def stop(self):
        termios.tcflow(self._slave, termios.TCOOFF)

    def go_on(self):
        termios.tcflow(self._slave, termios.TCOON)

    def text(self):
        """What has come out of it so far."""
        while select.select([self._master], [], [], 0)[0]:
            self._text += os.read(self._master, 65536).decode(errors="replace")
        return self._text

    def close(self):
        os.close(self._slave)
        os.close(self._master)
