"""NVIDIA's cuda-samples, from a checkout: which there are, how one is built, and whether two runs say the same."""

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUILD_TIMEOUT = 300
WAIVED = 2  # a sample's status where the device lacks what it shows
# What a sample may link besides the runtime: by what nvcc is told. Others need libraries of NVIDIA's, or a display.
PLAIN = {"CUDA::cudart": None, "CUDA::cudadevrt": None, "CUDA::cuda_driver": "-lcuda", "CUDA::nvrtc": "-lnvrtc",
         "OpenMP::OpenMP_CXX": "-lgomp", "Threads::Threads": "-lpthread", "pthread": "-lpthread", "rt": "-lrt", "m": "-lm",
         "dl": "-ldl", "socket": None}  # socket: named for QNX alone
KEYWORDS = {"PUBLIC", "PRIVATE", "INTERFACE"}
SOURCES = (".cu", ".cpp", ".c")
RECORD = "sample.json"  # beside a built program: its name, kind, and why it was not built


class Sample:
    """One folder of the checkout that makes one program. `kind` is "driver" where it links the driver's library, else
    "runtime". `reason` says why it is left out, where it is."""

    def __init__(self, folder):
        self.folder = folder
        self.text = re.sub(r"#.*", "", (folder / "CMakeLists.txt").read_text())
        made = re.search(r"add_executable\(\s*(\S+)([^)]*)\)", self.text)
        self.name = made.group(1) if made else folder.name
        self.sources = [word for word in made.group(2).split() if word.endswith(SOURCES)] if made else []
        self.libraries = {word for group in re.findall(r"target_link_libraries\(\s*\S+([^)]*)\)", self.text)
                          for word in group.split()} - KEYWORDS
        self.others = self.libraries - PLAIN.keys()
        self.kind = "driver" if "CUDA::cuda_driver" in self.libraries else "runtime"
        self.relocatable = "CUDA_SEPARABLE_COMPILATION ON" in self.text
        self.reason = None
        if not self.sources:
            self.reason = "its CMakeLists.txt makes no program that can be told from it"
        # Some name libraries of the toolkit that they do not use: the linker decides.
        elif not all(library.startswith("CUDA::") for library in self.others):
            self.reason = f"links {' '.join(sorted(self.others))}"

    def commands(self, nvcc, out):
        """What builds it into the folder `out`."""
        common = self.folder.parents[2] / "Common"
        flags = ["-std=c++17", "-O2", "-arch=sm_90", "--extended-lambda", "--threads", "1", f"-I{common}", f"-I{self.folder}",
                 f"-I{self.folder / 'inc'}"]
        link = ["--cudart", "shared", f"-L{stubs_of(nvcc)}", "-Xlinker", "--as-needed"]
        link += [word for library in sorted(self.libraries & PLAIN.keys()) if (word := PLAIN[library])]
        if self.relocatable:
            flags += ["-rdc=true"]
            link += ["-lcudadevrt"]
        if "OpenMP::OpenMP_CXX" in self.libraries:
            flags += ["-Xcompiler", "-fopenmp"]
        commands = [[nvcc, *flags, *(str(self.folder / source) for source in self.sources), "-o", str(out / self.name),
                     *link]]
        for form, arch in (("fatbin", ["-arch=sm_90"]), ("ptx", [])):  # kernels that the program loads from a file
            file = re.search(rf"CUDA_{form.upper()}_FILE \"?[^\"\s]*?(\w+\.{form})", self.text)
            kernel = re.search(r"CUDA_KERNEL_SOURCE \"?[^\"\s]*?(\w+\.cu)\b", self.text)
            if file and kernel:
                commands.append([nvcc, *arch, f"-I{common}", f"-{form}", str(self.folder / kernel.group(1)), "-o",
                                 str(out / file.group(1))])
        return commands

    def copy_data(self, nvcc, out):
        """What the programs look for beside themselves."""
        for part in self.folder.iterdir():
            if part.suffix not in (*SOURCES, ".cuh", ".h", ".txt", ".md", ".pdf"):
                copy(part, out / part.name)
        places = {"${CMAKE_CURRENT_SOURCE_DIR}": str(self.folder), "${CMAKE_CURRENT_BINARY_DIR}": str(out),
                  "${CUDA_INCLUDE_DIR}": str(Path(nvcc).resolve().parents[1] / "include")}
        for how, words in re.findall(r"-E copy(_directory|_if_different|)\s+([^)]*)\)", self.text):
            for variable, place in places.items():
                words = words.replace(variable, place)
            *sources, place = words.split()
            if "$" not in words:
                for source in map(Path, sources):
                    copy(source, Path(place) if how == "_directory" else Path(place) / source.name)

    def build(self, nvcc, out):
        """Makes it in its own folder below `out`; sets `reason` where that fails."""
        self.out = out / self.name
        self.out.mkdir(parents=True, exist_ok=True)
        self.copy_data(nvcc, self.out)
        try:
            for command in self.commands(nvcc, self.out):
                done = subprocess.run(command, cwd=self.out, capture_output=True, text=True, timeout=BUILD_TIMEOUT)
                if done.returncode != 0:
                    said = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line or "undefined" in line]
                    why = said[0].strip()[-160:] if said else f"status {done.returncode}"
                    self.reason = f"links {' '.join(sorted(self.others))}" if self.others else f"not built: {why}"
                    break
        except (OSError, subprocess.TimeoutExpired) as error:
            self.reason = f"not built: {error}"

    @property
    def program(self):
        return self.out / self.name

    def record(self, out):
        """Writes down what find_built reads."""
        (out / self.name).mkdir(parents=True, exist_ok=True)
        record = {"name": self.name, "kind": self.kind, "reason": self.reason}
        (out / self.name / RECORD).write_text(json.dumps(record) + "\n")


class BuiltSample:
    """One that was built elsewhere: what `Sample.record` wrote down."""

    def __init__(self, out):
        self.out = out
        record = json.loads((out / RECORD).read_text())
        self.name, self.kind, self.reason = record["name"], record["kind"], record["reason"]

    @property
    def program(self):
        return self.out / self.name


def copy(source, place):
    """A file or a folder, where there is one."""
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    elif source.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


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


def find_built(folder):
    """All that were built into a folder, by name; none where it is something else."""
    found = [BuiltSample(file.parent) for file in folder.glob(f"*/{RECORD}")]
    return sorted(found, key=lambda sample: sample.name.lower())


def build_all(samples, nvcc, out, jobs, until_left):
    """Builds all that are not left out, several at a time; `until_left` tells whether there is time for another."""
    def one(sample):
        if sample.reason is None and not until_left():
            sample.reason = "left out: no time left"
        if sample.reason is None:
            sample.build(nvcc, out)
        sample.record(out)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, samples))


# --- what they say ---------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"[-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan|inf)")
# Numbers of time and speed are never the same, even where two runs happened to agree.
MEASURED = re.compile(r"\b(m?s(ec)?|us|msecs?|seconds?|[MG]B/s|[MG]iB/s|[GT]?[Ff]lops?(/s)?|GFLOPS|fps|MElements/s|"
                      r"[Tt]ime|[Tt]hroughput|[Bb]andwidth|[Ss]peed|elapsed|Msamples|Gflop)\b")


def pieces(line):
    return NUMBER.split(line), NUMBER.findall(line)


def is_table_row(text):
    """Whether a line, without its numbers, is a row of a table: four numbers or more, and nothing to read."""
    return len(text) > 4 and not any(char.isalpha() for part in text for char in part)


def numbers_that_vary(left, other):
    """Of two native runs: for each text of a line, the places of numbers that are not the same in both, in some line. So
    what threads and blocks print in the order in which they happen to run varies in all of their lines."""
    vary = {}
    for one, two in zip(left, other):
        (text, numbers), (_, numbers_again) = pieces(one), pieces(two)
        vary.setdefault(tuple(text), set()).update(
            place for place, (a, b) in enumerate(zip(numbers, numbers_again)) if a != b)
    return vary


def first_odd_line(native, again, ours):
    """The first line in which `ours` differs from both native runs in more than those do from each other; None if there
    is none. Not compared: numbers that vary between the native runs, those of lines that measure, and rows of a table
    of which a number varies."""
    left, other, right = native.splitlines(), again.splitlines(), ours.splitlines()
    if len(left) != len(other):
        return None  # its own runs do not say the same
    if len(left) != len(right):
        return f"{len(right)} lines instead of {len(left)}"
    vary = numbers_that_vary(left, other)
    for one, two, three in zip(left, other, right):
        if three in (one, two):
            continue
        (text, numbers), (text_again, numbers_again), (text_ours, numbers_ours) = pieces(one), pieces(two), pieces(three)
        if text != text_again or len(numbers) != len(numbers_again):
            continue
        if text_ours != text or len(numbers_ours) != len(numbers):
            return f"'{three[:100]}' instead of '{one[:100]}'"
        varies = vary[tuple(text)]
        if MEASURED.search(one) or (varies and is_table_row(text)):
            continue
        if any(a != c for place, (a, c) in enumerate(zip(numbers, numbers_ours)) if place not in varies):
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
