# SPDX-License-Identifier: BSD-3-Clause
"""Runs inside the guest: one step after the other, each bounded in time and with its output in a file, and notes how each ended."""

import json
import os
import signal
import subprocess
import sys

RESULTS = "/srv"
TREE = "/mnt"


def note(**what):
    with open(os.path.join(RESULTS, "notes"), "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


def run(step):
    with open(os.path.join(RESULTS, step["name"] + ".log"), "wb") as log:
        process = subprocess.Popen(step["command"], cwd=TREE, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            return process.wait(step["limit_s"])
        except subprocess.TimeoutExpired:
            # First in a way that lets it say what it was waiting for.
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                pass
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def main():
    with open(os.path.join(RESULTS, "plan.json"), encoding="utf-8") as file:
        steps = json.load(file)
    note(up=os.uname().release)
    for step in steps:
        note(step=step["name"], exit_code=run(step))


if __name__ == "__main__":
    sys.exit(main())
