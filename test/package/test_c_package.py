"""Programs in C, built by a stranger against the installed shared library: one talks to a worker, the other, which is on
a page of the documentation, to one of its own."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from isthmus_host import Daemon

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
ROOT = Path(__file__).resolve().parents[2]

PROGRAM = r"""#include <isthmus/isthmus.h>
#include <stdio.h>

int main(void) {
  isthmus_lane* lane = NULL;
  isthmus_channel* channel = NULL;
  const isthmus_message echo = {
      .struct_size = sizeof echo, .api = 1, .opcode = 1, .trailing = "hello", .trailing_size = 6};
  isthmus_reply reply = {.struct_size = sizeof reply};
  char answer[6];
  if (isthmus_lane_attach("shm:local", NULL, &lane) != ISTHMUS_OK ||
      isthmus_lane_channel(lane, &channel) != ISTHMUS_OK ||
      isthmus_channel_call(channel, &echo, answer, sizeof answer, ISTHMUS_FOREVER, &reply) != ISTHMUS_OK) {
    fprintf(stderr, "%s\n", isthmus_last_error());
    return 1;
  }
  printf("%s from ABI %u\n", answer, isthmus_abi_version() >> 16);
  return isthmus_lane_detach(lane) == ISTHMUS_OK ? 0 : 1;
}
"""

CMAKE = """cmake_minimum_required(VERSION 3.25)
project(stranger C CXX)
find_package(isthmus REQUIRED)
add_executable(program main.c)
target_link_libraries(program PRIVATE isthmus::c)
"""


def program_of_the_page():
    (program,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs/c-api.md").read_text(), re.DOTALL)
    return program


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


class CPackage(unittest.TestCase):
    def test_a_c_program_builds_with_cmake_and_with_pkg_config_and_runs(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "main.c").write_text(PROGRAM)
            (folder / "CMakeLists.txt").write_text(CMAKE)
            run("cmake", "--install", BUILD, "--prefix", folder / "prefix")
            library = next((folder / "prefix").glob("lib*/**/libisthmus.so")).parent
            self.assertEqual(os.readlink(library / "libisthmus.so"), "libisthmus.so.0")

            run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={folder / 'prefix'}")
            run("cmake", "--build", folder / "build")

            environment = {**os.environ, "PKG_CONFIG_PATH": str(library / "pkgconfig")}
            flags = run("pkg-config", "--cflags", "--libs", "isthmus-c", env=environment).split()
            (folder / "page.c").write_text(program_of_the_page())
            for source, program in (("main.c", "program"), ("page.c", "page")):
                run("gcc", "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", folder / source, "-o",
                    folder / program, *flags)

            with Daemon(BUILD, shms=[{"name": "local", "region_size": "16 MiB"}]) as daemon:
                environment = {**daemon.environment, "LD_LIBRARY_PATH": str(library)}
                for program in (folder / "build/program", folder / "program"):
                    self.assertEqual(run(program, env=environment), "hello from ABI 0\n")
                self.assertEqual(run(folder / "page", env=environment), "status 0, first pixel 55\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
