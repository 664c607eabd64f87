"""What ./run gpu makes of its samples."""

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "perf/gpu"))

from report import Report  # noqa: E402
from samples import first_odd_line, verdict_on  # noqa: E402

MACHINE = {"gpu": "GPU", "driver": "1", "processor": "CPU", "processors": 2, "commit": "c", "date": "2026-01-01"}


def outcome(status=0, stdout="right\n", reason="reason"):
    return SimpleNamespace(status=status, stdout=stdout, stderr="", reason=reason)


def samples(*values):
    return {"unit": "us", "device": "device", "samples": list(values)}


class Samples(unittest.TestCase):
    def lines(self, report, label=None):
        return report.table(MACHINE, label).splitlines()

    def test_a_rounds_sides_are_compared_with_each_other_alone(self):
        report = Report()
        report.add_samples("event_query", "native", samples(1, 1, 1), 0)
        report.add_samples("event_query", "native", samples(10, 10, 10), 1)
        report.add_failure("event_query", "isthmus", "timeout")  # in round 0
        report.add_samples("event_query", "isthmus", samples(20, 20, 20), 1)
        self.assertEqual(report.ratio("event_query"), 2)
        self.assertIn("no answer (1 x): event_query, isthmus: timeout", self.lines(report))

    def test_targets_are_judged_but_not_over_the_stand_in(self):
        report = Report()
        for native, ours, row in ((9.6, 11.5, "launch_sync"), (9.6, 11.7, "memcpy_4b_h2d"), (50.0, 49.0, "pinned_h2d_16m")):
            report.add_samples(row, "native", samples(native), 0)
            report.add_samples(row, "isthmus", samples(ours), 0)
        found = {line.split("  ")[0]: line for line in self.lines(report)}
        self.assertRegex(found["launch + synchronise"], r" met$")
        self.assertRegex(found["cudaMemcpy 4 B H2D"], r"NOT MET$")
        self.assertRegex(found["pinned H2D 16 MiB"], r" met$")
        labelled = "\n".join(self.lines(report, "STAND-IN"))
        self.assertTrue(labelled.startswith("STAND-IN\n"))
        self.assertNotRegex(labelled, r"met|MET")

    def test_programs_must_do_the_same(self):
        for native, ours, verdict in ((outcome(), outcome(), "same"),
                                      (outcome(), outcome(1), "FAILS: reason"),
                                      (outcome(), outcome(stdout="right\nmore\n"),
                                       "FAILS: its output differs: 'more' instead of '(nothing)'"),
                                      (outcome(1), outcome(1), "native fails: reason"),
                                      (outcome(), None, "left out: no time left")):
            report = Report()
            report.add_program("name", native, ours)
            self.assertEqual(report.programs[0]["verdict"], verdict)
            self.assertEqual(report.all_programs_agree(), verdict == "same")
        self.assertFalse(Report().all_programs_agree())

    def test_numbers_that_vary_natively_are_not_compared(self):
        self.assertIsNone(first_odd_line("sum 7 in 1.5 x\n", "sum 7 in 1.6 x\n", "sum 7 in 9.9 x\n"))
        self.assertIsNone(first_odd_line("took 1.5 ms\n", "took 1.5 ms\n", "took 2.5 ms\n"))
        self.assertEqual(first_odd_line("sum 7 in 1.5 x\n", "sum 7 in 1.6 x\n", "sum 8 in 1.5 x\n"),
                         "'sum 8 in 1.5 x' instead of 'sum 7 in 1.5 x'")
        # The order of threads and blocks; a row of a table that measures.
        self.assertIsNone(first_odd_line("by 1\nby 2\nby 3\n", "by 1\nby 3\nby 2\n", "by 2\nby 1\nby 3\n"))
        self.assertIsNone(first_odd_line("2, 0.5, 1.0, 7.0\n", "2, 0.6, 1.0, 7.1\n", "2, 0.5, 0.0, 9.0\n"))
        self.assertIsNotNone(first_odd_line("2, 0.5, 1.0, 7.0\n", "2, 0.5, 1.0, 7.0\n", "2, 0.5, 0.0, 7.0\n"))
        self.assertIsNotNone(first_odd_line("sum 1 of 2\n", "sum 1 of 2\n", "sum 2 of 2\n"))
        self.assertEqual(first_odd_line("right\n", "right\n", "wrong\n"), "'wrong' instead of 'right'")
        self.assertEqual(first_odd_line("a\nb\n", "a\nb\n", "a\n"), "1 lines instead of 2")
        self.assertTrue(verdict_on(outcome(), outcome(), outcome(1)).startswith("FAILS: "))
        self.assertTrue(verdict_on(outcome(), outcome(1), outcome()).startswith("native runs differ: "))
        self.assertEqual(verdict_on(outcome(-6), outcome(-6), outcome(-6)), "native fails: reason")
        self.assertEqual(verdict_on(outcome(2), outcome(2), outcome(2)), "same")  # waived on both sides

    def test_samples_that_are_left_out_count_for_nothing(self):
        report = Report()
        report.add_sample("one", "same")
        report.add_sample("other", "links CUDA::cublas")
        self.assertTrue(report.all_programs_agree())
        report.add_sample("by the driver", "same", "driver")
        self.assertIn("runtime samples: 1 of 1 the same; 1 left out", self.lines(report))
        self.assertIn("driver samples: 1 of 1 the same; 0 left out", self.lines(report))
        report.add_sample("third", "DIFFERS: 'a' instead of 'b'")
        self.assertFalse(report.all_programs_agree())


if __name__ == "__main__":
    unittest.main(verbosity=2)
