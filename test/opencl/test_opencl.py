"""Unmodified OpenCL programs through the stock loader, our vendor library, isthmusd and PoCL, over shm:."""

import os
import re
import shutil
import subprocess
import time
import unittest
from pathlib import Path

from isthmus_host import PATIENCE, Daemon, folder_with

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
HERE = Path(__file__).resolve().parent
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's packages install for
POCL = Path("/etc/OpenCL/vendors/pocl.icd")

PLUGIN = BUILD / "src/gpu/opencl/isthmus-opencl.so"

LOCAL = {"name": "local", "region_size": "128 MiB", "plugins": ["opencl"]}


class OpenCl(unittest.TestCase):
    def setUp(self):
        if not POCL.exists():
            self.skipTest(f"{POCL}: not there; install pocl-opencl-icd")

    worker_environment = ()

    def host(self):
        local = {**LOCAL, "environment": list(self.worker_environment)}
        daemon = Daemon(BUILD, shms=[local], plugins=[PLUGIN])
        self.addCleanup(daemon.clean)
        return daemon.start()

    def environment(self, daemon, **more):
        children = f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children"
        return {**daemon.environment, "OCL_ICD_VENDORS": str(BUILD / "guest/opencl"), "ISTHMUS_ENDPOINT": "shm:local",
                "ISTHMUS_LOG": "1", "ISTHMUS_TEST_WORKERS": children, **more}

    def run_program(self, *command, timeout=2 * PATIENCE, daemon=None, **more):
        daemon = daemon or self.host()
        said_before = len(daemon.log)
        result = subprocess.run([str(word) for word in command], env=self.environment(daemon, **more),
                                capture_output=True, text=True, timeout=timeout)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{result.stderr}\n{daemon.log}")
        daemon.wait_for("it detached", since=said_before)  # and nothing worse, as "protocol violation"
        return result.stdout

    def calls(self, suite, tests, *settings):
        """The tests of opencl_calls that belong to a suite; so many must have run. They run once with each of the
        settings, dicts of environment variables, over one daemon: what PoCL has compiled it need not compile again."""
        daemon = self.host()
        for more in settings or ({},):
            with self.subTest(**more):
                output = self.run_program(BUILD / "test/opencl/opencl_calls", f"--gtest_filter={suite}.*", daemon=daemon,
                                          **more)
                self.assertRegex(output, rf"\[  PASSED  \] {tests} tests?\.")
                self.assertNotIn("SKIPPED", output)

    def needs(self, program):
        if shutil.which(program) is None:
            self.skipTest(f"{program}: not installed")
        return program


class Programs(OpenCl):
    def test_clinfo_lists_the_hosts_device(self):
        listed = self.run_program(self.needs("clinfo"), "-l")
        self.assertRegex(listed, r"Platform #0: Portable Computing Language\n.*Device #0: \S+")
        self.assertNotIn("Platform #1", listed)

    def test_clinfo_finds_nothing_odd(self):
        said = self.run_program(self.needs("clinfo"))
        self.assertRegex(said, r"Device Version +OpenCL 3\.0 .*\(Isthmus\)")
        self.assertRegex(said, r"Image support +Yes")
        self.assertRegex(said, r"Linker Available +Yes")
        self.assertRegex(said, r"Run native kernels +No")
        self.assertRegex(said, r"clCreateContextFromType\(NULL, CL_DEVICE_TYPE_ALL\) +Success")
        self.assertNotIn("rror", re.sub("Error Correction support", "", said))

    def test_a_matrix_is_multiplied(self):
        said = self.run_program(BUILD / "test/opencl/opencl_matrix", 256)
        self.assertRegex(said, r"platform .*\(Isthmus\)")
        self.assertIn("product right 256 x 256", said)

    def test_a_program_in_pyopencl_runs(self):
        probe = subprocess.run([SYSTEM_PYTHON, "-c", "import pyopencl"], capture_output=True)
        if probe.returncode != 0:
            self.skipTest("python3-pyopencl: not installed")
        said = self.run_program(SYSTEM_PYTHON, HERE / "pyopencl_program.py", PYOPENCL_NO_CACHE="1")
        self.assertRegex(said, r"platform .*\(Isthmus\)")
        self.assertIn("sums right", said)

    def test_clpeak_measures(self):
        said = self.run_program(self.needs("clpeak"), "--transfer-bandwidth", "--kernel-latency")
        self.assertRegex(said, r"enqueueReadBuffer +: \d+\.\d+")
        self.assertRegex(said, r"Kernel launch latency : \d+\.\d+ us")

    def test_without_the_plugin_there_is_no_platform_and_one_line_says_what_to_do(self):
        with Daemon(BUILD, shms=[{"name": "local", "region_size": "16 MiB"}]) as daemon:
            result = subprocess.run([self.needs("clinfo"), "-l"], env=self.environment(daemon), capture_output=True,
                                    text=True, timeout=PATIENCE)
            self.assertNotIn("Platform #0", result.stdout)
            self.assertIn('ask for plugins = ["opencl"] in isthmusd.toml', result.stderr)

    def test_without_a_daemon_there_is_no_platform_and_one_line_says_why(self):
        result = subprocess.run([self.needs("clinfo"), "-l"], capture_output=True, text=True, timeout=PATIENCE,
                                env={**os.environ, "OCL_ICD_VENDORS": str(BUILD / "guest/opencl"),
                                     "ISTHMUS_ENDPOINT": "shm:nobody", "ISTHMUS_RUNTIME_DIR": "/nonexistent",
                                     "ISTHMUS_LOG": "1"})
        self.assertNotIn("Platform #0", result.stdout)
        self.assertEqual(len(re.findall("isthmus-opencl: ", result.stderr)), 1, result.stderr)


class Calls(OpenCl):
    def test_memory(self):
        self.calls("Memory", 7)

    def test_programs(self):
        self.calls("Programs", 7)

    def test_images(self):
        self.calls("Images", 7)

    def test_newer_functions(self):
        self.calls("Newer", 6)

    def test_shared_virtual_memory_at_once_and_in_step(self):
        self.calls("Svm", 6, {}, {"ISTHMUS_SYNC": "1"})

    def test_devices_that_are_parts_of_others(self):
        self.calls("SubDevices", 2)

    def test_commands_at_once_and_in_step(self):
        self.calls("Commands", 7, {}, {"ISTHMUS_SYNC": "1"})

    def test_bad_input(self):
        self.calls("BadInput", 8)

    def test_fork(self):
        self.calls("Life", 1)


class SpirV(OpenCl):
    """PoCL takes none as Debian builds it: a test double (spirv_layer.cpp) lies between it and the host's loader."""

    def host_has(self, *more):
        layer = BUILD / "test/opencl/libspirv_layer.so"
        self.worker_environment = [f"OPENCL_LAYERS={folder_with(self, layer) / layer.name}", *more]

    def test_programs_from_spirv(self):
        self.host_has()
        self.calls("Spirv", 4)

    def test_programs_from_spirv_by_the_extension(self):
        self.host_has("ISTHMUS_TEST_SPIRV=extension")
        self.calls("SpirvByExtension", 1)


class Death(OpenCl):
    def start(self, test):
        daemon = self.host()
        program = subprocess.Popen([BUILD / "test/opencl/opencl_calls", f"--gtest_filter={test}"],
                                   env=self.environment(daemon), stdout=subprocess.PIPE, text=True)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return daemon, program

    def test_the_workers_death_is_an_error_and_nothing_worse(self):
        daemon, program = self.start("WorkersDeath.*")
        output, _ = program.communicate(timeout=PATIENCE)
        self.assertEqual(program.returncode, 0, output)
        self.assertIn("[  PASSED  ] 1 test.", output)
        for killed in re.findall(r"is served by worker (\d+)", daemon.log):  # the next worker would remove it
            for cache in Path("/tmp").glob(f"isthmus-opencl-{killed}-*"):
                shutil.rmtree(cache)

    def test_a_killed_program_takes_its_kernel_with_it(self):
        daemon, program = self.start("Victim.*")
        self.assertTrue(any(line.startswith("running") for line in program.stdout))
        worker = int(daemon.wait_for(r"is served by worker (\d+)").group(1))
        program.kill()
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(Path(f"/proc/{worker}").exists(), f"the worker still runs\n{daemon.log}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
