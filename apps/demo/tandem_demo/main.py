# SPDX-License-Identifier: BSD-3-Clause
"""The play from beginning to end."""

from . import options


def main():
    chosen = options.parse()
    print(f"tandem demo with {chosen.peer}")
    return 0
