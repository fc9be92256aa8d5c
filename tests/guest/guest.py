# SPDX-License-Identifier: BSD-3-Clause
"""Tandem on another kernel, in a software-emulated machine. `./dev guest` builds and runs this."""

import argparse
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

from tandem_guest import CannotRun  # noqa: E402  (the path to it is set above)
from tandem_guest.kernel import Kernel, debians_own  # noqa: E402
from tandem_guest.machine import BOOT_LIMIT_S, Guest  # noqa: E402
from tandem_guest.steps import Step, steps_for  # noqa: E402

FAILED = 1
CANNOT_RUN = 3

OUTPUT = os.path.join(ROOT, "build", "guest")


def parse():
    parser = argparse.ArgumentParser(
        prog="./dev guest",
        description="Boots a kernel in a machine that qemu emulates, with this machine's files read-only, and has the demonstration's "
                    "kills survived there. Without options the kernel is Debian's own, fetched from its package sources. Consoles "
                    "and logs stay in build/guest.")
    parser.add_argument("--kernel", metavar="FILE", help="an x86-64 kernel image instead, such as boot/vmlinuz-RELEASE of an unpacked "
                                                         "package")
    parser.add_argument("--modules", metavar="DIR", help="its modules, when they are not beside it: lib/modules/RELEASE of its package")
    parser.add_argument("--run", metavar="COMMAND", help="only run this shell command there, as root, in the source tree")
    parser.add_argument("--limit", type=_seconds, default=600, metavar="S", help="seconds that the command of --run may take (600)")
    parser.add_argument("--prepare", action="store_true", help="only look at the kernel, and fetch Debian's own if it is not there")
    chosen = parser.parse_args()
    if chosen.modules and not chosen.kernel:
        parser.error("--modules belongs to the kernel that --kernel gives")
    return chosen


def _seconds(text):
    number = int(text)
    if not 1 <= number <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 86400")
    return number


def main():
    chosen = parse()
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    try:
        kernel = Kernel(os.path.abspath(chosen.kernel), chosen.modules) if chosen.kernel else debians_own(OUTPUT)
        guest = Guest(kernel, os.path.join(OUTPUT, kernel.release), ROOT)
        if chosen.prepare:
            return 0
        if chosen.run is not None:
            return run_command(guest, chosen)
        return run_checks(guest, chosen)
    except CannotRun as error:
        print(f"guest: {error}", file=sys.stderr)
        return CANNOT_RUN
    except PermissionError as error:
        print(f"guest: {error.filename} cannot be written or read by this user; remove {OUTPUT} as whoever made it, or run this as root",
              file=sys.stderr)
        return CANNOT_RUN


def follow(guest, steps):
    """Boots, and yields (step, exit code or None, seconds) as they end; less than all of them when the guest does not go on."""
    begun = time.monotonic()
    guest.start([step.for_guest() for step in steps])
    by_name = {step.name: step for step in steps}
    try:
        # Each step has some seconds more to be ended in.
        for note in guest.follow(sum(step.limit_s + 30 for step in steps)):
            if "up" in note:
                print(f"Linux {note['up']} in an emulated machine, up after {time.monotonic() - begun:.0f} s", flush=True)
                if note["up"] != guest.kernel.release:
                    print(f"That is not {guest.kernel.release}, which {guest.kernel.image} was to be", flush=True)
                    return
            else:
                yield by_name[note["step"]], note["exit_code"], time.monotonic() - begun
            begun = time.monotonic()
    finally:
        guest.end()


def run_checks(guest, chosen):
    steps, left_out = steps_for(guest.kernel, chosen.kernel is not None)
    passed, open_steps = 0, list(steps)
    for step, code, seconds in follow(guest, steps):
        open_steps.remove(step)
        problem = step.problem(code, guest.shared)
        passed += not problem
        print(f"{'failed' if problem else 'passed'}  {step.title} ({seconds:.0f} s)", flush=True)
        if problem:
            print(f"        {problem}; the end of {os.path.join(guest.shared, step.name)}.log:")
            print("\n".join("  " + line for line in step.log(guest.shared).splitlines()[-25:]), flush=True)
    for step in open_steps:
        print(f"failed  {step.title}: never reached")
    if open_steps:
        came_up = "gone on to its end" if guest.notes() else f"come up within {BOOT_LIMIT_S} s"
        print(f"The guest has not {came_up}. Its last words:\n{guest.last_words()}")
    for text in left_out:
        print(text)
    print(f"Console and logs: {os.path.relpath(guest.directory)}")
    print(f"{passed} passed, {len(steps) - passed} failed")
    return 0 if passed == len(steps) else FAILED


def run_command(guest, chosen):
    step = Step("command", "the command", ["sh", "-c", chosen.run], chosen.limit)
    ended = list(follow(guest, [step]))
    sys.stdout.write(step.log(guest.shared))
    if not ended:
        raise CannotRun(f"the guest did not get to the command. Its last words:\n{guest.last_words()}")
    problem = step.problem(ended[0][1], guest.shared)
    if problem:
        print(f"guest: {problem}", file=sys.stderr)
    return ended[0][1] if ended[0][1] is not None else FAILED


def on_signal(number, _frame):
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, on_signal)
    sys.exit(main())
