"""Workers that are warm before their clients come, over the stand-in, whose contexts take their time to be made."""

import os
import signal
import subprocess
import time
import unittest
from pathlib import Path

from cuda_host import BUILD, FRONTEND, PLUGIN, STANDIN, daemon_over_standin, missing
from isthmus_host import PATIENCE, Daemon, wait_until

CALLS = BUILD / "test/cuda/cuda_calls"
MELTS = BUILD / "test/plugin/isthmus-melts.so"
LOCAL = {"name": "local", "region_size": "64 MiB"}
ALPHA = {"name": "alpha", "region_size": "64 MiB", "lanes": 4}
WARM = r"worker (\d+) is warm: plug-in cuda: a context on device 0, 64 MiB of the region registered"

# How long workers take to warm up where a client has to come meanwhile: the first that leaves it the time does.
SLOWER = (500, 3000, 15000)


def lives(pid):
    return Path(f"/proc/{pid}").exists()


class Warm(unittest.TestCase):
    def setUp(self):
        reason = missing(CALLS, FRONTEND, PLUGIN, STANDIN)
        if reason:
            self.skipTest(reason)

    def daemon(self, warm=1, vm=False, limit=None, **settings):
        entry = {**(ALPHA if vm else LOCAL), "warm_workers": warm, **(limit or {})}
        return daemon_over_standin(self, **{"vms" if vm else "shms": [entry]},
                                   **{"ISTHMUS_STANDIN_START_MS": 100, **settings})

    def environment(self, daemon, **more):
        return {**daemon.environment, "LD_LIBRARY_PATH": str(FRONTEND.parent), "ISTHMUS_ENDPOINT": "shm:local",
                "ISTHMUS_LOG": "1", **more}

    def client(self, daemon, devices=1, test="Environment.*", **more):
        """Runs a client that must see so many devices; what the log says of it."""
        begun = len(daemon.log)
        environment = self.environment(daemon, ISTHMUS_TEST_DEVICES=str(devices), **more)
        result = subprocess.run([CALLS, f"--gtest_filter={test}"], env=environment, capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{result.stderr}\n{daemon.log}")
        daemon.wait_for("lane of client .* ended", since=begun)
        return daemon.log[begun:]

    def test_a_client_gets_a_warm_worker_and_the_next_one_another(self):
        daemon = self.daemon()
        first = daemon.wait_for(WARM)[1]
        self.assertIn(f"is served by worker {first}, which is warm", self.client(daemon))
        second = daemon.wait_for(f"(?s){WARM}.*{WARM}")[2]
        self.assertNotEqual(first, second)
        self.assertIn(f"is served by worker {second}, which is warm", self.client(daemon))

    def test_a_client_comes_while_its_worker_warms_up(self):
        for start_ms in SLOWER:
            daemon = self.daemon(ISTHMUS_STANDIN_START_MS=start_ms)
            daemon.wait_for("plug-in cuda: CUDA")
            log = self.client(daemon)
            if "which is warm" not in log:
                break
        self.assertRegex(log, "which warms up")
        daemon.wait_for(r"worker \d+ is warm: plug-in cuda: a context on device 0, 0 MiB of the region registered")

    def test_more_clients_than_warm_workers_are_served_too(self):
        for start_ms in SLOWER:
            daemon = self.daemon(ISTHMUS_STANDIN_START_MS=start_ms)
            daemon.wait_for(WARM)
            logs = [self.client(daemon) for _ in range(2)]
            self.assertIn("which is warm", logs[0])
            if "which is warm" not in logs[1]:
                return  # no time to make another one
        self.fail(daemon.log)

    def test_a_client_whose_variables_the_driver_did_not_start_with_gets_another_worker(self):
        daemon = self.daemon(ISTHMUS_STANDIN_DEVICES=3)
        warm = daemon.wait_for(WARM)[1]
        log = self.client(daemon, devices=2, CUDA_VISIBLE_DEVICES="2,0")
        self.assertRegex(log, rf"is served by worker {warm}, which is warm\n(.*\n)*"
                              r".* is served by worker \d+ instead, whose drivers start with the client's variables")
        self.assertTrue(wait_until(lambda: not lives(warm)))
        daemon.wait_for(f"(?s){WARM}.*{WARM}")
        log = self.client(daemon, devices=2, CUDA_VISIBLE_DEVICES="2,0")  # known by now: the warm one stays
        self.assertNotRegex(log, "instead|which is warm")
        self.assertIn("which is warm", self.client(daemon, devices=3))

    def test_a_client_of_whose_variables_its_worker_dies_is_told(self):
        daemon = self.daemon()
        daemon.wait_for(WARM)
        environment = self.environment(daemon, CUDA_VISIBLE_DEVICES="abort", ISTHMUS_TEST_DEVICES="1",
                                       CUDA_DEVICE_ORDER="\x80", CUDA_FORCE_JIT="1" * 2000)
        result = subprocess.run([CALLS, "--gtest_filter=Environment.*"], env=environment, capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual(result.returncode, 1)
        self.assertIn("its worker died: signal 6 (Aborted)", result.stderr)
        self.assertIn("CUDA_DEVICE_ORDER does not reach the host: not in printable ASCII", result.stderr)
        self.assertIn("CUDA_FORCE_JIT does not reach the host: too long", result.stderr)

    def test_variables_that_change_nothing_keep_the_warm_worker(self):
        daemon = self.daemon()
        daemon.wait_for(WARM)
        log = self.client(daemon, CUDA_VISIBLE_DEVICES="0", CUDA_MODULE_LOADING="LAZY", CUDA_CACHE_PATH="/tmp")
        self.assertNotIn("instead", log)

    def test_without_warm_workers_the_variables_reach_the_driver_too(self):
        daemon = self.daemon(0, ISTHMUS_STANDIN_DEVICES=3)
        self.assertNotIn("instead", self.client(daemon, devices=1, CUDA_VISIBLE_DEVICES="2"))

    def test_the_hosts_configuration_wins_over_the_client(self):
        daemon = self.daemon(1, ISTHMUS_STANDIN_DEVICES=3, CUDA_VISIBLE_DEVICES="1,2")
        daemon.wait_for(WARM)
        self.assertNotIn("instead", self.client(daemon, devices=2, CUDA_VISIBLE_DEVICES="0,1,2"))

    def test_warm_workers_that_are_killed_are_made_anew(self):
        for vm in (False, True):
            with self.subTest(vm=vm):
                daemon = self.daemon(2, vm)
                daemon.wait_for(f"(?s){WARM}.*{WARM}")
                killed = daemon.worker_pids()
                self.assertEqual(len(killed), 2)
                begun = len(daemon.log)
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
                daemon.wait_for(f"(?s){WARM}.*{WARM}", since=begun)
                self.assertEqual(len(daemon.worker_pids()), 2)
                self.assertEqual(set(daemon.worker_pids()) & set(killed), set())

    def test_workers_that_die_of_warming_up_are_tried_ever_more_rarely(self):
        for vm in (False, True):
            with self.subTest(vm=vm):
                entry = {**(ALPHA if vm else LOCAL), "plugins": ["melts"], "warm_workers": 1}
                daemon = Daemon(BUILD, **{"vms" if vm else "shms": [entry]}, plugins=[MELTS])
                self.addCleanup(daemon.clean)
                begun = time.monotonic()
                daemon.start().wait_for(r"(?s)(warm|spare) worker \d+ ended: its worker died: signal 6"
                                        + r".* worker \d+ ended" * 5)
                self.assertGreater(time.monotonic() - begun, 0.3)  # 10, 20, 40, 80, 160 ms
                self.assertEqual(daemon.stop(), 0)

    def test_what_they_hold_counts_and_what_does_not_fit_stays_cold(self):
        daemon = self.daemon(1, limit={"device_memory": "100 MiB", "context_memory": "40 MiB"})
        daemon.wait_for(WARM)
        holders = []
        for test in ("QuotaOfWarmWorkers.*", "Victim.is_in*"):
            holder = subprocess.Popen([CALLS, f"--gtest_filter={test}"], env=self.environment(daemon),
                                      stdout=subprocess.PIPE, text=True)
            self.addCleanup(holder.stdout.close)
            self.addCleanup(holder.wait)
            self.addCleanup(holder.kill)
            self.assertTrue(any(line.startswith("running") for line in holder.stdout), daemon.log)
            holders.append(holder)
            if len(holders) == 1:
                daemon.wait_for(f"(?s){WARM}.*{WARM}")
        cold = daemon.wait_for(r"warning worker (\d+) stays cold: plug-in cuda: a context counts as 40 MiB, and of "
                               r"device_memory 100 MiB 80 MiB are taken; enlarge device_memory, or lower warm_workers")[1]
        log = self.client(daemon, test="QuotaThatIsUsedUp.*")
        self.assertIn(f"is served by worker {cold}, which is cold", log)
        self.assertEqual(daemon.log.count(f"worker {cold} stays cold"), 1)
        for holder in holders:
            holder.kill()
            daemon.wait_for(f"lane of client {holder.pid} ended")
        self.client(daemon)

    def test_no_worker_outlives_the_daemon(self):
        for end in (Daemon.stop, Daemon.kill):
            with self.subTest(end.__name__):
                daemon = self.daemon(3)
                daemon.wait_for(WARM)  # and two that still warm up
                workers = daemon.worker_pids()
                self.assertEqual(len(workers), 3)
                end(daemon)
                self.assertTrue(wait_until(lambda: not any(map(lives, workers))))

    def test_a_vm_keeps_as_many_of_which_one_waits(self):
        daemon = self.daemon(3, vm=True)
        daemon.wait_for(f"(?s){WARM}.*{WARM}.*{WARM}")
        self.assertEqual(len(daemon.worker_pids()), 3)
        self.assertEqual(daemon.stop(), 0)
        self.assertNotRegex(daemon.log, "warning|error")


if __name__ == "__main__":
    unittest.main(verbosity=2)
