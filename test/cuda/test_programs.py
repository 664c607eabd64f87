"""Unmodified CUDA programs, made by nvcc, over a stand-in for NVIDIA's driver: directly, and through daemon and worker."""

import os
import subprocess
import unittest

from cuda_host import (FRONTEND, LINKED_LATER, MUTANT, OUTPUT, PLUGIN, PROGRAMS, RUNTIME, STANDIN,
                       daemon_over_standin, folder_with, missing, printing, run)
from isthmus_host import PATIENCE

LOCAL = {"name": "local", "region_size": "64 MiB"}


class Cuda(unittest.TestCase):
    def needs(self, *files):
        reason = missing(PROGRAMS, STANDIN, RUNTIME, *files)
        if reason:
            self.skipTest(reason)

    def passes(self, program, environment, log=lambda: ""):
        result = run(program, environment)
        self.assertEqual((result.returncode, result.stdout), (0, OUTPUT[program]), f"{result.stderr}\n{log()}")


class OverTheStandIn(Cuda):
    """The runtime alone: it speaks to the stand-in as it would to NVIDIA's driver."""

    def environment(self, **more):
        self.needs()
        return {**os.environ, "LD_LIBRARY_PATH": str(folder_with(self, STANDIN, RUNTIME)), **more}

    def test_every_program_runs_without_isthmus(self):
        environment = self.environment()
        for program in OUTPUT:
            with self.subTest(program):
                self.passes(program, environment)

    def test_order_holds_where_the_device_dawdles(self):
        environment = self.environment(ISTHMUS_STANDIN_DELAY_US="300")
        for program in ("streams", "threads", "callbacks", "order", "graphs"):
            with self.subTest(program):
                self.passes(program, environment)

    def test_a_frontend_with_a_mistake_is_caught(self):
        self.needs(MUTANT)
        for mutant, program in (("lost_post", "streams"), ("lost_post", "order"), ("swapped_arguments", "streams"),
                                ("lost_wait", "order"), ("short_copy", "vector_add"), ("swapped_sides", "vector_add"),
                                ("lost_callback", "callbacks")):
            with self.subTest(mutant=mutant, program=program):
                environment = self.environment(ISTHMUS_STANDIN_DELAY_US="300", LD_PRELOAD=str(MUTANT), MUTANT=mutant)
                result = run(program, environment)
                self.assertNotEqual(result.returncode, 0, f"{program} says: {result.stdout}")


class ThroughTheWorker(Cuda):
    def host(self, **settings):
        self.needs(FRONTEND, PLUGIN)
        return daemon_over_standin(self, shms=[LOCAL], **settings)

    def environment(self, daemon, **more):
        return {**daemon.environment, "LD_LIBRARY_PATH": str(folder_with(self, FRONTEND, RUNTIME)),
                "ISTHMUS_ENDPOINT": "shm:local", "ISTHMUS_LOG": "1", **more}

    def all_pass(self, programs, daemon, **more):
        environment = self.environment(daemon, **more)
        for program in programs:
            with self.subTest(program):
                self.passes(program, environment, lambda: daemon.log)
        self.assertNotIn("protocol violation", daemon.log)

    def test_every_program_runs_through_the_worker(self):
        self.all_pass(OUTPUT, self.host())

    def test_a_program_of_ptx_alone_is_linked_as_it_starts(self):
        self.needs(LINKED_LATER)
        daemon = self.host()
        result = subprocess.run([LINKED_LATER], env=self.environment(daemon), capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual((result.returncode, result.stdout), (0, "linked later: 42, cudaSuccess\n"),
                         f"{result.stderr}\n{daemon.log}")

    def test_every_program_runs_where_waiting_threads_poll(self):
        self.all_pass(OUTPUT, self.host(ISTHMUS_STANDIN_DELAY_US="300"), ISTHMUS_CUDA_POLLERS="2")

    def test_every_program_runs_in_step(self):
        self.all_pass(OUTPUT, self.host(), ISTHMUS_SYNC="1")

    def test_what_kernels_print_keeps_its_place(self):
        daemon = self.host()
        for more in ({}, {"ISTHMUS_SYNC": "1"}, {"ISTHMUS_CUDA_POLLERS": "0"}):
            with self.subTest(more):
                # Longer than one message can carry.
                result = run("printing", self.environment(daemon, CUDA_PROGRAMS_LINES="3000", **more))
                self.assertEqual((result.returncode, result.stdout), (0, printing(3000)), f"{result.stderr}\n{daemon.log}")
        result = run("assertion", self.environment(daemon))
        self.assertIn("Assertion `value < most` failed.\n", result.stderr)
        self.assertEqual(result.stdout, OUTPUT["assertion"])

    def test_order_holds_through_the_worker(self):
        daemon = self.host(ISTHMUS_STANDIN_DELAY_US="300")
        self.all_pass(("streams", "threads", "callbacks", "order", "graphs"), daemon)

    def test_order_holds_where_twins_fall_behind_each_other(self):
        daemon = self.host(ISTHMUS_STANDIN_CALL_DELAY_US="200", ISTHMUS_STANDIN_DELAY_US="100")
        for threads in (2, 8):
            with self.subTest(threads=threads):
                # Many more by hand: CUDA_PROGRAMS_ROUNDS=1000000.
                rounds = os.environ.get("CUDA_PROGRAMS_ROUNDS", "400")
                result = run("order", self.environment(daemon, CUDA_PROGRAMS_THREADS=str(threads),
                                                       CUDA_PROGRAMS_ROUNDS=rounds), timeout=2 * PATIENCE + int(rounds))
                self.assertEqual((result.returncode, result.stdout),
                                 (0, f"order: {rounds} launches of {threads} threads in order\n"),
                                 f"{result.stderr}\n{daemon.log}")

    def test_a_mistake_is_caught_through_the_worker(self):
        self.needs(MUTANT)
        daemon = self.host(ISTHMUS_STANDIN_DELAY_US="300")
        for mutant, program in (("lost_post", "order"), ("swapped_arguments", "streams"), ("lost_wait", "order")):
            with self.subTest(mutant=mutant, program=program):
                result = run(program, self.environment(daemon, LD_PRELOAD=str(MUTANT), MUTANT=mutant))
                self.assertNotEqual(result.returncode, 0, f"{program} says: {result.stdout}")

    def test_without_a_daemon_a_program_is_told_that_there_is_no_device(self):
        self.needs(FRONTEND)
        environment = {**os.environ, "LD_LIBRARY_PATH": str(folder_with(self, FRONTEND, RUNTIME)),
                       "ISTHMUS_ENDPOINT": "shm:nobody", "ISTHMUS_RUNTIME_DIR": "/nonexistent"}
        result = run("vector_add", environment)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "no CUDA-capable device|initialization error")


if __name__ == "__main__":
    unittest.main(verbosity=2)
