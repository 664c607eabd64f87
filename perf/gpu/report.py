"""What ./run gpu found out: programs that agree or not, samples of both sides, and the table against the targets."""

import itertools
import statistics
from dataclasses import dataclass
from typing import Callable


COLD, WARM, LARGE = "gpu", "gpu-warm", "gpu-large"  # endpoints: no warm workers, some, none and a region times eight


@dataclass(frozen=True)
class Row:
    """One line of the table. `met` takes both medians; what is quoted is in the measurement's unit."""

    name: str
    what: str
    target: str
    met: Callable[[float, float], bool]
    measurement: str
    cpus: int = 0  # processors that the program may use; 0: all
    at_once: int = 1
    endpoint: str = COLD  # of Isthmus's side
    program: str = ""  # a built sample of NVIDIA's, measured as a whole; else cuda_micro with `measurement`
    whole: bool = False  # the process from its first call to its end, instead of what cuda_micro measures


def faster(name, what, share, measurement=None, **more):
    return Row(name, what, f">= {share} x native", lambda native, ours: ours >= share * native, measurement or name,
               **more)


def cheaper(name, what, share, measurement=None, **more):
    return Row(name, what, f"<= {share} x native", lambda native, ours: ours <= share * native, measurement or name,
               **more)


def given(name, what, measurement, **more):
    return Row(name, what, "given", lambda native, ours: True, measurement, **more)


def near(name, what, microseconds):
    return Row(name, what, f"<= native + {microseconds} us", lambda native, ours: ours <= native + microseconds, name)


def whole(name, what, **more):
    """A program from its first device call to its exit, by a library of our own (first_call.c)."""
    return cheaper(name, what, 1.05, more.pop("measurement", ""), whole=True, endpoint=WARM, **more)


# The targets of the project's table for an H100; what they are compared with is native in the same run.
ROWS = [
    faster("pinned_h2d_16m", "pinned H2D 16 MiB", 0.98),
    faster("pinned_d2h_16m", "pinned D2H 16 MiB", 0.98),
    faster("pinned_h2d_64m", "pinned H2D 64 MiB", 0.98),
    faster("pinned_d2h_64m", "pinned D2H 64 MiB", 0.98),
    faster("pageable_h2d_256m", "pageable H2D 256 MiB, 8 CPUs", 3, cpus=8),
    faster("pageable_d2h_256m", "pageable D2H 256 MiB, 8 CPUs", 3, cpus=8),
    given("pageable_h2d_256m_2", "pageable H2D 256 MiB, 2 CPUs", "pageable_h2d_256m", cpus=2),
    given("pageable_h2d_256m_1", "pageable H2D 256 MiB, 1 CPU", "pageable_h2d_256m", cpus=1),
    given("pageable_d2h_256m_2", "pageable D2H 256 MiB, 2 CPUs", "pageable_d2h_256m", cpus=2),
    given("pageable_d2h_256m_1", "pageable D2H 256 MiB, 1 CPU", "pageable_d2h_256m", cpus=1),
    cheaper("malloc_free_idle", "cudaMalloc+Free 1 MiB, idle", 0.1),
    cheaper("malloc_free_busy", "cudaMalloc+Free 1 MiB, busy", 0.1),
    cheaper("launch_cost", "launch, client's cost", 1),
    cheaper("launch_rate", "launch, of 100,000", 1.05),
    near("launch_sync", "launch + synchronise", 2),
    near("memcpy_4b_h2d", "cudaMemcpy 4 B H2D", 2),
    near("memcpy_4b_d2h", "cudaMemcpy 4 B D2H", 2),
    cheaper("stream_create_destroy", "cudaStreamCreate+Destroy", 1),
    cheaper("event_record", "cudaEventRecord", 1),
    cheaper("event_query", "cudaEventQuery", 1),
    Row("first_call", "first call, warm worker", "<= 20 ms", lambda native, ours: ours <= 20_000, "first_call",
        endpoint=WARM),
    cheaper("first_kernel", "start to first kernel, warm", 0.5, endpoint=WARM),
    cheaper("first_kernel_4", "the same, 4 at once", 0.5, "first_kernel", at_once=4, endpoint=WARM),
    whole("whole_histogram", "histogram, first call to exit", program="histogram"),
    whole("whole_matrix_mul", "matrixMul, first call to exit", program="matrixMul"),
    whole("whole_scalar_prod", "scalarProd, first call to exit", program="scalarProd"),
    whole("whole_launches", "300,000 launches, first call to exit", measurement="launch_rate"),
    whole("whole_small_copies", "300 copies of 4 B, first call to exit", measurement="memcpy_4b_d2h"),
    given("first_call_cold", "first call, cold", "first_call"),
    given("first_call_cold_large", "the same, 8 times the region", "first_call", endpoint=LARGE),
    given("first_kernel_cold", "start to first kernel, cold", "first_kernel"),
    given("first_kernel_4_cold", "the same, 4 at once", "first_kernel", at_once=4),
]
BY_NAME = {row.name: row for row in ROWS}


def number(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def first_difference(native, ours):
    for left, right in itertools.zip_longest(native.splitlines(), ours.splitlines(), fillvalue="(nothing)"):
        if left != right:
            return f"'{right[:100]}' instead of '{left[:100]}'"
    return "white space"


# How the verdict on a sample begins that says nothing of Isthmus.
LEFT_OUT = ("links ", "not built", "left out", "its CMakeLists.txt", "native fails", "native runs differ")


class Report:
    def __init__(self):
        self.programs = []
        self.samples = []
        self.vm = []
        self.vm_error = None
        self.notes = []
        self.failures = []
        self._samples = {}  # (row, side) -> for each process, its round and its list of samples
        self._units = {}
        self._cpu = {}
        self.devices = {}

    # --- taking in ---

    def add_program(self, program, native, ours):
        if native is None or ours is None:
            verdict = "left out: no time left"
        elif native.status != 0:
            verdict = f"native fails: {native.reason}"
        elif ours.status != native.status:
            verdict = f"FAILS: {ours.reason}"
        elif ours.stdout != native.stdout:
            verdict = f"FAILS: its output differs: {first_difference(native.stdout, ours.stdout)}"
        else:
            verdict = "same"
        self.programs.append({"program": program, "verdict": verdict,
                              "native": vars(native) if native else None, "isthmus": vars(ours) if ours else None})

    def add_sample(self, name, verdict, kind="runtime", outcomes=()):
        """`kind`: runtime or driver, whose interface it uses. What was said is kept where it is not the same."""
        entry = {"sample": name, "kind": kind, "verdict": verdict}
        if outcomes:
            entry["native_status"] = outcomes[0].status
        if verdict != "same":
            entry["outcomes"] = [vars(outcome) for outcome in outcomes]
        self.samples.append(entry)

    def add_vm(self, program, outcome):
        native = next((entry["native"] for entry in self.programs if entry["program"] == program), None)
        same = native is not None and (outcome.status, outcome.stdout) == (native["status"], native["stdout"])
        self.vm.append({"program": program, "verdict": "same" if same else f"FAILS: {outcome.reason}"})

    def vm_failed(self, reason):
        self.vm_error = reason

    def add_samples(self, row, side, answer, round_number):
        if not answer["samples"]:
            raise ValueError("no samples")
        self._samples.setdefault((row, side), []).append((round_number, answer["samples"]))
        self._units[row] = answer["unit"]
        if "device" in answer:
            self.devices[side] = answer["device"]
        if "cpu_seconds_per_gb" in answer:
            self._cpu.setdefault((row, side), []).append(answer["cpu_seconds_per_gb"])

    def add_failure(self, row, side, reason):
        self.failures.append({"row": row, "side": side, "reason": reason})

    # --- giving out ---

    def all_programs_agree(self):
        ran = [entry["verdict"] for entry in self.programs + self.vm]
        ran += [entry["verdict"] for entry in self.samples if not entry["verdict"].startswith(LEFT_OUT)]
        return bool(ran) and all(verdict == "same" for verdict in ran) and self.vm_error is None

    def count_of(self, kind):
        """How many samples of a kind do the same."""
        verdicts = [entry["verdict"] for entry in self.samples if entry["kind"] == kind]
        ran = [verdict for verdict in verdicts if not verdict.startswith(LEFT_OUT)]
        return f"{kind} samples: {ran.count('same')} of {len(ran)} the same; {len(verdicts) - len(ran)} left out"

    def quartiles(self, row, side):
        """Of all samples of a side: lower quartile, median, upper quartile; None without any."""
        pooled = sorted(sample for _, process in self._samples.get((row, side), []) for sample in process)
        if not pooled:
            return None
        if len(pooled) == 1:
            return pooled * 3
        low, middle, high = statistics.quantiles(pooled, n=4, method="inclusive")
        return [low, middle, high]

    def ratio(self, row):
        """Isthmus over native: the median of the rounds' ratios of medians."""
        native, ours = self._medians_of_rounds(row, "native"), self._medians_of_rounds(row, "isthmus")
        ratios = [ours[number] / native[number] for number in native.keys() & ours.keys()]
        return statistics.median(ratios) if ratios else None

    def _medians_of_rounds(self, row, side):
        rounds = {}
        for number, samples in self._samples.get((row, side), []):
            rounds.setdefault(number, []).extend(samples)
        return {number: statistics.median(samples) for number, samples in rounds.items()}

    def lines(self, judged):
        for row in ROWS:
            native, ours = self.quartiles(row.name, "native"), self.quartiles(row.name, "isthmus")
            if native is None and ours is None:
                continue
            cells = [row.what, self._units[row.name]]
            cells += [f"{number(q[1])} [{number(q[0])} {number(q[2])}]" if q else "-" for q in (native, ours)]
            if native and ours:
                verdict = "" if row.target == "given" or not judged else "met" if row.met(native[1], ours[1]) else "NOT MET"
                ratio = self.ratio(row.name)
                cells += ["-" if ratio is None else f"{ratio:.3f}", row.target, verdict]
            else:
                cells += ["-", row.target, "no answer"]
            yield cells

    def table(self, machine, label):
        said = [f"{machine['gpu'] or 'no GPU'}, driver {machine['driver']}, {machine['processor']} "
                f"x {machine['processors']}, commit {machine['commit']}, {machine['date']}"]
        if label:
            said = [label, *said]
        lines = list(self.lines(judged=not label))
        if lines:
            header = ["", "unit", "native [q1 q3]", "Isthmus [q1 q3]", "ratio", "target", ""]
            widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
            said += ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in [header, *lines]]
        for (row, side), values in sorted(self._cpu.items()):
            said.append(f"processor time of the client, {BY_NAME[row].what}, {side}: {statistics.median(values):.3f} s/GB")
        said += self.notes
        said += [f"program {entry['program']}: {entry['verdict']}" for entry in self.programs]
        if self.samples:
            said += [f"sample {entry['sample']} ({entry['kind']}): {entry['verdict']}" for entry in self.samples]
            said += [self.count_of(kind) for kind in ("runtime", "driver")]
        said += [f"in the VM, {entry['program']}: {entry['verdict']}" for entry in self.vm]
        if self.vm_error:
            said.append(f"in the VM: {self.vm_error}")
        seen = {}
        for failure in self.failures:
            key = (failure["row"], failure["side"], failure["reason"])
            seen[key] = seen.get(key, 0) + 1
        said += [f"no answer ({times} x): {row}, {side}: {reason}" for (row, side, reason), times in seen.items()]
        return "\n".join(said)

    def raw(self):
        rows = {}
        for row in ROWS:
            sides = {side: self._samples[row.name, side] for side in ("native", "isthmus")
                     if (row.name, side) in self._samples}
            if sides:
                rows[row.name] = {"what": row.what, "target": row.target, "unit": self._units[row.name],
                                  "ratio": self.ratio(row.name),
                                  "quartiles": {side: self.quartiles(row.name, side) for side in sides},
                                  "cpu_seconds_per_gb": {side: self._cpu[row.name, side] for side in sides
                                                         if (row.name, side) in self._cpu},
                                  "samples_of_each_process": sides}
        return {"devices": self.devices, "rows": rows, "notes": self.notes, "programs": self.programs,
                "cuda_samples": self.samples, "vm": self.vm,
                "vm_error": self.vm_error, "failures": self.failures}
