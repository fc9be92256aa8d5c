# SPDX-License-Identifier: BSD-3-Clause
"""The arithmetic behind the figures, against values that can be worked out by hand."""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tandem_bench import report, statistics, windows  # noqa: E402

MS = windows.MS


class Quantiles(unittest.TestCase):
    def test_a_quantile_is_the_nearest_rank(self):
        hundred = list(range(1, 101))
        random.Random(1).shuffle(hundred)
        for fraction, wanted in ((0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1), (0.001, 1), (0.991, 100)):
            self.assertEqual(statistics.quantile(hundred, fraction), wanted)
        self.assertEqual(statistics.quantile([7], 0.99), 7)

    def test_a_median_of_an_even_count_lies_between(self):
        self.assertEqual(statistics.median([4, 1, 3, 2]), 2.5)
        self.assertEqual(statistics.median([3, 1, 2]), 2)

    def test_the_interval_of_a_median_has_the_ranks_of_the_binomial_distribution(self):
        # The ranks that tables of the sign test give for 95 %.
        for count, low, high in ((6, 1, 6), (8, 1, 8), (9, 2, 8), (12, 3, 10), (20, 6, 15), (30, 10, 21), (50, 18, 33)):
            self.assertEqual(statistics.median_interval(range(1, count + 1)), (low, high))

    def test_five_values_are_too_few_for_an_interval(self):
        self.assertIsNone(statistics.median_interval([1, 2, 3, 4, 5]))
        self.assertIsNone(statistics.median_interval([]))

    def test_the_interval_covers_the_median_as_often_as_it_says(self):
        source = random.Random(2)
        covered = 0
        for _ in range(2000):
            low, high = statistics.median_interval([source.expovariate(1) for _ in range(20)])
            covered += low <= 0.6931 <= high
        self.assertGreater(covered / 2000, 0.94)


class Pairs(unittest.TestCase):
    def test_a_drift_that_both_of_a_pair_share_cancels(self):
        pairs = [(90 * drift, 100 * drift) for drift in (1, 2, 5, 0.5)]
        for ratio in statistics.paired_ratios(pairs):
            self.assertAlmostEqual(ratio, 0.9)
        self.assertEqual(statistics.paired_differences([(15, 10), (25, 20)]), [5, 5])


class Verdicts(unittest.TestCase):
    def test_verdicts(self):
        for interval, level, at_most, allowance, wanted in (
                ((0.985, 0.995), 0.90, False, 0.10, "met"),
                ((0.985, 0.995), 0.99, False, 0.01, "not shown"),
                ((0.991, 0.995), 0.99, False, 0.01, "met"),
                ((0.991, 1.05), 0.99, False, 0.01, "not shown"),
                ((0.70, 0.80), 0.90, False, 0.10, "missed"),
                ((0.40, 0.85), 0.90, False, 0.10, "missed"),
                ((0.5, 2.0), 5, True, 5, "met"),
                ((-4.0, 3.0), 5, True, 5, "not shown"),
                ((4.0, 6.0), 5, True, 5, "not shown"),
                ((5.5, 6.0), 5, True, 5, "missed"),
                (None, 5, True, 5, "not shown")):
            self.assertEqual(statistics.verdict_of_interval(interval, level, at_most, allowance), wanted, (interval, level))
        self.assertEqual(statistics.verdict_of_value(250, 250), "met")
        self.assertEqual(statistics.verdict_of_value(251, 250), "missed")

    def test_a_figure_without_samples_shows_nothing(self):
        self.assertEqual(report.distribution("x", "µs", [], required=1).verdict(), "required not shown")
        self.assertEqual(report.paired("x", "ratio", [], required=1).verdict(), "required not shown")

    def test_a_ratio_is_allowed_its_distance_from_one(self):
        narrow = [0.97 + i * 0.001 for i in range(20)]
        figure = report.paired("x", "ratio", narrow, required=0.90, goal=0.99, at_most=False, allowance_from=1)
        self.assertEqual(figure.verdicts, {"required": "met", "goal": "missed"})
        self.assertEqual(figure.numbers["interval"], (narrow[5], narrow[14]))
        wide = [0.95 + i * 0.03 for i in range(20)]
        self.assertEqual(report.paired("x", "ratio", wide, required=0.90, at_most=False, allowance_from=1).verdicts, {"required": "not shown"})


class Windows(unittest.TestCase):
    def test_the_longest_silence_of_a_window_counts_in_full_and_only_in_its_direction(self):
        rows = [["received", 0, 100, 300], ["received", 1, 50, 1000], ["sent", 0, 0, 9000], ["received", 0, 2000, 2050]]
        silences = windows.Silences(rows, "received", 10)
        for begin, end, wanted in ((150, 200, 950), (1001, 1500, 10), (2050, 3000, 50), (1990, 2000, 50), (3000, 4000, 10),
                                   (0, 49, 10), (0, 60, 950)):
            self.assertEqual(silences.longest_in(begin, end), wanted, (begin, end))

    def test_only_whole_intervals_are_counted(self):
        intervals = [1, 2, 4, 8]
        for begin, end, wanted in ((1000, 1040, (15, 40)), (1001, 1039, (6, 20)), (1011, 1019, (0, 0)), (1020, 1060, (12, 40)),
                                   (900, 1010, (1, 10))):
            self.assertEqual(windows.bytes_between(intervals, 1000, 10, begin, end), wanted, (begin, end))

    def test_recovery_is_the_first_stretch_with_the_wanted_share_of_the_former_rate(self):
        intervals = [10] * 20 + [0] * 5 + [5] * 5 + [10] * 40

        def recovery(moment_ms, horizon_ms=30):
            return windows.recovery_ns(intervals, 0, MS, moment_ms * MS, 10 * MS, 5 * MS, horizon_ms * MS)

        # Nine tenths of the rate are there when one of the five intervals still has half of it.
        self.assertEqual(recovery(19), 9 * MS)
        self.assertEqual(recovery(5), 0)
        self.assertIsNone(recovery(19, horizon_ms=5))
        self.assertIsNone(windows.recovery_ns([0] * 50, 0, MS, 20 * MS, 10 * MS, 5 * MS, 20 * MS))

    def test_the_last_goes_on_when_the_oldest_progress_is_younger_than_the_moment(self):
        history = [(10, 8), (20, 18), (30, 18), (40, 18), (50, 33), (60, None)]
        self.assertEqual(windows.last_goes_on_ns(history, 19), 31)
        self.assertEqual(windows.last_goes_on_ns(history, 9), 11)
        self.assertIsNone(windows.last_goes_on_ns(history, 40))


if __name__ == "__main__":
    unittest.main()
