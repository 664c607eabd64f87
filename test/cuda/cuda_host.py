"""What the tests of the CUDA split driver have in common: where a build has its parts, and a daemon over the stand-in."""

import os
import subprocess
from pathlib import Path

from isthmus_host import PATIENCE, Daemon, folder_with

BUILD = Path(os.environ["ISTHMUS_BUILD_DIR"])
PROGRAMS = BUILD / "test/cuda/cuda_programs"
LINKED_LATER = BUILD / "test/cuda/cuda_linked_later"
STANDIN = BUILD / "test/cuda/standin/libcuda.so.1"
MUTANT = BUILD / "test/cuda/libmutant.so"
PLUGIN = BUILD / "src/gpu/cuda/isthmus-cuda.so"
FRONTEND = BUILD / "guest/cuda/libcuda.so.1"
RUNTIME = BUILD / "guest/cudart/libcudart.so.13"


def printing(many):
    """What the program `printing` prints, when CUDA_PROGRAMS_LINES says so many."""
    def lines(first, count):
        return "".join(f"kernel: line {i}, 0123456789012345678901234567890123456789\n" for i in range(first, first + count))
    return (f"before\n{lines(0, 2)}between\n{lines(2, 1)}a copy that is waited for\n{lines(3, 1)}"
            f"an event, and many lines\n{lines(4, many)}the device is reset\n{lines(4 + many, 1)}after\n")


# What each program of cuda_programs prints, on every device.
OUTPUT = {
    "vector_add": "vector_add: 50000 sums right, 42bc0ee2e5232e0\n",
    "matrix": "matrix: 96 x 96 product right, 9d8eff765a022cde\n",
    "parameters": "parameters: 1222\n",
    "errors": """copy to nothing: cudaErrorInvalidValue, then cudaErrorInvalidValue
copy in no direction: cudaErrorInvalidMemcpyDirection, then cudaErrorInvalidMemcpyDirection
a device that is not there: cudaErrorInvalidDevice, then cudaErrorInvalidDevice
too much memory: cudaErrorMemoryAllocation, then cudaErrorMemoryAllocation
a block too large: cudaErrorInvalidValue, then cudaErrorInvalidValue
no blocks: cudaErrorInvalidValue, then cudaErrorInvalidValue
too much shared memory: cudaErrorInvalidValue, then cudaErrorInvalidValue
memory freed: cudaSuccess, then cudaSuccess
memory freed again: cudaErrorInvalidValue, then cudaErrorInvalidValue
host memory freed that is none: cudaErrorInvalidValue, then cudaErrorInvalidValue
an event that is none: cudaErrorInvalidResourceHandle, then cudaErrorInvalidResourceHandle
all is well: cudaSuccess, then cudaSuccess
""",
    "streams": "streams: 4 streams right, d5abee2d955f3983\n",
    "threads": "threads: 6 of 6 right\n",
    "callbacks": "callbacks: 11 calls, last value 1023\n",
    "order": "order: 400 launches of 4 threads in order\n",
    "mapped": "mapped: 77\n",
    "registered": "registered: 80000 bytes there and back\n",
    "rows": "rows: 30 of 100 bytes, 7c341fa4426e8a5f\n",
    "by_address": "by_address: 4711\n",
    "managed_variable": "managed_variable: host and device change one variable\n",
    "managed": "managed: host and device write to one page\n",
    "ordinary": "ordinary: 1310720 numbers there and back\n",
    "symbols": "symbols: 2 calls, and across two files: right\n",
    "graphs": "graphs: captured and built: right\n",
    "printing": printing(20),
    "graph_nodes": """ordinary memory: 5 runs, 68
captured: 3 runs, 4
other nodes: 7
kernel: counter 3
kernel: counter 2
kernel: counter 1
conditional nodes: right
""",
    "assertion": "assertion: cudaErrorAssert\n",
}

def missing(*files):
    """Why a test that needs these cannot run; None where it can."""
    for file in files:
        if not file.exists():
            return f"{file.relative_to(BUILD)}: not built" + ("; install nvcc" if file == PROGRAMS else "")
    return None


def daemon_over_standin(test, *, vms=(), shms=(), **settings):
    """isthmusd whose workers take the stand-in for the driver; `settings` go into the workers' environment."""
    driver = folder_with(test, STANDIN) / STANDIN.name
    environment = [f"ISTHMUS_CUDA_DRIVER={driver}", *(f"{name}={value}" for name, value in settings.items())]
    common = {"plugins": ["cuda"], "environment": environment}
    daemon = Daemon(BUILD, vms=[{**vm, **common} for vm in vms], shms=[{**shm, **common} for shm in shms],
                    plugins=[PLUGIN])
    test.addCleanup(daemon.clean)
    return daemon.start()


def run(program, environment, timeout=PATIENCE):
    return subprocess.run([PROGRAMS, program], env=environment, capture_output=True, text=True, timeout=timeout)
