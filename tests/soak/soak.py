# SPDX-License-Identifier: BSD-3-Clause
"""Endurance: real daemons and verified streams on both devices, and something dies, hangs or hands over all the time.

    soak.py --minutes N [--seed S] [--device xdp|tap] [--steps FILE] [--samples FILE]

The same seed draws the same events in the same order. What a peer can notice is a failure, and so is growth of what a process holds.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab", "lib"))
from tandem_lab.isolation import SKIPPED, is_root, isolate, limit_run_time  # noqa: E402

from lanes import KINDS  # noqa: E402

#: Every other stretch of so many events leaves all primaries alone, so that some of them live long.
STRETCH = 150


def draw(seed, number, lanes):
    """The event with this number: (lane, event, pause before it, source of further choices). Depends on the seed alone."""
    source = random.Random(f"{seed} {number}")
    lane = source.choice(lanes)
    calm = (number // STRETCH) % 2 == 1
    weights = {event: weight for event, weight in lane.weights.items() if not calm or "twin" in event}
    event = source.choices(list(weights), list(weights.values()))[0]
    # Now and then at once, so that something happens to who has just come.
    pause_s = source.choice((0, 0, source.uniform(0, 0.05), source.uniform(0, 0.5)))
    return lane, event, pause_s, source


class Lateness(threading.Thread):
    """How late the machine lets this program run: what it keeps waiting for long, it keeps the daemons waiting too."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most_s = 0

    def run(self):
        while True:
            due = time.monotonic() + 0.05
            time.sleep(0.05)
            self.most_s = max(self.most_s, time.monotonic() - due)


def report(lanes, begun, steps, lateness):
    print(f"minute {(time.monotonic() - begun) / 60:.1f}: {steps} events; this machine was late by {lateness.most_s * 1000:.0f} ms at "
          "most", flush=True)
    for lane in lanes:
        events = ", ".join(f"{name.removesuffix('_twin_stays')} {count}" for name, count in sorted(lane.events.items()))
        memory, held = lane.newest("memory", "primary"), lane.newest("descriptors", "primary")
        twin = lane.newest("memory", "twin")
        wrong = sum(len(texts) for texts in lane.findings.values())
        print(f"  {lane.name:12} {lane.takeovers} takeovers, slowest first packet {lane.slowest_ms:.1f} ms, memory {memory}+{twin} KiB, "
              f"{held} descriptors, {lane.traffic() / 1e6:.0f} MB, {wrong} findings; {events}", flush=True)


def go_on(lanes, arguments, log, lateness):
    """Draws events until the time is over; returns how many, and the exception that ended it early."""
    begun = time.monotonic()
    end, next_report = begun + arguments.minutes * 60, begun + 60
    number = 0
    while time.monotonic() < end:
        lane, event, pause_s, source = draw(arguments.seed, number, lanes)
        log.write(f"{number} {time.monotonic() - begun:.3f} {lane.name}: {event} after {pause_s:.3f} s\n")
        log.flush()
        time.sleep(pause_s)
        try:
            lane.step(event, source)
            if next_report <= time.monotonic() < end:
                next_report += 60
                for other in lanes:
                    other.look()
                report(lanes, begun, number + 1, lateness)
        except Exception as error:  # pylint: disable=broad-except
            # Whatever it was that went wrong: it is what this program looks for.
            stream_broke = isinstance(error, AssertionError) and "streams are exact" in lane.checks
            lane.find("streams are exact" if stream_broke else "protected again after each event",
                      f"event {number} ({event}): {type(error).__name__}: {error}; {lane.group.tail()}")
            if not isinstance(error, (AssertionError, RuntimeError, OSError)) and "Timeout" not in type(error).__name__:
                traceback.print_exc()
            return number + 1, False
        number += 1
    return number, True


def judge(lanes, whole):
    """Ends the traffic, looks once more, and prints the summary; returns how many checks failed."""
    for lane in lanes:
        for last in ((lane.finish, lane.look) if whole else (lane.look,)):
            try:
                last()
            except Exception as error:  # pylint: disable=broad-except
                lane.find(lane.checks[0], f"at the end: {type(error).__name__}: {error}; {lane.group.tail()}")
        lane.judge_growth()
    passed = failed = 0
    print()
    for lane in lanes:
        for check in lane.checks:
            findings = lane.findings.get(check, [])
            print(f"{'FAILED' if findings else 'passed'}  {lane.name}: {check}")
            for finding in findings[:5]:
                print(f"        {finding}")
            if len(findings) > 5:
                print(f"        and {len(findings) - 5} more")
            passed, failed = (passed, failed + 1) if findings else (passed + 1, failed)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description="Endurance of pairs under load, with deaths, hangs and switchovers at random.")
    parser.add_argument("--minutes", type=float, default=10, help="how long events are drawn (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="draws the same events in the same order")
    parser.add_argument("--device", choices=("xdp", "tap"), help="only that one; else both")
    parser.add_argument("--steps", metavar="FILE", help="write each event and its time into FILE")
    parser.add_argument("--samples", metavar="FILE", help="write what growth is judged by into FILE, as JSON")
    arguments = parser.parse_args()
    if not is_root():
        print("skipped: the lab makes network namespaces and AF_XDP sockets, which takes root")
        sys.exit(SKIPPED)
    isolate()
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1 << 32)
    # Bringing everything up and ending it takes its time too, on a busy machine.
    limit_run_time(arguments.minutes * 60 + 300)
    devices = (arguments.device,) if arguments.device else ("xdp", "tap")
    print(f"seed {arguments.seed}: --seed {arguments.seed} draws the same events", flush=True)
    directory = tempfile.mkdtemp(prefix="tandem-soak-")
    lanes = []
    # The file is the caller's, and opened before anything is that needs to be undone.
    with open(arguments.steps or os.devnull, "w", encoding="utf-8") as log:
        try:
            for device in devices:
                for kind in KINDS:
                    lanes.append(kind(device, directory, int(arguments.minutes * 60) + 900))
                    lanes[-1].start()
            begun = time.monotonic()
            lateness = Lateness()
            lateness.start()
            steps, whole = go_on(lanes, arguments, log, lateness)
            report(lanes, begun, steps, lateness)
            passed, failed = judge(lanes, whole)
            if arguments.samples:
                samples = {lane.name: {" ".join(key): values for key, values in lane.samples.items()} for lane in lanes}
                with open(arguments.samples, "w", encoding="utf-8") as file:
                    json.dump(samples, file, indent=1)
        finally:
            for lane in reversed(lanes):
                lane.close()
            shutil.rmtree(directory, ignore_errors=True)
    print(f"\n{steps} events, {sum(lane.takeovers for lane in lanes)} takeovers and switchovers, seed {arguments.seed}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
