"""Plug-ins in real workers of a real daemon: what they get, and what is said of those that go wrong."""

import os
import stat
import subprocess
import time
import unittest
from pathlib import Path

from isthmus_host import PATIENCE, PROBE_PATIENCE, Daemon

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
PROBE = BUILD / "guest/probe/isthmus-probe"
ISTHMUSD = BUILD / "host/daemon/isthmusd"
CLIENT = BUILD / "examples/plugin/thermometer"
THERMOMETER = BUILD / "examples/plugin/isthmus-thermometer.so"

LOCAL = {"name": "local", "region_size": "16 MiB"}
ALPHA = {"name": "alpha", "region_size": "16 MiB", "lanes": 4}


def odd(kind):
    return BUILD / f"test/plugin/isthmus-{kind}.so"


def client(daemon, program=CLIENT, *arguments):
    arguments = arguments or ("shm:local",)
    return subprocess.run([program, *arguments], env=daemon.environment, capture_output=True, text=True, timeout=PATIENCE)


def probe(daemon):
    return client(daemon, PROBE, "ping", "-e", "shm:local", "-n", "10", *PROBE_PATIENCE)


class Plugins(unittest.TestCase):
    def daemon(self, *kinds, vm=False, **keys):
        """A daemon whose one entry loads those plug-ins."""
        entry = {**(ALPHA if vm else LOCAL), "plugins": list(kinds), **keys}
        files = [THERMOMETER if kind == "thermometer" else odd(kind) for kind in kinds]
        daemon = Daemon(BUILD, vms=[entry] if vm else [], shms=[] if vm else [entry], plugins=files)
        self.addCleanup(daemon.clean)
        return daemon.start()

    def test_a_client_calls_an_api_that_a_plugin_serves(self):
        daemon = self.daemon("thermometer")
        daemon.wait_for(r"plug-in thermometer: 1 sensor found")  # before any client
        result = client(daemon)
        self.assertEqual((result.returncode, result.stdout), (0, "1000 readings, 21499 millidegrees on average\n"),
                         result.stderr)
        daemon.wait_for(r"the thermometer is on")
        daemon.wait_for(r"the thermometer is off")
        self.assertEqual(probe(daemon).returncode, 0)  # the probe API is there as well
        self.assertEqual(daemon.stop(), 0)

    def test_a_client_of_an_api_that_is_not_configured_is_told_what_to_write(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            result = client(daemon)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "the worker does not offer API thermometer (it offers probe); "
                                        "ask for plugins = [\"thermometer\"] in isthmusd.toml\n")

    def test_a_plugin_sees_the_window_of_its_lane_and_is_told_of_its_end(self):
        daemon = self.daemon("witness")
        self.assertEqual(probe(daemon).returncode, 0)
        daemon.wait_for(rf"witness: window of {16 << 20} bytes, resolves its end 1, its header 0, upcalls 0")
        daemon.wait_for(r"witness: the lane is over")

    def test_a_worker_that_says_too_much_does_not_fill_the_log(self):
        daemon = self.daemon("babbler")
        self.assertEqual(probe(daemon).returncode, 0)
        daemon.wait_for(r"more than 100 lines in a minute")
        self.assertEqual(daemon.stop(), 0)
        # What the worker itself had to say counts as well.
        self.assertTrue(90 <= daemon.log.count("babble\n") <= 100, daemon.log)

    def test_a_plugin_gets_a_cache_directory_and_the_configured_environment_and_nothing_else(self):
        daemon = self.daemon("witness", vm=True, environment=["OCL_ICD_FILENAMES=libpocl.so.2"])
        seen = daemon.wait_for(r"plug-in witness: uid (\d+) writes its cache 1 (.*)")
        cache = daemon.folder / "cache/vm-alpha"
        self.assertEqual(seen[2].split(), [f"POCL_CACHE_DIR={cache}", f"CUDA_CACHE_PATH={cache}",
                                           f"XDG_CACHE_HOME={cache}", "OCL_ICD_FILENAMES=libpocl.so.2"])
        status = cache.stat()
        self.assertEqual(stat.filemode(status.st_mode), "drwx------")
        self.assertEqual(status.st_uid, int(seen[1]))
        self.assertEqual(int(seen[1]) != os.geteuid(), os.geteuid() == 0)

    def test_a_plugin_warms_up_where_the_configuration_asks_for_it(self):
        for vm in (False, True):
            daemon = self.daemon("witness", vm=vm, warm_workers=1)
            daemon.wait_for(rf"worker \d+ is warm: plug-in witness: warms a window of {16 << 20} bytes")
            self.assertNotIn("is warm", self.daemon("witness", vm=vm).log)

    def test_a_plugin_of_another_abi_is_refused_with_a_reason(self):
        for vm in (False, True):
            with self.subTest(vm=vm):
                daemon = self.daemon("future", vm=vm)
                daemon.wait_for(r"plug-in future: it was built for plug-in ABI 99, this worker has ABI 4; rebuild it")

    def test_what_is_wrong_with_a_plugin_is_told_at_once_without_a_client(self):
        for kind, says in {
            "stranger": "plug-in stranger: no Isthmus plug-in: it does not define isthmus_plugin_entry",
            "sulks": "plug-in sulks: no device /dev/thermometer; connect one",
            "throws": "plug-in throws: threw while it prepared: no sensor bus",
            "aborts": r"its worker died: signal 6 \(Aborted\) while it loaded plug-in aborts",
            "exits": "its worker died: exit status 0 while it loaded plug-in exits",
        }.items():
            with self.subTest(kind):
                daemon = self.daemon(kind)
                daemon.wait_for(rf"error shm local: clients will not be served: {says}")

    def test_a_client_learns_why_its_worker_did_not_come(self):
        daemon = self.daemon("sulks")
        result = probe(daemon)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no device /dev/thermometer", result.stderr)

    def test_a_plugin_that_cannot_open_a_lane_ends_that_lane_with_its_reason(self):
        daemon = self.daemon("shy")
        result = probe(daemon)
        self.assertEqual(result.returncode, 1)
        self.assertIn("plug-in shy: the device is taken", result.stderr)
        daemon.wait_for("lane of client .* ended: plug-in shy: the device is taken")

    def test_a_plugin_cannot_take_over_an_api_that_is_served_already(self):
        daemon = self.daemon("usurper")
        self.assertEqual(probe(daemon).returncode, 1)
        daemon.wait_for(r"plug-in usurper: API probe \(1\) is served already")

    def test_two_plugins_that_claim_one_api_are_told_of_before_any_client(self):
        for vm in (False, True):
            with self.subTest(vm=vm):
                daemon = self.daemon("thermometer", "twin", vm=vm)
                daemon.wait_for(r"plug-in twin: API \d+ is served by plug-in thermometer already; name one of them only")
                self.assertNotIn("1 sensor found", daemon.log)  # nothing was prepared

    def test_a_plugin_that_aborts_the_worker_is_tried_ever_more_rarely(self):
        began = time.monotonic()
        daemon = self.daemon("aborts", vm=True)
        daemon.wait_for("(?s)spare worker .*" + "while it loaded plug-in aborts.*" * 9)
        # Delays of 10, 20, 40 ms and so on; at full speed it would be hundreds in that time.
        self.assertGreater(time.monotonic() - began, 2.5)
        self.assertEqual(daemon.stop(), 0)

    def refusal(self, folder=None, **keys):
        """What isthmusd says to a configuration with which it does not start."""
        daemon = Daemon(BUILD, shms=[{**LOCAL, **keys}], settings={"plugin_dir": str(folder)} if folder else {})
        self.addCleanup(daemon.clean)
        result = subprocess.run([ISTHMUSD, "-c", daemon.config], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 1, result.stderr)
        (line,) = result.stderr.strip().splitlines()
        return line

    def test_a_plugin_that_is_not_there_is_an_error_at_the_start(self):
        self.assertIn("/nowhere/isthmus-gone.so: No such file or directory; install it, or set plugin_dir",
                      self.refusal("/nowhere", plugins=["gone"]))
        self.assertIn(str(BUILD.resolve() / "host/lib/isthmus/plugins/isthmus-gone.so"), self.refusal(plugins=["gone"]))
        self.assertIn("plug-in /nowhere/my.so: No such file", self.refusal(plugins=["/nowhere/my.so"]))

    def test_a_plugin_that_others_can_write_is_an_error_at_the_start(self):
        daemon = Daemon(BUILD, shms=[LOCAL], plugins=[THERMOMETER])
        self.addCleanup(daemon.clean)
        file = daemon.folder / "plugins/isthmus-thermometer.so"
        file.chmod(0o666)
        self.assertIn("mode 0666; it must be root's", self.refusal(plugins=[str(file)]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
