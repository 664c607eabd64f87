"""What libcudart.so.13 shows to linkers and loaders, and what it does where there is no driver."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
SOURCE = Path(__file__).resolve().parents[2] / "guest/cudart"
OURS = BUILD / "guest/cudart/libcudart.so.13"
STANDIN = BUILD / "test/cuda/standin"
NO_DRIVER = BUILD / "guest/cudart/no_driver"  # a libcuda.so.1 without a single entry point
PROGRAMS = BUILD / "test/cuda/cuda_programs"


def listed(name):
    return (SOURCE / name).read_text().split()


def symbols(library, *options):
    lines = subprocess.run(["nm", "-D", *options, str(library)], capture_output=True, text=True, check=True).stdout
    return [line.split()[-2:] for line in lines.splitlines()]


def exported(library):
    """Names of functions, with their version nodes."""
    return sorted(name for kind, name in symbols(library, "--defined-only") if kind in "TWVi")


class Library(unittest.TestCase):
    def test_exports_every_listed_name_under_its_version_and_nothing_else(self):
        wanted = sorted(f"{name}@@libcudart.so.13" for name in listed("exports.txt"))
        self.assertEqual(len(wanted), 422)
        self.assertEqual(exported(OURS), wanted)

    def test_lists_every_name_of_the_toolkits_library(self):
        theirs = Path("/usr/local/cuda/targets/x86_64-linux/lib/libcudart.so.13")
        if not theirs.exists():
            self.skipTest(f"{theirs}: not there; the CUDA 13 toolkit is not installed")
        names = [name for name in exported(theirs) if name.endswith("@@libcudart.so.13")]
        self.assertEqual(exported(OURS), names)

    def test_refuses_only_what_its_list_and_its_page_name(self):
        refused = listed("not_supported.txt")
        self.assertLess(set(refused), set(listed("exports.txt")))
        page = (SOURCE.parents[1] / "docs/cudart.md").read_text()
        self.assertEqual([name for name in refused if f"`{name}`" not in page], [])

    def test_needs_no_entry_point_of_the_driver(self):
        driver = [(kind, name) for kind, name in symbols(OURS, "--undefined-only") if name.startswith("cu")]
        self.assertGreater(len(driver), 200)
        self.assertEqual([name for kind, name in driver if kind != "w"], [])

    def test_needs_only_the_driver_and_the_c_library(self):
        dynamic = subprocess.run(["readelf", "-d", str(OURS)], capture_output=True, text=True, check=True).stdout
        needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
        self.assertEqual(set(needed) - {"ld-linux-x86-64.so.2", "libm.so.6"}, {"libcuda.so.1", "libc.so.6"})
        self.assertNotRegex(dynamic, "RPATH|RUNPATH")
        self.assertRegex(dynamic, r"SONAME.*\[libcudart.so.13\]")

    def python(self, driver, code, **more):
        return subprocess.run([sys.executable, "-c", f"import ctypes\nrt = ctypes.CDLL({str(OURS)!r})\n{code}"],
                              env={**os.environ, "LD_LIBRARY_PATH": str(driver), **more}, capture_output=True,
                              text=True, timeout=120, check=True).stdout.split()

    def test_each_thread_has_a_device_of_its_own(self):
        code = """
import threading
number = ctypes.c_int(7)
first, second = ctypes.c_void_p(), ctypes.c_void_p()
attributes = (ctypes.c_byte * 256)()
def device():
    assert rt.cudaGetDevice(ctypes.byref(number)) == 0
    return number.value
def owner(address):
    assert rt.cudaPointerGetAttributes(attributes, address) == 0
    return ctypes.cast(attributes, ctypes.POINTER(ctypes.c_int))[1]
def elsewhere():
    print(device(), rt.cudaSetDevice(0), rt.cudaMalloc(ctypes.byref(first), 64), owner(first))
print(rt.cudaGetDeviceCount(ctypes.byref(number)), number.value)
print(rt.cudaSetDevice(1), device(), rt.cudaMalloc(ctypes.byref(second), 64), owner(second))
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
print(device(), rt.cudaSetDevice(2), device())
print(rt.cudaMemcpyPeer(first, 0, second, 1, ctypes.c_size_t(64)), rt.cudaDeviceEnablePeerAccess(0, 0),
      rt.cudaDeviceEnablePeerAccess(5, 0))
print(rt.cudaDeviceReset(), rt.cudaFree(second), rt.cudaFree(first))
"""
        self.assertEqual(self.python(STANDIN, code, ISTHMUS_STANDIN_DEVICES="2"),
                         "0 2  0 1 0 1  0 0 0 0  1 101 1  0 0 101  0 1 0".split())

    def test_a_child_of_a_process_that_used_the_device_is_told_so(self):
        code = """
import os
number = ctypes.c_int(7)
print(rt.cudaGetDeviceCount(ctypes.byref(number)), flush=True)
if os.fork() == 0:
    print(rt.cudaFree(None), rt.cudaDeviceSynchronize(), rt.cudaGetLastError(), flush=True)
    os._exit(0)
os.wait()
print(rt.cudaFree(None))
"""
        self.assertEqual(self.python(STANDIN, code), "0 3 3 3 0".split())

    def test_says_so_where_the_driver_has_no_entry_points(self):
        code = """
number = ctypes.c_int(7)
address = ctypes.c_void_p(7)
rt.cudaGetErrorName.restype = ctypes.c_char_p
rt.cudaGetErrorString.restype = ctypes.c_char_p
print(rt.cudaDriverGetVersion(ctypes.byref(number)), number.value)
print(rt.cudaGetDeviceCount(ctypes.byref(number)), number.value)
print(rt.cudaMalloc(ctypes.byref(address), 16), rt.cudaDeviceSynchronize(), rt.cudaGetLastError())
print(rt.cudaGetErrorName(35).decode(), rt.cudaGetErrorString(1).decode())
"""
        self.assertEqual(self.python(NO_DRIVER, code),
                         "0 0 35 0 35 35 35 cudaErrorInsufficientDriver cudaErrorInvalidValue".split())

    def test_every_refused_name_answers_not_supported(self):
        refused = [name for name in listed("not_supported.txt")]
        code = f"print(*[getattr(rt, name)() for name in {refused!r}], rt.cudaGetLastError())"
        self.assertEqual(self.python(STANDIN, code), ["801"] * (len(refused) + 1))


class Programs(unittest.TestCase):
    def test_runs_every_program_that_nvcc_linked_with_nvidias_library(self):
        if not PROGRAMS.exists():
            self.skipTest(f"{PROGRAMS}: not built, as there is no nvcc")
        environment = {**os.environ, "LD_LIBRARY_PATH": f"{OURS.parent}:{STANDIN}"}
        loaded = subprocess.run(["ldd", str(PROGRAMS)], env=environment, capture_output=True, text=True, check=True)
        self.assertIn(f"libcudart.so.13 => {OURS}", loaded.stdout)
        usage = subprocess.run([str(PROGRAMS)], env=environment, capture_output=True, text=True, check=False).stderr
        names = usage.partition("one of:")[2].split()
        self.assertGreater(len(names), 10)
        for name in names:
            result = subprocess.run([str(PROGRAMS), name], env=environment, capture_output=True, text=True,
                                    timeout=120, check=False)
            self.assertEqual(result.returncode, 0, f"{name}: {result.stdout}\n{result.stderr}")


if __name__ == "__main__":
    unittest.main()
