# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a group in pid namespaces of their own, as in containers: each is number 1 there, and none can signal another."""


def contain(group):
    """Each process that the group starts from now on."""
    group.command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *group.command]


def inner(process):
    """The contained process of one that was started, by its number here."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
        return int(file.read().split()[0])


def naps(pid):
    """How often a process has gone to sleep by itself so far: a twin does between two looks."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
