"""The README's program, built by a stranger against the installed package, talks to a worker."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from isthmus_host import Daemon

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
ROOT = Path(__file__).resolve().parents[2]

CMAKE = """cmake_minimum_required(VERSION 3.25)
project(stranger CXX)
find_package(isthmus REQUIRED)
add_executable(readme main.cpp)
target_link_libraries(readme PRIVATE isthmus::marshal)
"""


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def readme_program():
    (program,) = re.findall(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return program


class Package(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source = Path(folder.name) / "source"
        self.prefix = Path(folder.name) / "prefix"
        self.source.mkdir()
        (self.source / "main.cpp").write_text(readme_program())
        run("cmake", "--install", BUILD, "--prefix", self.prefix)

    def assert_it_works(self, program):
        with Daemon(BUILD, shms=[{"name": "local", "region_size": "16 MiB"}]) as daemon:
            output = run(program, "shm:local", env=daemon.environment)
        self.assertEqual(output, "the host hashed 1048576 bytes\n")

    def test_the_readme_program_builds_with_cmake_and_runs(self):
        (self.source / "CMakeLists.txt").write_text(CMAKE)
        run("cmake", "-S", self.source, "-B", self.source / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}",
            "-DCMAKE_CXX_STANDARD=23")
        run("cmake", "--build", self.source / "build")
        self.assert_it_works(self.source / "build/readme")

    def test_the_readme_program_builds_with_pkg_config_and_runs(self):
        environment = {**os.environ, "PKG_CONFIG_PATH": str(next(self.prefix.glob("lib*/**/pkgconfig")))}
        flags = run("pkg-config", "--cflags", "--libs", "isthmus", env=environment).split()
        run("g++", "-std=c++23", "-Wall", "-Wextra", "-Werror", self.source / "main.cpp", "-o", self.source / "readme",
            *flags)
        self.assert_it_works(self.source / "readme")

    def test_the_readme_program_is_as_short_as_it_says(self):
        code = [line for line in readme_program().splitlines() if line.strip() and not line.startswith("#include")]
        self.assertLessEqual(len(code), 20)


class TwoEnds(unittest.TestCase):
    def test_the_readmes_two_ends_find_each_other(self):
        (block,) = re.findall(r"^    cat > isthmusd.toml .*\n(?:    .*\n)+", (ROOT / "README.md").read_text(), re.MULTILINE)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "build").mkdir()
            (Path(folder) / "build/release").symlink_to(BUILD)
            # Not the machine's own runtime directory, and no second is waited for in vain.
            commands = re.sub("^    ", "", block, flags=re.MULTILINE)
            commands = commands.replace("<<END\n", f'<<END\nruntime_dir = "{folder}/run"\n')
            commands = commands.replace("sleep 1\n", f"until [ -S {folder}/run/local.sock ]; do sleep 0.02; done\n")
            said = run("timeout", "120", "bash", "-ec", f"trap 'kill %1' EXIT\n{commands}", cwd=folder,
                       env={**os.environ, "ISTHMUS_RUNTIME_DIR": f"{folder}/run"})
        self.assertRegex(said, r"rtt_p50_us [0-9.]+")


class Documentation(unittest.TestCase):
    def test_the_links_of_every_page_lead_to_something(self):
        pages = [page for page in ROOT.rglob("*.md") if not page.is_relative_to(ROOT / "build")]
        self.assertGreater(len(pages), 20)
        for page in pages:
            for link in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text()):
                with self.subTest(page=str(page.relative_to(ROOT)), link=link):
                    self.assertTrue((page.parent / link).exists(), "it leads nowhere")


if __name__ == "__main__":
    unittest.main(verbosity=2)
