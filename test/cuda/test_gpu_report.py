"""What ./run gpu makes of its samples."""

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "perf/gpu"))

from report import Report  # noqa: E402

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
