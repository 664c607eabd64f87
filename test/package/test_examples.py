"""The examples, built by a stranger against the installed package, each from a copy of its own folder, do what they say."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from isthmus_host import Daemon

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SAYS = {
    "own_driver": r"mean brightness after inverting: 55; a wild reference: status 1\n",
    "bulk": r"256 MiB through a region of 32 MiB without a copy; the sum is right\n",
    "event_loop": r"16 replies and [1-9]\d* ticks of a timer in one loop\n",
    "block_device": r"120 reads done, out of order; 8 timed out, 32768 bytes kept for them, 0 after the reset\n",
}


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600, **options)
    if result.returncode != 0:
        raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


class Examples(unittest.TestCase):
    def test_all_examples_build_out_of_the_tree_and_run(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run("cmake", "--install", BUILD, "--prefix", folder / "prefix")
            for example, says in SAYS.items():
                with self.subTest(example):
                    shutil.copytree(EXAMPLES / example, folder / example)
                    build = folder / f"build-{example}"
                    run("cmake", "-S", folder / example, "-B", build, f"-DCMAKE_PREFIX_PATH={folder / 'prefix'}",
                        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
                    run("cmake", "--build", build)
                    self.assertRegex(run(build / example), rf"\A{says}\Z")

    def test_the_plugin_builds_out_of_the_tree_and_a_worker_loads_it(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run("cmake", "--install", BUILD, "--prefix", folder / "prefix")
            shutil.copytree(EXAMPLES / "plugin", folder / "plugin")
            build = folder / "build"
            run("cmake", "-S", folder / "plugin", "-B", build, f"-DCMAKE_PREFIX_PATH={folder / 'prefix'}",
                "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
            run("cmake", "--build", build)
            local = {"name": "local", "region_size": "16 MiB", "plugins": ["thermometer"]}
            # Where docs/plugins.md says; any user must be able to read it, and a folder of tempfile's is for us alone.
            folder.chmod(0o755)
            plugins = folder / "prefix/lib/isthmus/plugins"
            plugins.mkdir(parents=True, exist_ok=True)  # a plug-in of ours may be in it
            shutil.copy(build / "isthmus-thermometer.so", plugins)
            (plugins / "isthmus-thermometer.so").chmod(0o644)
            settings = {"cache_dir": str(folder / "cache")}
            with Daemon(BUILD, shms=[local], prefix=folder / "prefix", settings=settings) as daemon:
                said = run(build / "thermometer", "shm:local", env=daemon.environment)
            self.assertEqual(said, "1000 readings, 21499 millidegrees on average\n")

    def test_no_example_is_left_out(self):
        folders = {entry.name for entry in EXAMPLES.iterdir() if (entry / "CMakeLists.txt").exists()}
        self.assertEqual(folders, set(SAYS) | {"plugin"})
        listed = re.findall(r"foreach\(example ([^)]*)\)", (EXAMPLES / "CMakeLists.txt").read_text())
        self.assertEqual(set(listed[0].split()), folders)


if __name__ == "__main__":
    unittest.main(verbosity=2)
