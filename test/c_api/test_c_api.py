"""The C interface: a program in C against a real daemon, and what the shared library exports and needs."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from isthmus_host import PATIENCE, Daemon

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
ROOT = Path(__file__).resolve().parents[2]
PROBE = BUILD / "test/c_api/c_api_probe"
LIBRARY = BUILD / "src/transport/libisthmus.so"


def output_of(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def sanitized():
    return re.search(r"__(asan|tsan|ubsan)_", output_of("nm", "-D", LIBRARY)) is not None


class CApi(unittest.TestCase):
    def run_case(self, name):
        with Daemon(BUILD, shms=[{"name": "local", "region_size": "32 MiB"}]) as daemon:
            children = f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children"
            result = subprocess.run([PROBE, name, "shm:local"], capture_output=True, text=True, timeout=2 * PATIENCE,
                                    env={**daemon.environment, "ISTHMUS_TEST_WORKERS": children})
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr + daemon.log)

    def run_alone(self, name, says=""):
        result = subprocess.run([PROBE, name], capture_output=True, text=True, timeout=2 * PATIENCE)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stdout, says)

    def test_a_service_in_c(self):
        self.run_alone("service")

    def test_a_service_that_misuses_its_requests(self):
        self.run_alone("service_misused")

    def test_a_service_in_a_child_process_that_dies(self):
        self.run_alone("service_in_child")

    def test_upcalls_in_c(self):
        self.run_alone("upcalls")

    def test_exit_handlers_that_use_a_lane(self):
        self.run_alone("at_exit", says="an exit handler used it\n")

    def test_signals_while_a_client_attaches(self):
        self.run_case("signals")

    def test_a_daemon_that_takes_no_connection(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            path = f"{folder}/local.sock"
            listener.bind(path)
            listener.listen(0)
            waiting = []
            try:
                while True:  # until its queue is full
                    waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK))
                    waiting[-1].connect(path)
            except BlockingIOError:
                pass
            result = subprocess.run([PROBE, "no_connection", "shm:local"], capture_output=True, text=True,
                                    timeout=2 * PATIENCE,
                                    env={**os.environ, "ISTHMUS_RUNTIME_DIR": folder})
            for one in waiting:
                one.close()
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_calls_and_versions(self):
        self.run_case("calls")

    def test_frames_and_posts(self):
        self.run_case("frames")

    def test_calls_in_flight(self):
        self.run_case("in_flight")

    def test_messages_that_cannot_be(self):
        self.run_case("bad_messages")

    def test_stale_and_wild_handles(self):
        self.run_case("bad_handles")

    def test_null_arguments(self):
        self.run_case("nulls")

    def test_short_and_long_structs(self):
        self.run_case("struct_sizes")

    def test_a_second_thread(self):
        self.run_case("threads")

    def test_a_child_after_fork(self):
        self.run_case("fork")

    def test_an_exhausted_slab(self):
        self.run_case("exhausted")

    def test_an_exception_inside(self):
        if sanitized():
            self.skipTest("a sanitizer's allocator aborts instead of throwing")
        self.run_case("exceptions")

    def test_a_worker_that_dies(self):
        with Daemon(BUILD, shms=[{"name": "local", "region_size": "32 MiB"}]) as daemon:
            probe = subprocess.Popen([PROBE, "dead_peer", "shm:local"], env=daemon.environment, text=True,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(probe.stdout.readline(), "attached\n")
            for pid in daemon.worker_pids():
                os.kill(pid, signal.SIGKILL)
            _, errors = probe.communicate(timeout=PATIENCE)
            self.assertEqual(probe.returncode, 0, errors)

    def test_the_library_exports_what_the_header_declares_and_nothing_else(self):
        symbols = output_of("nm", "-D", "--defined-only", LIBRARY)
        exported = dict(re.findall(r" [TW] ([^@\s]+)@@(\S+)", symbols))
        header = (ROOT / "include/isthmus/isthmus.h").read_text()
        declared = re.findall(r"ISTHMUS_API [^;(]*?(isthmus_\w+)\(", header)
        self.assertEqual(sorted(exported), sorted(declared))
        # A name stays in the node that it came with: the services came with 0.2.
        later = {name for name, node in exported.items() if node == "ISTHMUS_0_2"}
        self.assertEqual({exported[name] for name in exported.keys() - later}, {"ISTHMUS_0"})
        self.assertEqual(len(later), 14, sorted(later))
        self.assertIn("[libisthmus.so.0]", output_of("readelf", "-d", LIBRARY))

    def test_the_library_needs_the_c_library_only_and_no_newer_one_than_2_34(self):
        if sanitized():
            self.skipTest("a sanitizer's runtime has needs of its own")
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", LIBRARY)))
        self.assertLessEqual(needed, {"libc.so.6", "ld-linux-x86-64.so.2"})
        versions = {tuple(map(int, found.split(".")))
                    for found in re.findall(r"GLIBC_([0-9.]+)", output_of("objdump", "-T", LIBRARY))}
        self.assertLessEqual(max(versions), (2, 34))


if __name__ == "__main__":
    unittest.main(verbosity=2)
