# SPDX-License-Identifier: BSD-3-Clause
"""The arithmetic that tells a leak from what comes and goes."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab", "lib"))
from tandem_lab.resources import growth  # noqa: E402


class Growth(unittest.TestCase):
    def test_a_leak_is_what_does_not_go_away_again(self):
        for values, noise, expected in (
                # Steady growth shows in full, however small its steps are.
                ([100, 200, 300, 400, 500, 600, 700, 800], 0, 500),
                ([100, 200, 300, 400, 500, 600, 700, 800], 400, 100),
                (list(range(1000)), 0, 501),
                ([100, 100, 100, 100, 100, 100, 101, 101], 0, 1),
                ([100, 500, 100, 500, 100, 500, 100, 500], 0, 0),
                ([500, 400, 300, 300, 300, 300, 300, 300], 0, 0),
                # A single value that is large, early or late, is none.
                ([100, 100, 100, 100, 100, 100, 900, 100], 0, 0),
                ([900, 100, 300, 300, 300, 300, 300, 300], 0, 0)):
            with self.subTest(values=values, noise=noise):
                self.assertEqual(growth(values, noise), expected)

    def test_few_values_say_nothing(self):
        self.assertEqual(growth([1, 2, 3, 4, 5, 6, 7], 0), 0)
        self.assertEqual(growth([], 0), 0)


if __name__ == "__main__":
    unittest.main()
