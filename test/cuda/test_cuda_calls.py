"""The driver's interface in the guest, call by call (cuda_calls), through isthmusd and a worker over the stand-in."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from cuda_host import BUILD, FRONTEND, MUTANT, PLUGIN, STANDIN, daemon_over_standin, missing
from isthmus_host import PATIENCE, Daemon

CALLS = BUILD / "test/cuda/cuda_calls"
LOCAL = {"name": "local", "region_size": "256 MiB"}
DEAD_AFTER = PATIENCE  # seconds within which a dead client's worker must be gone, though its kernel takes an hour


class Base(unittest.TestCase):
    def setUp(self):
        reason = missing(CALLS, FRONTEND, PLUGIN, STANDIN)
        if reason:
            self.skipTest(reason)

    def environment(self, daemon, **more):
        children = f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children"
        return {**daemon.environment, "LD_LIBRARY_PATH": str(FRONTEND.parent), "ISTHMUS_ENDPOINT": "shm:local",
                "ISTHMUS_LOG": "1", "ISTHMUS_TEST_WORKERS": children, **more}

    def run_calls(self, tests, environment, log=lambda: "", timeout=2 * PATIENCE):
        """Runs tests of cuda_calls by filter, of which none may be missing or skipped; their output."""
        result = subprocess.run([CALLS, f"--gtest_filter={tests}"], env=environment, capture_output=True, text=True,
                                timeout=timeout)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{result.stderr}\n{log()}")
        self.assertRegex(result.stdout, r"\[  PASSED  \] [1-9]\d* tests?\.")
        self.assertNotIn("SKIPPED", result.stdout)
        return result

    def passes(self, tests, settings=None, **more):
        daemon = daemon_over_standin(self, shms=[LOCAL], **(settings or {}))
        self.run_calls(tests, self.environment(daemon, **more), lambda: daemon.log)
        daemon.wait_for("it detached")  # and nothing worse, as "protocol violation"


class Calls(Base):
    def test_devices_and_contexts(self):
        self.passes("Devices.*:Contexts.*")

    def test_memory(self):
        self.passes("Memory.*:Pools.*:VirtualMemory.*")

    def test_allocation(self):
        self.passes("Allocation.*", {"ISTHMUS_STANDIN_MEMORY_MIB": "256"})

    def test_allocation_without_a_pool(self):
        # Then every address is the driver's own, and the stand-in finds the use of what was freed.
        self.passes("Memory.*:Allocation.is_told*", ISTHMUS_CUDA_POOL="0")

    def test_arrays(self):
        self.passes("Arrays.*")

    def test_graphs(self):
        self.passes("Graphs.*", {"ISTHMUS_STANDIN_DELAY_US": "200"})

    def test_work(self):
        self.passes("Work.*", {"ISTHMUS_STANDIN_DELAY_US": "200"})

    def test_work_and_memory_in_step(self):
        self.passes("Work.of_several*:Work.takes*:Work.is_launched*:Work.runs*:Memory.*", ISTHMUS_SYNC="1")

    def test_work_with_blocking_launches(self):
        self.passes("Work.of_several*:Work.takes*:Work.is_launched*", CUDA_LAUNCH_BLOCKING="1")

    def test_order_holds_where_twins_fall_behind_each_other(self):
        # Many more by hand, a million in all: ISTHMUS_TEST_ROUNDS=250000, and ISTHMUS_TEST_DELAY_US=5 to see the end.
        delay = os.environ.get("ISTHMUS_TEST_DELAY_US", "100")
        daemon = daemon_over_standin(self, shms=[LOCAL], ISTHMUS_STANDIN_CALL_DELAY_US=delay,
                                     ISTHMUS_STANDIN_DELAY_US=delay)
        patience = 2 * PATIENCE + int(os.environ.get("ISTHMUS_TEST_ROUNDS", "0")) // 100
        self.run_calls("*Order*", self.environment(daemon), lambda: daemon.log, timeout=patience)

    def test_an_order_that_does_not_hold_is_found(self):
        for mutant in ("lost_post", "lost_wait"):
            with self.subTest(mutant):
                daemon = daemon_over_standin(self, shms=[LOCAL], ISTHMUS_STANDIN_DELAY_US="100")
                result = subprocess.run([CALLS, "--gtest_filter=*Order*/4"], capture_output=True, text=True, timeout=2 * PATIENCE,
                                        env=self.environment(daemon, LD_PRELOAD=str(MUTANT), MUTANT=mutant))
                self.assertRegex(result.stdout, r"order\.cpp:\d+: Failure")

    def test_sharing_between_processes_of_one_vm(self):
        folder = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o777)
        daemon = daemon_over_standin(self, shms=[LOCAL, {**LOCAL, "name": "other"}], ISTHMUS_STANDIN_SHARED=folder)
        self.run_calls("Sharing.*", self.environment(daemon), lambda: daemon.log)
        daemon.wait_for("it detached")
        self.assertEqual(os.listdir(folder), [])

    def test_bad_input(self):
        self.passes("BadInput.*")

    def test_fork(self):
        self.passes("Life.*")

    def test_nothing_is_exported_but_the_interface(self):
        symbols = subprocess.run(["nm", "-D", "--defined-only", FRONTEND], capture_output=True, text=True, check=True)
        names = [line.split()[-1].split("@")[0] for line in symbols.stdout.splitlines()]
        self.assertGreater(len(names), 150)
        self.assertEqual([name for name in names if not name.startswith("cu")], [])


class NoDevice(Base):
    """A host without a driver, a worker without the plug-in, and no host at all."""

    def says(self, daemon, reason):
        result = self.run_calls("NoDevice.*", self.environment(daemon), lambda: daemon.log)
        self.assertEqual(len(re.findall("isthmus-cuda: ", result.stderr)), 1, result.stderr)
        self.assertIn(reason, result.stderr)

    def host(self, *environment):
        shm = {**LOCAL, "plugins": ["cuda"], "environment": [f"ISTHMUS_CUDA_DRIVER={driver}" for driver in environment]}
        daemon = Daemon(BUILD, shms=[shm], plugins=[PLUGIN])
        self.addCleanup(daemon.clean)
        return daemon.start()

    def test_a_host_without_a_driver_has_no_device(self):
        daemon = self.host("/nonexistent/libcuda.so.1")
        self.says(daemon, "the host has no CUDA device")
        self.assertRegex(daemon.log, "plug-in cuda: CUDA: /nonexistent/libcuda.so.1: cannot open")

    def test_our_own_library_is_no_driver(self):
        daemon = self.host(FRONTEND)
        self.says(daemon, "the host has no CUDA device")
        self.assertIn("is Isthmus's own library for guests", daemon.log)

    def test_without_the_plugin_one_line_says_what_to_do(self):
        daemon = Daemon(BUILD, shms=[LOCAL])
        self.addCleanup(daemon.clean)
        self.says(daemon.start(), 'ask for plugins = ["cuda"] in isthmusd.toml')

    def test_without_a_daemon_one_line_says_why(self):
        environment = {**os.environ, "LD_LIBRARY_PATH": str(FRONTEND.parent), "ISTHMUS_ENDPOINT": "shm:nobody",
                       "ISTHMUS_RUNTIME_DIR": "/nonexistent", "ISTHMUS_LOG": "1"}
        result = self.run_calls("NoDevice.*", environment)
        self.assertEqual(len(re.findall("isthmus-cuda: ", result.stderr)), 1, result.stderr)


class Quota(Base):
    """An endpoint whose clients have 72 MiB of device memory together, 8 of them for each context."""

    def test_it_ends_in_the_native_error_and_is_shared(self):
        shm = {**LOCAL, "device_memory": "72 MiB", "context_memory": "8 MiB"}
        daemon = daemon_over_standin(self, shms=[shm], ISTHMUS_STANDIN_MEMORY_MIB="256")
        self.assertIn("shm local: device memory of 72 MiB; each context counts as 8 MiB\n", daemon.log)
        environment = self.environment(daemon)
        self.run_calls("Quota.is_all*:Quota.counts*:Quota.that*:SharedQuota.*", environment, lambda: daemon.log)
        holder = subprocess.Popen([CALLS, "--gtest_filter=Victim.holds*"], env=environment, stdout=subprocess.PIPE,
                                  text=True)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.assertTrue(any(line.startswith("running") for line in holder.stdout))
        self.run_calls("Quota.is_shared*", environment, lambda: daemon.log)
        holder.kill()
        daemon.wait_for(f"lane of client {holder.pid} ended")
        # What the dead one had is there again.
        self.run_calls("Quota.is_all*", environment, lambda: daemon.log)


class Death(Base):
    def start(self, test):
        daemon = daemon_over_standin(self, shms=[LOCAL])
        program = subprocess.Popen([CALLS, f"--gtest_filter={test}"], env=self.environment(daemon),
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return daemon, program

    def test_the_workers_death_is_an_error_and_nothing_worse(self):
        _, program = self.start("WorkersDeath.*")
        output, _ = program.communicate(timeout=PATIENCE)
        self.assertEqual(program.returncode, 0, output)
        self.assertIn("[  PASSED  ] 1 test.", output)

    def killed(self, test):
        daemon, program = self.start(test)
        self.assertTrue(any(line.startswith("running") for line in program.stdout))
        worker = int(daemon.wait_for(r"is served by worker (\d+)").group(1))
        program.kill()
        deadline = time.monotonic() + DEAD_AFTER
        while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(Path(f"/proc/{worker}").exists(), f"the worker still runs\n{daemon.log}")
        self.run_calls("Memory.is_set*", self.environment(daemon), lambda: daemon.log)  # the next finds a healthy host

    def test_a_killed_program_takes_its_kernel_with_it(self):
        self.killed("Victim.waits*")

    def test_a_program_killed_in_a_host_function_is_gone(self):
        self.killed("Victim.is_in*")


if __name__ == "__main__":
    unittest.main(verbosity=2)
