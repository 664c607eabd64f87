"""Where the parts are that ./run gpu puts together: in a build folder, or in a bundle (packaging/bundle)."""

import ctypes.util
import os
import re
import subprocess
from pathlib import Path

RUNTIME_FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib", "/usr/lib/x86_64-linux-gnu")
DRIVER_FOLDERS = ("/usr/local/nvidia/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib")


class PartsError(Exception):
    """Something is not there; the text says what to do."""


class Parts:
    """Files, all of them there. `build` and `prefix` are what isthmus_host.Daemon takes."""

    def __init__(self, folder, arguments):
        self.build = folder
        self.prefix = folder if (folder / "sbin/isthmusd").exists() else None
        if self.prefix:
            self.plugin = self._there("lib/isthmus/plugins/isthmus-cuda.so")
            self.frontend = self._there("gpu/guest/libcuda.so.1")
            self.runtime = self._there("gpu/guest/libcudart.so.13")
            self.programs = self._there("gpu/cuda_programs")
            self.micro = self._there("gpu/cuda_micro")
            self.first_call = self._there("gpu/first_call.so")
        else:
            self._there("host/daemon/isthmusd", "isthmusd")
            self._there("host/worker/isthmus-worker", "isthmus-worker")
            self.plugin = self._there("src/gpu/cuda/isthmus-cuda.so", "isthmus-cuda")
            self.frontend = self._there("guest/cuda/libcuda.so.1", "isthmus_cuda_frontend")
            self.runtime = self._there("guest/cudart/libcudart.so.13", "isthmus_cudart")
            self.programs = self._there("test/cuda/cuda_programs", "cuda_programs_built")
            self.micro = self._there("perf/gpu/cuda_micro", "cuda_micro_built")
            self.first_call = self._there("perf/gpu/first_call.so", "first_call")
        if arguments.standin:
            self.driver = self._there("gpu/standin/libcuda.so.1" if self.prefix else "test/cuda/standin/libcuda.so.1",
                                      "isthmus_cuda_standin")
            self.native_runtime = self.runtime.parent if not self.prefix else self._runtime_alone()
        else:
            self.driver = arguments.driver or find_driver()
            self.native_runtime = arguments.native_runtime or find_runtime()

    def _there(self, path, target=None):
        file = self.build / path
        if not file.exists():
            how = f"; build the target {target}" if target else "; make the bundle again"
            raise PartsError(f"{file}: not there{how}")
        return file

    def _runtime_alone(self):
        return self._there("gpu/runtime/libcudart.so.13").parent


def find_driver():
    """NVIDIA's driver library. A stub for linking is none."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout
    found = [Path(path) for path in re.findall(r"libcuda\.so\.1 .*=> (\S+)", listed)]
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), *DRIVER_FOLDERS]
    found += [Path(folder) / "libcuda.so.1" for folder in folders if folder]
    for file in found:
        if file.exists() and "stubs" not in file.parts:
            return file.resolve().parent / "libcuda.so.1" if (file.resolve().parent / "libcuda.so.1").exists() else file
    raise PartsError("libcuda.so.1: NVIDIA's driver is not installed; give --driver FILE, or --standin for a try")


def find_runtime():
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), *RUNTIME_FOLDERS]
    for folder in folders:
        if folder and (Path(folder) / "libcudart.so.13").exists():
            return Path(folder)
    if ctypes.util.find_library("cudart"):
        return Path("/")  # the linker finds it by itself
    raise PartsError("libcudart.so.13: NVIDIA's runtime was not found; give --native-runtime FOLDER")
