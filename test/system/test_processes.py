"""isthmusd, its workers and shm: clients as real processes: what goes wrong, and who dies."""

import array
import ctypes
import ctypes.util
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest
from pathlib import Path

from isthmus_host import PATIENCE, PROBE_PATIENCE, Daemon, beyond, in_time

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
PROBE = BUILD / "guest/probe/isthmus-probe"
ISTHMUSD = BUILD / "host/daemon/isthmusd"

LOCAL = {"name": "local", "region_size": "16 MiB"}
ALPHA = {"name": "alpha", "region_size": "16 MiB", "lanes": 4}

# include/isthmus/abi.hpp and src/transport/daemon_protocol.hpp
HELLO = struct.Struct("<IIII")
HELLO_MAGIC = 0x4D485449
CLAIM_OFFSET = 4096
HOST_STATE_OFFSET = CLAIM_OFFSET + 4096  # the low byte of abi::LaneHostPage::state
SERVING = 1
CLAIMED = 2
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


def probe(daemon, *arguments):
    return subprocess.run([PROBE, *arguments, *PROBE_PATIENCE], env=daemon.environment, capture_output=True, text=True,
                          timeout=PATIENCE)


class Holder:
    """isthmus-probe hold: a client that calls every few milliseconds."""

    def __init__(self, test, daemon, endpoint="shm:local"):
        self.process = subprocess.Popen([PROBE, "hold", "--interval", "20", "-e", endpoint, *PROBE_PATIENCE], env=daemon.environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        test.addCleanup(self.end)
        self.calls = 0
        self.wait_for_call()

    def wait_for_call(self):
        line = self.process.stdout.readline()
        assert line.startswith("call "), f"{line!r} {self.process.stderr.read()!r}"
        self.calls = int(line.split()[1])

    def error(self):
        """Waits for its end, which must be an error; returns what it said."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 1, self.process.returncode
        return errors.strip()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class HostileClient:
    """Test double of a client that speaks to isthmusd by hand and owns the raw region."""

    def __init__(self, test, daemon, name="local"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        test.addCleanup(self.socket.close)
        self.socket.connect(str(daemon.runtime_dir / f"{name}.sock"))
        self.socket.send(HELLO.pack(HELLO_MAGIC, 0, 0, 0))
        self.socket.settimeout(PATIENCE)
        welcome, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(8))
        self.verdict = HELLO.unpack_from(welcome)[2]
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        self.region, self.kick = fds
        for fd in fds:
            test.addCleanup(os.close, fd)
        self.memory = mmap.mmap(self.region, 0)

    def claim(self):
        self.memory[CLAIM_OFFSET:CLAIM_OFFSET + 4] = struct.pack("<I", CLAIMED)
        os.eventfd_write(self.kick, 1)

    def claim_and_wait(self):
        """Until the worker serves the lane."""
        self.claim()
        deadline = time.monotonic() + PATIENCE
        while self.memory[HOST_STATE_OFFSET] != SERVING:
            if time.monotonic() > deadline:
                raise TimeoutError("no worker serves the lane")
            time.sleep(0.01)

    def punch(self):
        """Makes a hole of the whole region."""
        libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        size = os.fstat(self.region).st_size
        if libc.fallocate(self.region, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, size) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")


def one_line(test, text, *words):
    """The text is one clear line that holds all these words."""
    lines = [line for line in text.strip().splitlines() if line]
    test.assertEqual(len(lines), 1, text)
    for word in words:
        test.assertIn(word, lines[0])


class Refusals(unittest.TestCase):
    """Every start that cannot work ends with one clear line, a status that is not 0, and nothing left behind."""

    @staticmethod
    def left_by(daemon):
        return [name for name in os.listdir("/dev/shm") if daemon.folder.name in name]

    def refused(self, *words, vms=(), shms=(), status=1, prepare=None):
        daemon = Daemon(BUILD, vms=vms, shms=shms)
        self.addCleanup(daemon.clean)
        if prepare:
            prepare(daemon)
        before = self.left_by(daemon)

        def attempt():
            began = time.monotonic()
            result = subprocess.run([ISTHMUSD, "-c", daemon.config], capture_output=True, text=True, timeout=PATIENCE)
            took = time.monotonic() - began
            self.assertEqual(result.returncode, status, result.stderr)
            last = [line for line in result.stderr.splitlines() if line.startswith("isthmusd: ")]
            one_line(self, "\n".join(last), *words)
            return took

        in_time(self, 5, attempt)
        self.assertEqual(self.left_by(daemon), before)
        if daemon.runtime_dir.exists():
            self.assertEqual(os.listdir(daemon.runtime_dir), [])

    def test_a_size_that_is_no_power_of_two_is_refused(self):
        self.refused("24 MiB", "power of two", vms=[{"name": "alpha", "region_size": "24 MiB"}], status=2)

    def test_a_region_too_small_is_refused(self):
        self.refused("4 MiB", "8 MiB", shms=[{"name": "local", "region_size": "4 MiB"}], status=2)

    def test_an_unknown_key_is_refused_with_its_line(self):
        self.refused(":", "regionsize", vms=[{"name": "alpha", "region_size": "8 MiB", "regionsize": 1}], status=2)

    def test_a_missing_configuration_is_refused(self):
        result = subprocess.run([ISTHMUSD, "-c", "/nonexistent.toml"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 2)
        one_line(self, result.stderr, "/nonexistent.toml")

    def test_a_region_file_of_another_size_is_refused(self):
        def prepare(daemon):
            with open(os.open(daemon.vms[0]["path"], os.O_CREAT | os.O_RDWR, 0o600), "wb") as file:
                file.truncate(32 << 20)
        self.refused("32 MiB", "16 MiB", vms=[ALPHA], prepare=prepare)

    def test_a_region_file_of_another_mode_is_refused(self):
        def prepare(daemon):
            with open(os.open(daemon.vms[0]["path"], os.O_CREAT | os.O_RDWR, 0o600), "wb") as file:
                file.truncate(16 << 20)
            os.chmod(daemon.vms[0]["path"], 0o644)
        self.refused("0644", "0600", vms=[ALPHA], prepare=prepare)

    def test_a_file_that_is_no_region_is_refused(self):
        def prepare(daemon):
            with open(os.open(daemon.vms[0]["path"], os.O_CREAT | os.O_RDWR, 0o600), "wb") as file:
                file.write(b"x" * (16 << 20))
        self.refused("no Isthmus region", vms=[ALPHA], prepare=prepare)

    def test_a_region_of_another_abi_is_refused(self):
        def prepare(daemon):
            with open(os.open(daemon.vms[0]["path"], os.O_CREAT | os.O_RDWR, 0o600), "wb") as file:
                file.truncate(16 << 20)
                file.write(struct.pack("<QII", 0x0053554D48545349, 7, 4))
        self.refused("ABI 7", vms=[ALPHA], prepare=prepare)

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "no qemu-system-x86_64 here")
    def test_a_vm_that_was_started_before_the_daemon_is_told_of(self):
        def prepare(daemon):
            path = daemon.vms[0]["path"]
            qemu = subprocess.Popen(
                ["qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-accel", "tcg", "-object",
                 f"memory-backend-file,id=m,share=on,mem-path={path},size=16M", "-device", "ivshmem-plain,memdev=m"],
                stdin=subprocess.DEVNULL)
            self.addCleanup(qemu.wait)
            self.addCleanup(qemu.kill)
            while not os.path.exists(path) or os.stat(path).st_size != 16 << 20:
                time.sleep(0.01)
        self.refused("started before", vms=[ALPHA], prepare=prepare)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to mount a small tmpfs")
    def test_a_full_dev_shm_is_told_of(self):
        # A mount namespace of its own: nobody else sees the small /dev/shm.
        daemon = Daemon(BUILD, vms=[ALPHA])
        self.addCleanup(daemon.clean)
        script = f"""mount -t tmpfs -o size=4M none /dev/shm && {ISTHMUSD} -c {daemon.config}; status=$?
                     ls -A /dev/shm >&2; exit $status"""
        result = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 1, result.stderr)
        one_line(self, result.stderr, "16 MiB", "4 MiB")

    def test_a_second_daemon_on_the_same_region_is_refused(self):
        with Daemon(BUILD, vms=[ALPHA], shms=[LOCAL]) as daemon:
            result = subprocess.run([ISTHMUSD, "-c", daemon.config], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(result.returncode, 1, result.stderr)
            one_line(self, result.stderr, daemon.vms[0]["path"], "another")
            self.assertEqual(probe(daemon, "info", "-e", "shm:local").returncode, 0)

    def test_a_client_without_a_daemon_gets_one_clear_line_at_once(self):
        daemon = Daemon(BUILD, shms=[LOCAL])
        self.addCleanup(daemon.clean)

        def attempt():
            took, result = beyond(lambda: probe(daemon, "info", "-e", "tcp:host"),  # is refused where it looks for nobody
                                  lambda: probe(daemon, "info", "-e", "shm:local"))
            self.assertEqual(result.returncode, 1)
            one_line(self, result.stderr, "shm:local", "is isthmusd running")
            return took

        in_time(self, 1, attempt)

    def test_an_unknown_endpoint_form_is_refused(self):
        daemon = Daemon(BUILD, shms=[LOCAL])
        self.addCleanup(daemon.clean)
        result = probe(daemon, "info", "-e", "tcp:host")
        self.assertEqual(result.returncode, 1)
        one_line(self, result.stderr, "tcp:host", "shm:NAME")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_a_client_without_permission_is_told_of_the_socket(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            os.chmod(daemon.folder, 0o755)
            # The program may lie where another user cannot reach it; its descriptor can be executed all the same.
            with open(PROBE, "rb") as program:
                result = subprocess.run(
                    ["setpriv", "--reuid=65534", "--clear-groups", f"/proc/self/fd/{program.fileno()}", "info", "-e",
                     "shm:local"], env=daemon.environment, capture_output=True, text=True, timeout=PATIENCE,
                    pass_fds=[program.fileno()])
            self.assertEqual(result.returncode, 1, result.stderr)
            one_line(self, result.stderr, "no permission", "local.sock")

    def test_more_clients_than_places_are_told_so(self):
        with Daemon(BUILD, shms=[{**LOCAL, "max_clients": 1}]) as daemon:
            Holder(self, daemon)
            result = probe(daemon, "info", "-e", "shm:local")
            self.assertEqual(result.returncode, 1)
            one_line(self, result.stderr, "max_clients")


class Life(unittest.TestCase):
    def test_calls_and_payloads_travel(self):
        for engine in ("io_uring", "epoll"):
            with self.subTest(engine), Daemon(BUILD, shms=[LOCAL], event_loop=engine) as daemon:
                self.assertIn(engine, daemon.log)
                result = probe(daemon, "ping", "-e", "shm:local", "-n", "2000")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn("calls 2000", result.stdout)
                expected = subprocess.run(["sha256sum", ISTHMUSD], capture_output=True, text=True).stdout.split()[0]
                result = probe(daemon, "hash", "-e", "shm:local", ISTHMUSD)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn(f"sha256 {expected}", result.stdout)

    def test_the_daemon_ends_cleanly_and_its_clients_learn_why(self):
        with Daemon(BUILD, vms=[ALPHA], shms=[LOCAL]) as daemon:
            holder = Holder(self, daemon)
            self.assertEqual(daemon.stop(), 0)
            self.assertIn("isthmusd ended the worker", holder.error())
            self.assertFalse(os.path.exists(daemon.vms[0]["path"]))
            self.assertEqual(os.listdir(daemon.runtime_dir), [])

    def test_a_killed_daemon_leaves_no_worker_and_its_successor_takes_over(self):
        daemon = Daemon(BUILD, vms=[ALPHA], shms=[LOCAL])
        self.addCleanup(daemon.clean)
        daemon.start()
        holder = Holder(self, daemon)
        workers = daemon.worker_pids()
        self.assertGreaterEqual(len(workers), 2)
        daemon.kill()
        # The daemon's socket says so, or the worker, which is told to stop by the same death: whoever comes first.
        self.assertRegex(holder.error(), "the host closed (the lane|lane 0): isthmusd ended")
        deadline = time.monotonic() + PATIENCE
        while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse([pid for pid in workers if os.path.exists(f"/proc/{pid}")])
        daemon.start()
        self.assertIn("adopted", daemon.log)
        self.assertEqual(probe(daemon, "ping", "-e", "shm:local", "-n", "100").returncode, 0)
        daemon.stop()

    def test_a_worker_has_nothing_that_it_does_not_need(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            Holder(self, daemon)
            (worker,) = daemon.worker_pids()
            if os.geteuid() == 0:  # it is not dumpable: its /proc entries are root's
                fds = {fd: os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")}
                for fd, target in fds.items():
                    self.assertTrue(fd in "012" and target == "/dev/null" or "eventfd" in target or "socket" in target,
                                    fds)
                self.assertEqual(Path(f"/proc/{worker}/environ").read_bytes(), b"")
            self.assertIn("NoNewPrivs:\t1", Path(f"/proc/{worker}/status").read_text())

    @unittest.skipUnless(os.geteuid() == 0, "needs root: others' workers run as themselves")
    def test_workers_are_users_of_their_own_without_rights(self):
        beta = {**ALPHA, "name": "beta"}
        with Daemon(BUILD, vms=[ALPHA, beta], shms=[LOCAL]) as daemon:
            Holder(self, daemon)
            Holder(self, daemon)
            workers = daemon.worker_pids()
            self.assertEqual(len(workers), 4)
            users = []
            for worker in workers:
                status = dict(line.split(":\t", 1) for line in
                              Path(f"/proc/{worker}/status").read_text().splitlines() if ":\t" in line)
                users.append(set(status["Uid"].split()))
                self.assertEqual(set(status["Gid"].split()), users[-1])
                self.assertEqual(len(users[-1]), 1, status["Uid"])
                self.assertGreaterEqual(int(status["Uid"].split()[0]), 0x70000000)
                self.assertEqual(status["Groups"].split(), [])
                self.assertEqual((status["CapPrm"], status["CapEff"], status["CapAmb"]), ("0" * 16,) * 3)
                self.assertEqual(status["Name"], "isthmus-worker")
                limits = Path(f"/proc/{worker}/limits").read_text()
                self.assertRegex(limits, r"Max core file size +0 +0")
            # Two VMs, and one user of the endpoint.
            self.assertEqual(len(set(map(frozenset, users))), 3, users)
            self.assertRegex(daemon.log, "workers: each VM's .* user of their own")
            if "without network" in daemon.log:
                for worker in workers:
                    devices = re.findall(r"^ *(\S+):", Path(f"/proc/{worker}/net/dev").read_text(), re.MULTILINE)
                    self.assertLessEqual(set(devices), {"lo"})
            else:
                self.assertRegex(daemon.log, "with network: .+")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_a_worker_user_is_everybodys_user_if_it_is_configured(self):
        with Daemon(BUILD, vms=[ALPHA], shms=[LOCAL], settings={"worker_user": 65533}) as daemon:
            Holder(self, daemon)
            for worker in daemon.worker_pids():
                self.assertIn("Uid:\t65533\t65533\t65533\t65533", Path(f"/proc/{worker}/status").read_text())

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_a_daemon_that_is_not_root_serves_and_says_that_its_workers_are_itself(self):
        daemon = Daemon(BUILD, shms=[LOCAL], wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        self.addCleanup(daemon.clean)
        daemon.folder.chmod(0o755)
        os.chown(daemon.folder, 65534, 65534)
        if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-x", ISTHMUSD]).returncode != 0:
            self.skipTest("the build lies where another user cannot reach it")
        daemon.start()
        self.assertIn("workers: they run as user 65534, as isthmusd does", daemon.log)
        self.assertEqual(probe(daemon, "ping", "-e", "shm:local", "-n", "10").returncode, 0)

    def test_the_daemon_may_open_as_many_files_as_it_is_allowed_to(self):
        with Daemon(BUILD, shms=[LOCAL], wrapper=["prlimit", "--nofile=256:4096"]) as daemon:
            limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
        self.assertRegex(limits, r"Max open files +4096 +4096 ")

    def test_regions_are_in_huge_pages_on_request_or_the_log_says_why_not(self):
        with Daemon(BUILD, vms=[{**ALPHA, "huge_pages": True}], shms=[{**LOCAL, "huge_pages": True}]) as daemon:
            daemon.wait_for(r"worker \d+: .*huge pages")  # the VM's
            since = len(daemon.log)
            holder = Holder(self, daemon)
            match = daemon.wait_for(r"worker (\d+): (.*huge pages.*)", since=since)
            huge = re.findall(r"^ShmemPmdMapped: +(\d+) kB", Path(f"/proc/{match[1]}/smaps").read_text(), re.MULTILINE)
            if match[2] == "the region is in huge pages":
                self.assertGreater(max(map(int, huge)), 2048, huge)
            else:
                self.assertRegex(match[2], "no huge pages.*; ordinary pages are used")
            holder.wait_for_call()

    def test_nothing_is_left_in_dev_shm_by_shm_clients(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            Holder(self, daemon)
            self.assertEqual(Refusals.left_by(daemon), [])


class Death(unittest.TestCase):
    """The survivor reports within a second, and the next attach works."""

    def assert_next_attach_works(self, daemon):
        result = probe(daemon, "ping", "-e", "shm:local", "-n", "100")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_killed_client_is_reported(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            def attempt():
                holder = Holder(self, daemon)
                began = time.monotonic()
                holder.process.kill()
                daemon.wait_for(rf"client {holder.process.pid}: (its process ended|it detached)")
                took = time.monotonic() - began
                daemon.wait_for(rf"lane of client {holder.process.pid} ended")
                self.assert_next_attach_works(daemon)
                return took

            in_time(self, 1, attempt)

    def test_a_killed_worker_is_reported_to_its_client_and_to_nobody_else(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            bystander = Holder(self, daemon)

            def attempt():
                victim = Holder(self, daemon)
                worker = int(daemon.wait_for(rf"client {victim.process.pid} .*is served by worker (\d+)")[1])
                began = time.monotonic()
                os.kill(worker, signal.SIGKILL)
                self.assertIn("signal 9", victim.error())
                daemon.wait_for(rf"lane of client {victim.process.pid} ended: its worker died: signal 9")
                took = time.monotonic() - began
                bystander.wait_for_call()
                self.assert_next_attach_works(daemon)
                return took

            in_time(self, 1, attempt)

    def test_a_stopped_client_goes_on_after_ten_seconds(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            holder = Holder(self, daemon)
            holder.process.send_signal(signal.SIGSTOP)
            time.sleep(10)
            self.assertNotIn("ended", daemon.log)
            self.assert_next_attach_works(daemon)
            holder.process.send_signal(signal.SIGCONT)
            for _ in range(20):
                holder.wait_for_call()

    def test_a_stopped_worker_only_delays_its_client(self):
        with Daemon(BUILD, shms=[LOCAL]) as daemon:
            holder = Holder(self, daemon)
            (worker,) = daemon.worker_pids()
            os.kill(worker, signal.SIGSTOP)
            time.sleep(2)
            self.assertIsNone(holder.process.poll())
            os.kill(worker, signal.SIGCONT)
            for _ in range(20):
                holder.wait_for_call()


class Hostility(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon(BUILD, vms=[ALPHA], shms=[LOCAL])
        self.addCleanup(self.daemon.clean)
        self.daemon.start()
        self.bystander = Holder(self, self.daemon)

    def assert_nobody_else_noticed(self):
        for _ in range(5):
            self.bystander.wait_for_call()
        self.assertEqual(probe(self.daemon, "ping", "-e", "shm:local", "-n", "100").returncode, 0)
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_client_cannot_truncate_its_region(self):
        client = HostileClient(self, self.daemon)
        with self.assertRaises(OSError):
            os.ftruncate(client.region, 4096)
        self.assert_nobody_else_noticed()

    def test_a_client_that_punches_its_region_loses_its_worker_with_a_reason(self):
        client = HostileClient(self, self.daemon)
        client.claim_and_wait()
        client.punch()
        self.daemon.wait_for("lane of client .* ended: the region's header was destroyed")
        self.assert_nobody_else_noticed()

    def test_a_client_that_writes_garbage_loses_its_worker_with_a_reason(self):
        client = HostileClient(self, self.daemon)
        client.claim_and_wait()
        client.memory[CLAIM_OFFSET:CLAIM_OFFSET + 4096] = os.urandom(4096)
        self.daemon.wait_for("lane of client .* ended: protocol violation")
        self.assert_nobody_else_noticed()

    def test_a_client_that_says_nothing_is_sent_away(self):
        silent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(silent.close)
        silent.connect(str(self.daemon.runtime_dir / "local.sock"))
        silent.settimeout(PATIENCE)
        self.assertEqual(silent.recv(100), b"")
        self.assert_nobody_else_noticed()

    def test_many_that_say_nothing_are_refused_at_once(self):
        with Daemon(BUILD, shms=[{**LOCAL, "max_clients": 1}]) as daemon:
            path = str(daemon.runtime_dir / "local.sock")
            daemon.process.send_signal(signal.SIGSTOP)  # it accepts them later, one after another
            silent = []
            for _ in range(100):
                silent.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                self.addCleanup(silent[-1].close)
                silent[-1].connect(path)
            daemon.process.send_signal(signal.SIGCONT)
            silent[-1].settimeout(PATIENCE)
            self.assertIn(b"say nothing", silent[-1].recv(4096))
            self.assertEqual(silent[-1].recv(1), b"")  # and it hung up

    def test_a_client_that_sends_garbage_is_sent_away(self):
        for garbage in (b"", b"x", os.urandom(16), os.urandom(4000)):
            liar = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(liar.close)
            liar.connect(str(self.daemon.runtime_dir / "local.sock"))
            liar.send(garbage)
            liar.settimeout(PATIENCE)
            self.assertEqual(liar.recv(100), b"")
        self.assert_nobody_else_noticed()

    def test_a_region_file_that_is_cut_short_ends_its_worker_and_nothing_else(self):
        os.truncate(self.daemon.vms[0]["path"], 4096)
        self.daemon.wait_for("vm alpha: .*cut short")
        self.assert_nobody_else_noticed()


if __name__ == "__main__":
    unittest.main(verbosity=2)
