"""A real guest's clients against isthmusd on the host: attaching, refusals, deaths."""

import os
import re
import signal
import struct
import tempfile
import time
import unittest
from pathlib import Path

from isthmus_host import PATIENCE, PROBE_PATIENCE, Daemon, beyond, in_time
from isthmus_vm import Region, Vm

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
PROGRAMS = [f"{BUILD}/guest/probe/isthmus-probe:/bin/isthmus-probe",
            f"{BUILD}/guest/guestd/isthmus-guestd:/bin/isthmus-guestd"]

ALPHA = {"name": "alpha", "region_size": "32 MiB", "lanes": 4}
BETA = {"name": "beta", "region_size": "16 MiB", "lanes": 1}

ABI_OFFSET = 8  # of the version word in abi::RegionHeader


def region_of(vm_config):
    size = vm_config["region_size"].replace(" ", "").replace("iB", "")
    return Region(vm_config["path"], size)


def endpoint_of(name):
    return f"-e 'ivshmem:auto?region={name}'"


class InVm(unittest.TestCase):
    """A boot takes longer than most of what a guest can show: each test is a guest, and its parts come one after the
    other. A part that fails is named, and the others go on."""

    def host(self, *vms):
        self.daemon = Daemon(BUILD, vms=vms)
        self.addCleanup(self.daemon.clean)
        self.daemon.start()

    def boot(self, *more_regions, **options):
        self.vm = Vm(regions=[*(region_of(vm) for vm in self.daemon.vms), *more_regions], copy=PROGRAMS, **options)
        self.addCleanup(self.vm.stop)
        self.vm.start()

    def run_parts(self, *parts):
        for part in parts:
            self.seen = len(self.daemon.log)
            with self.subTest(part.__name__):
                try:
                    part()
                except Exception as error:
                    error.add_note(f"isthmusd's log:\n{self.daemon.log}")
                    raise

    def logged(self, pattern, since=None):
        """Waits for a line that isthmusd writes in this part."""
        return self.daemon.wait_for(pattern, since=self.seen if since is None else since)

    def works(self, command="isthmus-probe ping -n 500"):
        if command.startswith("isthmus-probe"):
            command += f" {' '.join(PROBE_PATIENCE)}"
        result = self.vm.run(command, timeout=PATIENCE)
        self.assertEqual(result.status, 0, result.output)
        return result.stdout

    def refused(self, command, *words, within=1.0):
        """One clear line, a status that is not 0, in time: so many seconds more than what looks for nobody."""
        def attempt():
            took, result = beyond(lambda: self.vm.run("isthmus-probe info -e tcp:host", timeout=PATIENCE),
                                  lambda: self.vm.run(command, timeout=PATIENCE))
            self.assertEqual(result.status, 1, result.output)
            self.assertEqual(len(result.output.strip().splitlines()), 1, result.output)
            for word in words:
                self.assertIn(word, result.output)
            return took

        in_time(self, within, attempt)

    def hold(self, endpoint=""):
        """A client that calls until the part has ended, or somebody ends it."""
        holder = self.vm.spawn(f"isthmus-probe hold --interval 20 {endpoint} {' '.join(PROBE_PATIENCE)}")
        holder.wait_for_line("call 3$", timeout=PATIENCE)
        return holder

    def assert_it_goes_on(self, holder):
        last = int(re.findall(r"call (\d+)\n", holder.output)[-1])
        holder.wait_for_line(f"call {last + 10}$", timeout=PATIENCE)


class Clients(InVm):
    """What clients do, and what happens when one of them, or its worker, dies."""

    def test_clients_of_one_vm(self):
        self.host(ALPHA, BETA)
        header = bytearray(Path(self.daemon.vms[1]["path"]).read_bytes()[:4096])
        struct.pack_into("<I", header, ABI_OFFSET, 9)
        self.boot(self.file_with(b""), self.file_with(header))
        self.run_parts(self.calls_and_payloads_travel_to_the_host_and_back,
                       self.several_clients_have_lanes_of_their_own,
                       self.more_clients_than_lanes_are_told_so,
                       self.without_guestd_the_next_attach_finds_the_dead_client,
                       self.devices_are_told_apart_by_region_name_and_address,
                       self.a_device_that_is_no_region_and_one_of_another_abi_are_refused,
                       self.a_user_without_permission_is_told_of_the_file)
        self.vm.spawn(f"isthmus-guestd {endpoint_of('alpha')}")
        self.run_parts(self.a_killed_client_is_reported_within_a_second_and_the_next_attach_works,
                       self.a_killed_worker_is_reported_to_its_client_within_a_second,
                       self.a_vm_without_a_device_is_told_so)

    def file_with(self, content):
        """A device of 16 MiB that isthmusd does not serve."""
        file = tempfile.NamedTemporaryFile(prefix="isthmus-test-", dir="/dev/shm")
        self.addCleanup(file.close)
        file.write(content)
        file.truncate(16 << 20)
        return Region(file.name, "16M")

    def calls_and_payloads_travel_to_the_host_and_back(self):
        alpha = endpoint_of("alpha")
        self.assertIn("region alpha", self.works(f"isthmus-probe info {alpha}"))
        self.works(f"isthmus-probe ping -n 500 {alpha}")
        digest = self.vm.run("sha256sum /bin/isthmus-probe").stdout.split()[0]
        self.assertIn(f"sha256 {digest}", self.works(f"isthmus-probe hash /bin/isthmus-probe {alpha}"))
        self.assertIn("vm alpha: its VM has opened the region", self.daemon.log)

    def several_clients_have_lanes_of_their_own(self):
        holders = [self.hold(endpoint_of("alpha")) for _ in range(3)]
        self.assertIn("lane 3", self.works(f"isthmus-probe info {endpoint_of('alpha')}"))
        for holder in holders:
            self.assertIsNone(holder.status)
            holder.kill()

    def more_clients_than_lanes_are_told_so(self):
        self.holder_of_beta = self.hold(endpoint_of("beta"))
        self.refused(f"isthmus-probe info {endpoint_of('beta')}", "all 1 lanes are taken")

    def without_guestd_the_next_attach_finds_the_dead_client(self):
        self.holder_of_beta.kill()  # its lane, the only one, must come back before anybody can attach
        self.works(f"isthmus-probe ping -n 500 {endpoint_of('beta')}")
        self.logged("vm beta: lane 0 ended: the client is dead")

    def devices_are_told_apart_by_region_name_and_address(self):
        self.refused("isthmus-probe info", "region alpha", "region beta", "ivshmem:auto?region=NAME")
        for address, name in ((Vm.region_address(0), "alpha"), (Vm.region_address(1), "beta")):
            self.assertIn(f"region {name}", self.works(f"isthmus-probe info -e ivshmem:{address}"))
            self.assertIn(f"region {name}", self.works(f"isthmus-probe info {endpoint_of(name)}"))
        self.refused("isthmus-probe info -e ivshmem:0000:00:1e.7", "0000:00:1e.7", "no ivshmem device")

    def a_device_that_is_no_region_and_one_of_another_abi_are_refused(self):
        self.refused(f"isthmus-probe info -e ivshmem:{Vm.region_address(2)}", "no Isthmus region", "magic 0x0")
        self.refused(f"isthmus-probe info -e ivshmem:{Vm.region_address(3)}", "ABI 9", "ABI 0")

    def a_user_without_permission_is_told_of_the_file(self):
        result = self.vm.run(f"busybox su nobody -s /bin/sh -c '/bin/isthmus-probe info -e ivshmem:{Vm.region_address(0)}'")
        self.assertEqual(result.status, 1, result.output)
        self.assertIn("resource2", result.output)
        self.assertIn("run as root", result.output)

    def a_killed_client_is_reported_within_a_second_and_the_next_attach_works(self):
        def attempt():
            holder = self.hold(endpoint_of("alpha"))
            since = len(self.daemon.log)
            began = time.monotonic()
            holder.kill()
            self.logged(r"vm alpha: lane \d ended: the client is dead", since)
            took = time.monotonic() - began
            self.works(f"isthmus-probe ping -n 500 {endpoint_of('alpha')}")
            return took

        in_time(self, 1, attempt)

    def a_killed_worker_is_reported_to_its_client_within_a_second(self):
        def attempt():
            since = len(self.daemon.log)
            holder = self.hold(endpoint_of("alpha"))
            worker = int(self.logged(r"vm alpha: lane \d is served by worker (\d+)", since)[1])
            began = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            result = holder.wait(timeout=PATIENCE)
            took = time.monotonic() - began
            self.assertEqual(result.status, 1, result.output)
            self.assertIn("signal 9", result.output)
            self.works(f"isthmus-probe ping -n 500 {endpoint_of('alpha')}")
            return took

        in_time(self, 1, attempt)

    def a_vm_without_a_device_is_told_so(self):
        for index in range(4):
            self.works(f"echo 1 > /sys/bus/pci/devices/{Vm.region_address(index)}/remove")
        self.refused("isthmus-probe info", "no ivshmem device", "ivshmem-plain")
        self.refused("isthmus-probe info -e 'ivshmem:auto?region=alpha'", "no ivshmem device")


class Machines(InVm):
    """What happens to clients when the VM or isthmusd stops, ends or starts anew."""

    def test_a_vm_and_a_daemon_that_come_and_go(self):
        self.host({**BETA, "lanes": 2})
        self.boot()
        self.vm.spawn("isthmus-guestd")
        self.run_parts(self.a_stopped_client_keeps_its_lane_for_ten_seconds_and_goes_on,
                       self.a_vm_that_stands_still_for_ten_seconds_goes_on,
                       self.a_region_that_is_not_there_is_named,
                       self.a_daemon_that_has_ended_is_noticed_at_once_and_its_successor_is_used,
                       self.a_killed_daemon_is_noticed_and_its_successor_is_used,
                       self.after_a_reset_of_the_guest_the_old_lanes_end_and_new_ones_work,
                       self.a_killed_qemu_is_reported_within_a_second_and_the_next_vm_works)

    def a_stopped_client_keeps_its_lane_for_ten_seconds_and_goes_on(self):
        stopped = self.hold()
        self.holder = self.hold()
        stopped.signal(signal.SIGSTOP)
        time.sleep(10)
        self.refused("isthmus-probe info", "all 2 lanes are taken")
        stopped.signal(signal.SIGCONT)
        self.assert_it_goes_on(stopped)
        self.assertNotIn("ended", self.daemon.log)
        stopped.kill()
        self.logged("ended: the client is dead")

    def a_vm_that_stands_still_for_ten_seconds_goes_on(self):
        self.vm.pause()
        time.sleep(10)
        self.vm.resume()
        self.assert_it_goes_on(self.holder)
        self.assertNotIn("ended", self.daemon.log[self.seen:])

    def a_region_that_is_not_there_is_named(self):
        self.refused("isthmus-probe info -e 'ivshmem:auto?region=gamma'", "gamma", "no such region", "beta")

    def a_daemon_that_has_ended_is_noticed_at_once_and_its_successor_is_used(self):
        self.assertEqual(self.daemon.stop(), 0)
        self.assertEqual(self.holder.wait(timeout=PATIENCE).status, 1)
        self.assertTrue(Path(self.daemon.vms[0]["path"]).exists(), "a region that a VM holds must stay")
        self.refused("isthmus-probe info", "isthmusd on the host has ended")
        self.daemon.start()
        self.assertIn("adopted, its VM runs", self.daemon.log)
        self.works()

    def a_killed_daemon_is_noticed_and_its_successor_is_used(self):
        holder = self.hold()
        self.daemon.kill()
        result = holder.wait(timeout=PATIENCE)
        self.assertEqual(result.status, 1, result.output)
        self.assertIn("no sign of life", result.output)
        self.refused("isthmus-probe info", "is isthmusd running", within=4)
        self.daemon.start()
        self.works()

    def after_a_reset_of_the_guest_the_old_lanes_end_and_new_ones_work(self):
        self.hold()
        self.vm.reset()
        self.vm.spawn("isthmus-guestd")
        self.logged(r"lane \d ended: the client is dead")
        self.works()

    def a_killed_qemu_is_reported_within_a_second_and_the_next_vm_works(self):
        def attempt():
            self.hold()
            since = len(self.daemon.log)
            began = time.monotonic()
            self.vm.kill()
            self.logged("vm beta: its VM is gone", since)
            self.logged(r"lane \d ended", since)
            took = time.monotonic() - began
            self.boot()
            self.works()
            return took

        in_time(self, 1, attempt)


class OneProcessor(InVm):
    def test_one_virtual_processor_under_tcg_is_refused(self):
        self.host(BETA)
        self.boot(cpus=1, accel="tcg")
        self.refused("isthmus-probe info", "-smp 2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
