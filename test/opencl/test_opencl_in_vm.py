"""Unmodified OpenCL programs in a real VM, whose device is the host's PoCL."""

import os
import shutil
import tempfile
import unittest
from pathlib import Path

from isthmus_host import Daemon
from isthmus_vm import Region, Vm

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
POCL = Path("/etc/OpenCL/vendors/pocl.icd")
LIBRARY = "/lib/libisthmus-opencl.so"


class InVm(unittest.TestCase):
    def setUp(self):
        if not POCL.exists():
            self.skipTest(f"{POCL}: not there; install pocl-opencl-icd")

    def guest(self, *programs):
        alpha = {"name": "alpha", "region_size": "64 MiB", "lanes": 4, "plugins": ["opencl"]}
        daemon = Daemon(BUILD, vms=[alpha], plugins=[BUILD / "src/gpu/opencl/isthmus-opencl.so"])
        self.addCleanup(daemon.clean)
        daemon.start()
        folder = tempfile.mkdtemp(prefix="isthmus-icd-")
        self.addCleanup(shutil.rmtree, folder)
        icd = Path(folder) / "isthmus.icd"
        icd.write_text(LIBRARY + "\n")
        vm = Vm(regions=[Region(daemon.vms[0]["path"], "64M")],
                copy=[f"{icd}:/etc/OpenCL/vendors/isthmus.icd",
                      f"{BUILD}/guest/opencl/libisthmus-opencl.so:{LIBRARY}", *programs])
        self.addCleanup(vm.stop)
        return daemon, vm.start()

    def test_clinfo_and_a_matrix_program_find_the_hosts_device(self):
        clinfo = shutil.which("clinfo")
        if clinfo is None:
            self.skipTest("clinfo: not installed")
        daemon, vm = self.guest(f"{clinfo}:/bin/clinfo", f"{BUILD}/test/opencl/opencl_matrix:/bin/opencl_matrix")
        listed = vm.run("clinfo -l", timeout=60)
        self.assertEqual(listed.status, 0, f"{listed.output}\n{daemon.log}")
        self.assertRegex(listed.stdout, r"Platform #0: Portable Computing Language\n.*Device #0: \S+")
        product = vm.run("ISTHMUS_LOG=1 opencl_matrix 128", timeout=100)
        self.assertEqual(product.status, 0, f"{product.output}\n{daemon.log}")
        self.assertIn("product right 128 x 128", product.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
