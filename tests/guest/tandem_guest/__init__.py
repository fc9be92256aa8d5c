# SPDX-License-Identifier: BSD-3-Clause
"""Another kernel in a software-emulated machine that has this machine's files, read-only, and nothing else of it."""


class CannotRun(Exception):
    """Something that is needed is not there; says what to do."""
