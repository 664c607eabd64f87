"""./run demo: calls and a file from a VM to its host and back, over Isthmus and its rival, and unmodified OpenCL programs
in the VM on the host's device."""

import hashlib
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
RUN_DEMO = Path(__file__).resolve().parents[2] / "perf/demo/run_demo"


class Demo(unittest.TestCase):
    def demo(self, *arguments):
        folder = tempfile.TemporaryDirectory(prefix="isthmus-demo-test-")
        self.addCleanup(folder.cleanup)
        self.results = Path(folder.name) / "below" / "demo.json"
        ended = subprocess.run([RUN_DEMO, "--quick", "--build", BUILD, "--json", self.results, *arguments],
                               capture_output=True, text=True, timeout=800)
        self.said = f"{ended.stdout}\n{ended.stderr}"
        return ended

    def test_it_compares_and_checks_and_ends_with_ok(self):
        ended = self.demo()
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), self.said)
        self.assertEqual(ended.stdout.splitlines()[-1], "demo: ok")
        self.assertRegex(ended.stdout, r"file, there and back \[GB/s\] +[0-9.]+ +[0-9.]+ +\d+x")
        results = json.loads(self.results.read_text())
        self.assertTrue(results["sha256_ok"])
        self.assertEqual(len(results["sha256"]), len(hashlib.sha256().hexdigest()))
        self.assertEqual((results["calls"], results["file_bytes"]), (500, 1024 * 1024))
        self.assertIn(results["accel"], ("tcg", "kvm"))
        for way in ("isthmus", "virtio_serial"):
            self.assertEqual(set(results[way]), {"rtt_p50_us", "rtt_p99_us", "copy_gb_per_s"})
            for name, value in results[way].items():
                self.assertGreater(value, 0, f"{way}: {name}")
        self.check_opencl(results["opencl"], ended.stdout)

    def check_opencl(self, results, said):
        if "left_out" in results:
            self.skipTest(f"the demo is right, without its OpenCL part: {results['left_out']}")
        self.assertRegex(said, r"clinfo in the VM: Platform #0: Portable Computing Language")
        self.assertRegex(said, r"128 x 128 matrices multiplied from the VM on .*: right")
        self.assertEqual(results["matrix"], 128)
        self.assertEqual(results["guest"]["device"], results["native"]["device"])
        for where in ("guest", "native"):
            for name in ("kernel_ms", "build_ms", "run_ms"):
                self.assertGreater(results[where][name], 0, f"{where}: {name}")

    def test_a_file_too_small_to_compare_is_refused(self):
        ended = self.demo("--file", __file__)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), self.said)
        self.assertRegex(ended.stderr, r"^demo: .*test_demo\.py: \d+ bytes; the file must have 10485760 at least\n$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
