"""A guest that takes over its worker, by a kernel, and tries for what is not its own."""

import os
import platform
import re
import subprocess
import unittest
from pathlib import Path

from isthmus_host import PATIENCE, Daemon

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
POCL = Path("/etc/OpenCL/vendors/pocl.icd")
PLUGIN = BUILD / "src/gpu/opencl/isthmus-opencl.so"
CALLS = BUILD / "test/opencl/opencl_calls"
NOBODY = 65534


class Takeover(unittest.TestCase):
    wrapper, uid = (), os.geteuid()

    def setUp(self):
        if not POCL.exists():
            self.skipTest(f"{POCL}: not there; install pocl-opencl-icd")
        if platform.machine() != "x86_64":
            self.skipTest("the kernel makes x86_64's system calls")
        self.daemon = Daemon(BUILD, vms=[{"name": "other", "region_size": "16 MiB"}],
                             shms=[{"name": "local", "region_size": "64 MiB", "plugins": ["opencl"]}], plugins=[PLUGIN],
                             wrapper=self.wrapper)
        self.addCleanup(self.daemon.clean)
        # Another VM's, which a worker of its own filled.
        self.other_cache = self.daemon.folder / "cache/vm-other"
        self.other_cache.mkdir(parents=True)
        self.other_cache.parent.chmod(0o711)
        self.other_cache.chmod(0o700)
        (self.other_cache / "kernel").write_text("compiled")
        for path in (self.daemon.folder, *self.daemon.folder.rglob("*")):
            os.chown(path, self.uid, self.uid)
        self.daemon.start()
        self.bystander = self.run_calls("Bystander.*", stdin=subprocess.PIPE)
        self.addCleanup(self.bystander.stdin.close)
        self.ask_bystander("ready")

    def run_calls(self, test, **more):
        environment = {**self.daemon.environment, "OCL_ICD_VENDORS": str(BUILD / "guest/opencl"),
                       "ISTHMUS_ENDPOINT": "shm:local",
                       "ISTHMUS_TEST_DAEMON": str(self.daemon.process.pid),
                       "ISTHMUS_TEST_OTHER_WORKER": self.served()[0] if self.served() else "0",
                       "ISTHMUS_TEST_IS_ROOT": "1" if self.uid == 0 else "0",
                       "ISTHMUS_TEST_OTHER_REGION": self.daemon.vms[0]["path"],
                       "ISTHMUS_TEST_OTHER_CACHE": str(self.other_cache),
                       "ISTHMUS_TEST_OWN_CACHE": str(self.daemon.folder / f"cache/shm-local-{os.geteuid()}"),
                       "ISTHMUS_TEST_CONFIGURATION": str(self.daemon.config),
                       "ISTHMUS_TEST_SOCKET": str(self.daemon.runtime_dir / "local.sock")}
        program = subprocess.Popen([CALLS, f"--gtest_filter={test}"], env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, **more)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def served(self):
        return re.findall(r"is served by worker (\d+)", self.daemon.log)

    def ask_bystander(self, word):
        if word != "ready":
            print("once more", file=self.bystander.stdin, flush=True)
        for line in self.bystander.stdout:
            if line.strip() == word:
                return
        self.fail(f"the other client did not say '{word}'\n{self.daemon.log}")

    def take_over(self, test):
        program = self.run_calls(f"Takeover.{test}")
        output, _ = program.communicate(timeout=PATIENCE)
        self.assertEqual(program.returncode, 0, f"{output}\n{self.daemon.log}")
        self.assertIn("[  PASSED  ] 1 test.", output)
        self.assertIsNone(self.daemon.process.poll(), self.daemon.log)
        self.ask_bystander("right")
        self.assertEqual((self.other_cache / "kernel").read_text(), "compiled")
        return output

    def test_it_ends_its_own_lane_and_reaches_nothing_else(self):
        output = self.take_over("ends_its_own_lane_and_reaches_nothing_else")
        self.assertEqual(re.search(r"worker (\d+)", output).group(1), self.served()[-1], "no takeover at all")
        self.daemon.wait_for(r"its worker died: signal \d+")

    def test_it_tells_the_daemon_nonsense(self):
        self.take_over("tells_the_daemon_nonsense")
        self.daemon.wait_for(r"it sent a malformed (report|request about notes)")


@unittest.skipUnless(os.geteuid() == 0, "only root can start a daemon as somebody else")
class TakeoverUnderAnOrdinaryUser(Takeover):
    """Where daemon and workers are one user, there is Landlock between them, which knows nothing of sockets with names."""

    wrapper, uid = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"), NOBODY

    def setUp(self):
        super().setUp()
        if "no Landlock" in self.daemon.log or "Landlock has version" in self.daemon.log:
            self.skipTest("this kernel's Landlock does not keep signals in")


if __name__ == "__main__":
    unittest.main(verbosity=2)
