"""Unmodified CUDA programs in a real VM; the device is the host's stand-in for a GPU."""

import os
import unittest
from unittest import mock

from cuda_host import FRONTEND, OUTPUT, PLUGIN, PROGRAMS, RUNTIME, STANDIN, daemon_over_standin, missing
from isthmus_host import PATIENCE
from isthmus_vm import Region, Vm

LIBRARIES = "/isthmus"  # in the guest: nvcc's programs are copied with NVIDIA's runtime beside them


class InVm(unittest.TestCase):
    def test_every_program_runs(self):
        reason = missing(PROGRAMS, STANDIN, RUNTIME, FRONTEND, PLUGIN)
        if reason:
            self.skipTest(reason)
        daemon = daemon_over_standin(self, vms=[{"name": "alpha", "region_size": "64 MiB", "lanes": 4, "warm_workers": 2}])
        vm = Vm(regions=[Region(daemon.vms[0]["path"], "64M")],
                copy=[f"{PROGRAMS}:/bin/cuda_programs", f"{FRONTEND}:{LIBRARIES}/{FRONTEND.name}",
                      f"{RUNTIME}:{LIBRARIES}/{RUNTIME.name}"])
        self.addCleanup(vm.stop)
        # What is copied brings the libraries that it finds here: ours, not a toolkit's.
        with mock.patch.dict(os.environ, LD_LIBRARY_PATH=f"{FRONTEND.parent}:{RUNTIME.parent}"):
            vm.start()
        for program, output in OUTPUT.items():
            with self.subTest(program):
                result = vm.run(f"LD_LIBRARY_PATH={LIBRARIES} ISTHMUS_LOG=1 cuda_programs {program}", timeout=PATIENCE)
                self.assertEqual((result.status, result.stdout), (0, output), f"{result.output}\n{daemon.log}")
        self.assertRegex(daemon.log, r"lane 0 is served by worker \d+, which is warm")
        result = vm.run(f"LD_LIBRARY_PATH={LIBRARIES} CUDA_FORCE_PTX_JIT=0 cuda_programs vector_add", timeout=PATIENCE)
        self.assertEqual((result.status, result.stdout), (0, OUTPUT["vector_add"]), daemon.log)
        self.assertRegex(daemon.log, r"lane \d gets a worker whose drivers start with the client's variables")
        # A worker that dies of them: who waits for it is told.
        result = vm.run(f"LD_LIBRARY_PATH={LIBRARIES} ISTHMUS_LOG=1 CUDA_VISIBLE_DEVICES=abort cuda_programs vector_add",
                        timeout=PATIENCE)
        self.assertEqual(result.status, 1, daemon.log)
        self.assertIn("the host closed lane", result.stderr)
        self.assertIn("its worker died: signal 6 (Aborted)", result.stderr)
        result = vm.run(f"LD_LIBRARY_PATH={LIBRARIES} cuda_programs vector_add", timeout=PATIENCE)
        self.assertEqual((result.status, result.stdout), (0, OUTPUT["vector_add"]), daemon.log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
