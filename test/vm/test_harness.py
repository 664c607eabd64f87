"""The harness's own tests. Each test is one ctest test, in a process of its own."""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from isthmus_host import PATIENCE, in_time, wait_until
from isthmus_vm import Region, Vm, VmDied, VmError, VmTimeout

RUN_IN_VM = Path(__file__).resolve().parent / "run_in_vm"
PROBE = Path(os.environ["ISTHMUS_BUILD_DIR"]) / "test/vm/vm_probe"
MIB = 1024 * 1024


def is_alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_qemu(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("qemu-")
    except OSError:
        return False


def qemus_of(pid):
    """The process's children that have become QEMU."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split() if is_qemu(child)]


class RegionFile:
    """A file for a region, gone at the end of the test."""

    def __init__(self, test, size):
        fd, self.path = tempfile.mkstemp(prefix="isthmus-test-", dir="/dev/shm")
        test.addCleanup(os.unlink, self.path)
        os.ftruncate(fd, size)
        os.close(fd)
        self.size = size

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def read(self, offset, length):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(length)


class OneGuest(unittest.TestCase):
    """What one guest can show, one after the other: a boot takes longer than most of it."""

    def test_a_guest_does_what_it_is_told(self):
        files = [RegionFile(self, 4 * MIB), RegionFile(self, 1 * MIB)]
        for i, file in enumerate(files):
            file.write(4096, f"from the host {i}".encode())
        vm = Vm(regions=[Region(file.path, file.size) for file in files], ports=["bench"],
                copy=[f"{PROBE}:/bin/vm_probe", "/usr/bin/sha256sum:/bin/hosts_sha256sum"])
        starter = threading.Thread(target=vm.start)  # which the machine outlives
        starter.start()
        starter.join()
        with vm:
            with self.subTest("two ivshmem devices share their files with the host"):
                self.share_files(vm, files)
            for part in (self.output_and_exit_status_come_back, self.long_output_arrives_whole_and_in_order,
                         self.commands_run_side_by_side, self.a_command_out_of_time_is_killed,
                         self.a_dynamic_program_brings_its_libraries, self.an_extra_serial_port_reaches_the_host,
                         self.the_guests_clock_keeps_the_hosts_pace, self.a_paused_machine_goes_on):
                with self.subTest(part.__name__):
                    part(vm)
            vm.pause()
            vm.stop()  # paused as it is
            self.assertFalse(is_alive(vm.pid))

    def share_files(self, vm, files):
        found = vm.run("cd /sys/bus/pci/devices; grep -l 0x1110 */device").stdout
        self.assertEqual(found, "".join(f"{Vm.region_address(i)}/device\n" for i in (0, 1)))
        for i, file in enumerate(files):
            device = f"/sys/bus/pci/devices/{Vm.region_address(i)}"
            self.assertEqual(vm.run(["cat", f"{device}/vendor"]).stdout, "0x1af4\n")
            self.assertEqual(vm.run(["stat", "-c", "%s", f"{device}/resource2"]).stdout, f"{file.size}\n")
            read = vm.run(["vm_probe", "read", f"{device}/resource2", "4096", "15"])
            self.assertEqual(read.output, f"from the host {i}")
            last = file.size - 16
            written = vm.run(["vm_probe", "write", f"{device}/resource2", str(last), f"from the guest {i}"])
            self.assertEqual((written.status, written.output), (0, ""))
            self.assertEqual(file.read(last, 16), f"from the guest {i}".encode())

    def output_and_exit_status_come_back(self, vm):
        result = vm.run("echo to stdout; echo to stderr >&2; exit 7")
        self.assertEqual((result.status, result.stdout, result.stderr), (7, "to stdout\n", "to stderr\n"))
        self.assertEqual(vm.run(["printf", "%s|", "two words", "$HOME", "'"]).stdout, "two words|$HOME|'|")
        self.assertEqual(vm.run("kill -SEGV $$").status, 128 + signal.SIGSEGV)
        self.assertEqual(vm.run(["/no/such/program"]).status, 127)

    def long_output_arrives_whole_and_in_order(self, vm):
        result = vm.run("seq 1 300000; echo done >&2")
        expected = "".join(f"{i}\n" for i in range(1, 300001))
        self.assertEqual(hashlib.md5(result.stdout.encode()).hexdigest(),
                         hashlib.md5(expected.encode()).hexdigest())
        self.assertEqual(result.stderr, "done\n")

    def commands_run_side_by_side(self, vm):
        first = vm.spawn("echo ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo went; exit 4")
        first.wait_for_line("^ready$", timeout=PATIENCE)
        self.assertIsNone(first.status)
        self.assertEqual(vm.run("touch /tmp/go").status, 0)
        first.wait_for_line("^went$", timeout=PATIENCE)
        self.assertEqual(first.wait(PATIENCE).status, 4)
        with self.assertRaisesRegex(VmError, "ended with status 4 and printed no line with 'more'"):
            first.wait_for_line("more", timeout=PATIENCE)

    def a_command_out_of_time_is_killed(self, vm):
        with self.assertRaisesRegex(VmTimeout, "'sleep 1234 | cat' has not ended after 0.5 s"):
            vm.run("sleep 1234 | cat", timeout=0.5)
        self.assertTrue(wait_until(lambda: vm.run(["pidof", "sleep"]).status == 1))

    def a_dynamic_program_brings_its_libraries(self, vm):
        result = vm.run("printf abc | hosts_sha256sum")
        self.assertEqual(result.output.split()[0], hashlib.sha256(b"abc").hexdigest())

    def an_extra_serial_port_reaches_the_host(self, vm):
        vm.ports["bench"].settimeout(PATIENCE)
        echo = vm.spawn("exec head -c 5 < /dev/virtio-ports/bench")
        vm.ports["bench"].sendall(b"hello")
        self.assertEqual(echo.wait(PATIENCE).stdout, "hello")
        self.assertEqual(vm.run("printf back > /dev/virtio-ports/bench").status, 0)
        self.assertEqual(vm.ports["bench"].recv(4), b"back")

    def the_guests_clock_keeps_the_hosts_pace(self, vm):
        # What a guest measures is worth nothing where its kernel misjudged the frequency of the TSC.
        def look():
            """The host's clock before the guest's, the guest's, and the host's after it: the closest of some looks."""
            looks = []
            for _ in range(5):
                before = time.monotonic()
                guest = float(vm.run("cat /proc/uptime").stdout.split()[0])
                looks.append((before, guest, time.monotonic()))
            return min(looks, key=lambda look: look[2] - look[0])

        first = look()
        time.sleep(3)
        last = look()
        elapsed = last[1] - first[1]
        self.assertGreater(elapsed, 0.95 * (last[0] - first[2]))
        self.assertLess(elapsed, 1.05 * (last[2] - first[0]))
        self.assertEqual(vm.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").stdout,
                         "tsc\n" if vm.accel == "tcg" else "kvm-clock\n")

    def a_paused_machine_goes_on(self, vm):
        counting = vm.spawn("i=0; while true; do echo $i; i=$((i + 1)); sleep 0.05; done")
        counting.wait_for_line("^5$", timeout=PATIENCE)
        vm.pause()

        def stands_still():  # once what was under way has arrived
            before = counting.output
            time.sleep(0.5)
            return counting.output == before

        self.assertTrue(wait_until(stands_still))
        vm.resume()
        last = int(counting.output.split()[-1])
        counting.wait_for_line(f"^{last + 3}$", timeout=PATIENCE)


class Life(unittest.TestCase):
    def test_a_region_that_qemu_refuses_is_reported_in_its_words(self):
        file = RegionFile(self, 3 * MIB)

        def attempt():
            began = time.monotonic()
            with self.assertRaisesRegex(VmError, "QEMU (ended|was killed)"):
                Vm(regions=[Region(file.path, file.size)]).start()
            return time.monotonic() - began

        in_time(self, 5, attempt)

    def test_a_guest_that_was_reset_takes_commands_again(self):
        with Vm() as vm:
            lost = vm.spawn("echo started; sleep 1000")
            lost.wait_for_line("started", timeout=PATIENCE)
            vm.run("touch /tmp/mark")
            vm.reset(timeout=PATIENCE)
            self.assertEqual(vm.boots, 2)
            with self.assertRaisesRegex(VmDied, "the guest was reset"):
                lost.wait(PATIENCE)
            self.assertEqual(vm.run("test -e /tmp/mark").status, 1)
            with self.assertRaisesRegex(VmDied, "the guest was reset"):
                vm.run("reboot -f", timeout=PATIENCE)  # by itself
            vm.wait_boot(3, timeout=PATIENCE)
            self.assertEqual(vm.run("echo again").output, "again\n")
            self.the_death_of_qemu_ends_what_waits_at_once(vm)

    def test_a_guest_that_does_not_come_up_is_reported_with_its_console(self):
        # An init that is not the agent, and idles: a kernel's panic would burn a processor until the time is up.
        for seconds in (8, 40, 200):  # a slow machine's kernel needs more to come so far
            with self.assertRaisesRegex(VmTimeout, rf"(?s)has not come up after {seconds} s.*console:.*stand at ") as late:
                Vm(kernel_args='rdinit=/bin/sh -- -c "echo no agent here; exec sleep 1000"').start(timeout=seconds)
            if "no agent here" in str(late.exception):
                return
        self.fail(str(late.exception))

    def the_death_of_qemu_ends_what_waits_at_once(self, vm):
        running = vm.spawn("sleep 1000")
        killer = threading.Timer(0.3, os.kill, (vm.pid, signal.SIGKILL))
        killer.start()
        began = time.monotonic()
        with self.assertRaisesRegex(VmDied, "QEMU was killed by SIGKILL"):
            running.wait(PATIENCE)
        self.assertLess(time.monotonic() - began, PATIENCE / 4)  # not when the patience is over
        with self.assertRaisesRegex(VmDied, "QEMU was killed by SIGKILL"):
            vm.run("true")


class CommandLine(unittest.TestCase):
    def start(self, *arguments):
        """run_in_vm with a folder for temporary files of its own, which must be empty at the end."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.temporary = Path(folder.name)
        process = subprocess.Popen([RUN_IN_VM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "TMPDIR": folder.name})
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def start_and_wait_until_it_runs(self, *timeouts):
        """With the first of these limits that leaves it the time to come up, for a machine that is slow."""
        for timeout in timeouts:
            process = self.start("--timeout", str(timeout), "--", "sh", "-c", "echo running; sleep 1000")
            said = process.stdout.readline()
            if said:
                break
        self.assertEqual(said, "running\n")
        self.qemus = qemus_of(process.pid)
        self.assertEqual(len(self.qemus), 1)
        return process

    def start_and_wait_until_it_boots(self):
        process = self.start("--", "sleep", "1000")
        self.assertTrue(wait_until(lambda: qemus_of(process.pid)))
        self.qemus = qemus_of(process.pid)
        return process

    def assert_nothing_left(self):
        for pid in self.qemus:
            self.assertTrue(wait_until(lambda: not is_alive(pid)), f"QEMU {pid} is left")
        self.assertEqual(list(self.temporary.iterdir()), [])

    def test_it_passes_on_output_and_exit_status(self):
        process = self.start("--timeout", str(PATIENCE), "--", "sh", "-c", "echo out; echo err >&2; exit 9")
        out, err = process.communicate(timeout=2 * PATIENCE)
        self.assertEqual((process.returncode, out), (9, "out\n"), err)
        lines = err.splitlines()
        self.assertRegex(lines[0], r"^vm: booting Linux \S+cloud-amd64 \((tcg|kvm), 2 CPUs")
        self.assertRegex(lines[1], r"^vm: up after [0-9.]+ s$")
        self.assertEqual(lines[2:], ["err"])

    def test_its_timeout_leaves_nothing_behind(self):
        process = self.start_and_wait_until_it_runs(12, 60, 200)
        _, err = process.communicate(timeout=2 * PATIENCE)
        self.assertEqual(process.returncode, 124, err)
        self.assertIn("has not ended after", err.splitlines()[-1])
        self.assert_nothing_left()

    def test_an_interrupt_leaves_nothing_behind(self):
        process = self.start_and_wait_until_it_boots()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 130)
        self.assert_nothing_left()

    def test_a_termination_leaves_nothing_behind(self):
        process = self.start_and_wait_until_it_runs(PATIENCE)
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 143)
        self.assert_nothing_left()

    def test_its_sigkill_leaves_nothing_behind(self):
        process = self.start_and_wait_until_it_boots()
        process.kill()
        process.wait(PATIENCE)
        self.assert_nothing_left()

    def test_a_missing_file_is_named(self):
        process = self.start("--copy", "/no/such/file:/bin/x", "--", "true")
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 125)
        self.assertEqual(err, "vm: /no/such/file: cannot be copied to /bin/x in the guest: No such file or directory; "
                              "is it built?\n")


if __name__ == "__main__":
    unittest.main(module=sys.modules[__name__], verbosity=2)
