"""NVIDIA's cuda-samples, from a checkout: which there are, how one is built, and whether two runs say the same."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUILD_TIMEOUT = 200
WAIVED = 2  # a sample's status where the device lacks what it shows
# What a sample may link besides the runtime and the driver. Others need libraries of NVIDIA's, or a display.
PLAIN = {"CUDA::cuda_driver", "CUDA::cudart", "CUDA::cudadevrt", "OpenMP::OpenMP_CXX", "Threads::Threads", "rt", "m", "dl"}
KEYWORDS = {"PUBLIC", "PRIVATE", "INTERFACE"}


class Sample:
    """One folder of the checkout that makes one program. `reason` says why it is left out, where it is."""

    def __init__(self, folder):
        self.folder = folder
        text = re.sub(r"#.*", "", (folder / "CMakeLists.txt").read_text())
        made = re.search(r"add_executable\(\s*(\S+)([^)]*)\)", text)
        self.name = made.group(1) if made else folder.name
        self.sources = [word for word in made.group(2).split() if word.endswith((".cu", ".cpp", ".c"))] if made else []
        linked = {word for group in re.findall(r"target_link_libraries\(\s*\S+([^)]*)\)", text)
                  for word in group.split()} - KEYWORDS
        self.libraries = linked & PLAIN
        self.relocatable = "CUDA_SEPARABLE_COMPILATION ON" in text
        fatbin = re.search(r"CUDA_FATBIN_FILE \"?[^\"\s]*?([A-Za-z0-9_]+\.fatbin)", text)
        kernel = re.search(r"CUDA_KERNEL_SOURCE \"?[^\"\s]*?([A-Za-z0-9_]+\.cu)\b", text)
        self.fatbin = (fatbin.group(1), kernel.group(1)) if fatbin and kernel else None
        self.reason = None
        if not self.sources:
            self.reason = "its CMakeLists.txt makes no program that can be told from it"
        elif linked - PLAIN:
            self.reason = f"links {' '.join(sorted(linked - PLAIN))}"

    def commands(self, nvcc, out):
        """What builds it into the folder `out`."""
        common = self.folder.parents[2] / "Common"
        flags = ["-std=c++17", "-O2", "-arch=sm_90", "--extended-lambda", "--threads", "1", f"-I{common}", f"-I{self.folder}"]
        link = ["--cudart", "shared", "-lm"]
        if self.relocatable:
            flags += ["-rdc=true"]
            link += ["-lcudadevrt"]
        if "OpenMP::OpenMP_CXX" in self.libraries:
            flags += ["-Xcompiler", "-fopenmp"]
        if "CUDA::cuda_driver" in self.libraries:
            link += [f"-L{stubs_of(nvcc)}", "-lcuda"]
        commands = [[nvcc, *flags, *(str(self.folder / source) for source in self.sources), "-o", str(out / self.name),
                     *link]]
        if self.fatbin:
            commands.append([nvcc, *flags, "-fatbin", str(self.folder / self.fatbin[1]), "-o", str(out / self.fatbin[0])])
        return commands

    def build(self, nvcc, out):
        """Makes it in its own folder below `out`; sets `reason` where that fails."""
        self.out = out / self.name
        self.out.mkdir(parents=True, exist_ok=True)
        for part in self.folder.iterdir():  # data, where the programs look for them
            if part.suffix not in (".cu", ".cpp", ".cuh", ".h", ".txt") and not (self.out / part.name).exists():
                (self.out / part.name).symlink_to(part.resolve())
        try:
            for command in self.commands(nvcc, self.out):
                done = subprocess.run(command, cwd=self.out, capture_output=True, text=True, timeout=BUILD_TIMEOUT)
                if done.returncode != 0:
                    said = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line or "undefined" in line]
                    self.reason = "not built: " + (said[0].strip()[:160] if said else f"status {done.returncode}")
                    return
        except (OSError, subprocess.TimeoutExpired) as error:
            self.reason = f"not built: {error}"

    @property
    def program(self):
        return self.out / self.name


def stubs_of(nvcc):
    top = Path(nvcc).resolve().parents[1]
    for folder in (top / "lib64/stubs", top / "targets/x86_64-linux/lib/stubs", top / "lib/stubs"):
        if (folder / "libcuda.so").exists():
            return folder
    return top / "lib64"


def find_samples(checkout):
    """All that the checkout has, by name."""
    found = [Sample(file.parent) for file in sorted((checkout / "Samples").glob("*/*/CMakeLists.txt"))]
    return sorted(found, key=lambda sample: sample.name.lower())


def build_all(samples, nvcc, out, jobs, until_left):
    """Builds all that are not left out, several at a time; `until_left` tells whether there is time for another."""
    def one(sample):
        if sample.reason is None and not until_left():
            sample.reason = "left out: no time left"
        if sample.reason is None:
            sample.build(nvcc, out)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, samples))


# --- what they say ---------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"[-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan|inf)")
# Numbers of time and speed are never the same, even where two runs happened to agree.
MEASURED = re.compile(r"\b(m?s(ec)?|us|msecs?|seconds?|[MG]B/s|[MG]iB/s|[GT]?[Ff]lops?(/s)?|GFLOPS|fps|MElements/s|"
                      r"[Tt]ime|[Tt]hroughput|[Bb]andwidth|[Ss]peed|elapsed|Msamples|Gflop)\b")


def pieces(line):
    return NUMBER.split(line), NUMBER.findall(line)


def first_odd_line(native, again, ours):
    """The first line in which `ours` differs from both native runs in more than those do from each other; None if there
    is none. Numbers that differ between the native runs, and those of lines that measure, are not compared."""
    left, other, right = native.splitlines(), again.splitlines(), ours.splitlines()
    if len(left) != len(other):
        return None  # its own runs do not say the same
    if len(left) != len(right):
        return f"{len(right)} lines instead of {len(left)}"
    for one, two, three in zip(left, other, right):
        if three in (one, two):
            continue
        (text, numbers), (text_again, numbers_again), (text_ours, numbers_ours) = pieces(one), pieces(two), pieces(three)
        if text != text_again or len(numbers) != len(numbers_again):
            continue
        if text_ours != text or len(numbers_ours) != len(numbers):
            return f"'{three[:100]}' instead of '{one[:100]}'"
        if not MEASURED.search(one) and any(c != a for a, b, c in zip(numbers, numbers_again, numbers_ours) if a == b):
            return f"'{three[:100]}' instead of '{one[:100]}'"
    return None


def verdict_on(native, again, ours):
    """Of three outcomes, two of them native."""
    if native.status != again.status:
        return f"native runs differ: {native.reason}; {again.reason}"
    if native.status not in (0, WAIVED):
        return f"native fails: {native.reason}"
    if ours.status != native.status:
        return f"FAILS: {ours.reason}; native: {native.reason}"
    odd = first_odd_line(native.stdout, again.stdout, ours.stdout)
    return "same" if odd is None else f"DIFFERS: {odd}"
