"""A real guest's clients against isthmusd on the host: attaching, refusals, deaths."""

import os
import re
import signal
import struct
import time
import unittest
from pathlib import Path

from isthmus_host import Daemon
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


class InVm(unittest.TestCase):
    def host(self, *vms):
        daemon = Daemon(BUILD, vms=vms)
        self.addCleanup(daemon.clean)
        daemon.start()
        return daemon

    def guest(self, daemon, regions=None, **options):
        regions = [region_of(vm) for vm in daemon.vms] if regions is None else regions
        vm = Vm(regions=regions, copy=PROGRAMS, **options)
        self.addCleanup(vm.stop)
        return vm.start()

    def works(self, vm, command="isthmus-probe ping -n 500"):
        result = vm.run(command, timeout=30)
        self.assertEqual(result.status, 0, result.output)
        return result.stdout

    def refused(self, vm, command, *words, within=1.0):
        """One clear line, a status that is not 0, in time."""
        began = time.monotonic()
        result = vm.run(command, timeout=30)
        self.assertLess(time.monotonic() - began, within)
        self.assertEqual(result.status, 1, result.output)
        self.assertEqual(len(result.output.strip().splitlines()), 1, result.output)
        for word in words:
            self.assertIn(word, result.output)

    def hold(self, vm):
        holder = vm.spawn("isthmus-probe hold --interval 20")
        holder.wait_for_line("call 3$", timeout=20)
        return holder


class Calls(InVm):
    def test_calls_and_payloads_travel_from_a_vm_to_its_host_and_back(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        self.assertIn("region alpha", self.works(vm, "isthmus-probe info"))
        self.works(vm)
        digest = vm.run("sha256sum /bin/isthmus-probe").stdout.split()[0]
        self.assertIn(f"sha256 {digest}", self.works(vm, "isthmus-probe hash /bin/isthmus-probe"))
        self.assertIn("its VM has opened the region", daemon.log)

    def test_several_clients_of_one_vm_have_lanes_of_their_own(self):
        vm = self.guest(self.host(ALPHA))
        holders = [self.hold(vm) for _ in range(3)]
        self.assertIn("lane 3", self.works(vm, "isthmus-probe info"))
        for holder in holders:
            self.assertIsNone(holder.status)

    def test_more_clients_than_lanes_are_told_so(self):
        vm = self.guest(self.host(BETA))
        self.hold(vm)
        self.refused(vm, "isthmus-probe info", "all 1 lanes are taken")


class Refusals(InVm):
    def test_devices_are_told_apart_by_region_name_and_address(self):
        vm = self.guest(self.host(ALPHA, BETA))
        self.refused(vm, "isthmus-probe info", "region alpha", "region beta", "ivshmem:auto?region=NAME")
        for address, name in ((Vm.region_address(0), "alpha"), (Vm.region_address(1), "beta")):
            self.assertIn(f"region {name}", self.works(vm, f"isthmus-probe info -e ivshmem:{address}"))
            self.assertIn(f"region {name}", self.works(vm, f"isthmus-probe info -e 'ivshmem:auto?region={name}'"))
        self.refused(vm, "isthmus-probe info -e 'ivshmem:auto?region=gamma'", "gamma", "no such region")
        self.refused(vm, "isthmus-probe info -e ivshmem:0000:00:1e.7", "0000:00:1e.7", "no ivshmem device")

    def test_a_vm_without_a_device_is_told_so(self):
        vm = self.guest(None, regions=[])
        self.refused(vm, "isthmus-probe info", "no ivshmem device", "ivshmem-plain")

    def test_a_device_that_is_no_region_and_one_of_another_abi_are_refused(self):
        daemon = self.host(ALPHA, BETA)
        with open(daemon.vms[0]["path"], "r+b") as file:
            file.write(bytes(8))
        with open(daemon.vms[1]["path"], "r+b") as file:
            file.seek(ABI_OFFSET)
            file.write(struct.pack("<I", 9))
        vm = self.guest(daemon)
        self.refused(vm, f"isthmus-probe info -e ivshmem:{Vm.region_address(0)}", "no Isthmus region", "magic 0x0")
        self.refused(vm, f"isthmus-probe info -e ivshmem:{Vm.region_address(1)}", "ABI 9", "ABI 0")

    def test_a_user_without_permission_is_told_of_the_file(self):
        vm = self.guest(self.host(ALPHA))
        self.works(vm, "isthmus-probe info")
        result = vm.run("echo 'nobody:x:65534:65534::/:/bin/sh' > /etc/passwd 2>/dev/null || "
                        "{ mkdir -p /etc; echo 'nobody:x:65534:65534::/:/bin/sh' > /etc/passwd; }; "
                        "busybox su nobody -c '/bin/isthmus-probe info'")
        self.assertEqual(result.status, 1, result.output)
        self.assertIn("resource2", result.output)
        self.assertIn("run as root", result.output)

    def test_a_daemon_that_has_ended_is_noticed_at_once_and_its_successor_is_used(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        holder = self.hold(vm)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(holder.wait(timeout=3).status, 1)
        self.assertTrue(Path(daemon.vms[0]["path"]).exists(), "a region that a VM holds must stay")
        self.refused(vm, "isthmus-probe info", "isthmusd on the host has ended")
        daemon.start()
        self.assertIn("adopted, its VM runs", daemon.log)
        self.works(vm)

    def test_a_killed_daemon_is_noticed_and_its_successor_is_used(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        holder = self.hold(vm)
        daemon.kill()
        result = holder.wait(timeout=15)
        self.assertEqual(result.status, 1, result.output)
        self.assertIn("no sign of life", result.output)
        self.refused(vm, "isthmus-probe info", "is isthmusd running", within=4)
        daemon.start()
        self.works(vm)

    def test_one_virtual_processor_under_tcg_is_refused(self):
        vm = self.guest(self.host(ALPHA), cpus=1, accel="tcg")
        self.refused(vm, "isthmus-probe info", "-smp 2")


class Death(InVm):
    def test_a_killed_client_is_reported_within_a_second_and_the_next_attach_works(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        vm.spawn("isthmus-guestd")
        holder = self.hold(vm)
        holder.kill()
        daemon.wait_for("lane 0 ended: the client is dead", timeout=1)
        self.works(vm)

    def test_without_guestd_the_next_attach_finds_the_dead_client(self):
        daemon = self.host(BETA)  # one lane: it must come back before anybody can attach
        vm = self.guest(daemon)
        self.hold(vm).kill()
        self.works(vm)
        daemon.wait_for("lane 0 ended: the client is dead", timeout=1)

    def test_a_killed_worker_is_reported_to_its_client_within_a_second(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        holder = self.hold(vm)
        worker = int(re.search(r"lane 0 is served by worker (\d+)", daemon.log).group(1))
        os.kill(worker, signal.SIGKILL)
        result = holder.wait(timeout=1)
        self.assertEqual(result.status, 1, result.output)
        self.assertIn("signal 9", result.output)
        self.works(vm)

    def test_a_killed_qemu_is_reported_within_a_second_and_the_next_vm_works(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        self.hold(vm)
        vm.kill()
        daemon.wait_for("vm alpha: its VM is gone", timeout=1)
        daemon.wait_for("lane 0 ended", timeout=1)
        self.works(self.guest(daemon))

    def test_after_a_reset_of_the_guest_the_old_lanes_end_and_new_ones_work(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        self.hold(vm)
        vm.reset()
        vm.spawn("isthmus-guestd")
        daemon.wait_for("lane 0 ended: the client is dead", timeout=1)
        self.works(vm)

    def test_a_vm_that_stands_still_for_ten_seconds_goes_on(self):
        daemon = self.host(ALPHA)
        vm = self.guest(daemon)
        holder = self.hold(vm)
        vm.pause()
        time.sleep(10)
        vm.resume()
        before = len(holder.output)
        time.sleep(1)
        self.assertIsNone(holder.status, holder.output)
        self.assertGreater(len(holder.output), before)
        self.assertNotIn("ended", daemon.log)

    def test_a_stopped_client_keeps_its_lane_for_ten_seconds_and_goes_on(self):
        daemon = self.host(BETA)
        vm = self.guest(daemon)
        vm.spawn("isthmus-guestd")
        holder = self.hold(vm)
        holder.signal(signal.SIGSTOP)
        time.sleep(10)
        self.refused(vm, "isthmus-probe info", "all 1 lanes are taken")
        before = len(holder.output)
        holder.signal(signal.SIGCONT)
        time.sleep(1)
        self.assertIsNone(holder.status, holder.output)
        self.assertGreater(len(holder.output), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
