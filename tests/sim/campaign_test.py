# SPDX-License-Identifier: BSD-3-Clause
"""The campaign of seeds, with a simulator that says what it was told to do."""

import os
import subprocess
import sys
import tempfile
import unittest

CAMPAIGN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "campaign")
SIMULATOR = """#!/bin/bash
# $2 is the first seed and $4 how many.
echo "$2 $4" >>"$(dirname "$0")/asked"
[[ $2 != 301 ]] || [[ ! -e "$(dirname "$0")/fails" ]] || { echo "seed 317 FAILED: liveness"; echo "$(($4 - 1)) passed, 1 failed"; exit 1; }
[[ $2 != 301 ]] || [[ ! -e "$(dirname "$0")/dies" ]] || { echo "$4 passed, 0 failed"; kill -9 $$; }
[[ $2 != 301 ]] || [[ ! -e "$(dirname "$0")/hangs" ]] || exec sleep 60
echo "$4 passed, 0 failed"
"""


class Campaign(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.simulator = self.write("simulator", SIMULATOR)
        os.chmod(self.simulator, 0o755)
        os.mkdir(os.path.join(self.directory, "stack"))
        self.write("stack/code.c", "int a;")
        os.makedirs(os.path.join(self.directory, "tests/sim"))
        self.write("tests/sim/judge.cpp", "int a;")

    def write(self, name, text=""):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def asked(self):
        path = os.path.join(self.directory, "asked")
        if not os.path.exists(path):
            return []
        with open(path, encoding="ascii") as file:
            lines = sorted(tuple(int(word) for word in line.split()) for line in file)
        os.unlink(path)
        return lines

    def run_it(self, *options):
        return subprocess.run([sys.executable, CAMPAIGN, self.simulator, "--runs", "450", "--shard", "100", "--record",
                               os.path.join(self.directory, "record"), "--sources", self.directory, *options],
                              capture_output=True, text=True, timeout=60, check=False)

    def test_what_was_done_is_not_done_again_and_a_change_of_the_sources_begins_anew(self):
        every = [(1, 100), (101, 100), (201, 100), (301, 100), (401, 50)]
        result = self.run_it()
        self.assertEqual((result.returncode, self.asked()), (0, every), result.stdout + result.stderr)
        self.assertIn("450 passed, 0 failed", result.stdout)
        result = self.run_it("--jobs", "1")
        self.assertEqual((result.returncode, self.asked()), (0, []), result.stdout + result.stderr)
        self.assertIn("450 passed, 0 failed", result.stdout)
        self.write("stack/code.c", "int b;")
        self.assertEqual((self.run_it().returncode, self.asked()), (0, every))

    def test_a_failure_stays_one_until_the_sources_change(self):
        fails = self.write("fails")
        result = self.run_it()
        self.assertEqual(result.returncode, 1)
        self.assertIn("seed 317 FAILED", result.stdout)
        self.assertIn("449 passed, 1 failed", result.stdout)
        os.unlink(fails)
        self.assertEqual(self.run_it().returncode, 1)
        self.write("stack/code.c", "int b;")
        self.assertEqual(self.run_it().returncode, 0)

    def test_a_change_of_the_simulator_leaves_what_has_passed_and_tries_again_what_has_failed(self):
        fails = self.write("fails")
        self.assertEqual(self.run_it().returncode, 1)
        self.asked()
        os.unlink(fails)
        self.write("tests/sim/judge.cpp", "int b;")
        result = self.run_it()
        self.assertEqual((result.returncode, self.asked()), (0, [(301, 100)]), result.stdout + result.stderr)
        self.assertIn("450 passed, 0 failed", result.stdout)
        # What passed with the simulator of before counts still, and what fails with this one does.
        self.write("fails")
        self.write("stack/code.c", "int b;")
        self.assertEqual(self.run_it().returncode, 1)
        self.asked()
        self.assertEqual((self.run_it().returncode, self.asked()), (1, []))

    def test_a_simulator_that_dies_has_shown_nothing(self):
        self.write("dies")
        result = self.run_it()
        self.assertEqual(result.returncode, 1)
        self.assertIn("350 passed, 100 failed", result.stdout)

    def test_what_there_is_no_time_for_is_not_done(self):
        hangs = self.write("hangs")
        result = self.run_it("--seconds", "3", "--jobs", "1")
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertIn("300 passed, 0 failed", result.stdout)
        os.unlink(hangs)
        self.asked()
        self.assertEqual((self.run_it().returncode, self.asked()), (0, [(301, 100), (401, 50)]))


if __name__ == "__main__":
    unittest.main()
