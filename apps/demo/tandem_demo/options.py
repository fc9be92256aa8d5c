# SPDX-License-Identifier: BSD-3-Clause
"""What the demonstration can be told."""

import argparse

PEERS = ("bird", "frr", "gobgp", "openbgpd")


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="./dev demo",
        description="A real BGP daemon keeps its session and its routes while the process that it talks to is killed, "
                    "again and again. Ends with exit code 0 when the peer has seen nothing of it.")
    parser.add_argument("--peer", choices=PEERS, default="bird", help="the BGP daemon at the other end (bird)")
    parser.add_argument("--device", choices=("xdp", "tap"), help="what the pair runs on (xdp; without root or before Linux 6.4: tap)")
    parser.add_argument("--kills", type=_count, default=5, metavar="N", help="how often the primary is killed (5)")
    parser.add_argument("--routes", type=_count, default=1000, metavar="N", help="routes that the peer announces (1000)")
    parser.add_argument("--pause", type=float, default=1.5, metavar="S", help="seconds between kills, about (1.5)")
    parser.add_argument("--json", metavar="FILE", help="write all facts and timelines to FILE, for machines; - is the output")
    parser.add_argument("--picture", metavar="FILE", default="demo-timeline.svg",
                        help="where the time-sequence picture goes (demo-timeline.svg)")
    parser.add_argument("--keep", metavar="DIR", help="put captures and logs into DIR")
    return parser.parse_args(arguments)


def _count(text):
    number = int(text)
    if not 1 <= number <= 30_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 30000")
    return number
