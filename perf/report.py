#!/usr/bin/env python3
"""Makes the table, summary.json and the plots from the JSON files that the benchmark programs wrote."""

import argparse
import datetime
import json
import re
import subprocess
import sys
from pathlib import Path

from svg_plot import Axis, decades, line_plot, steps

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"raw_one_line", "raw_two_lines", "raw_copy", "futex"}
PARTS = {"ring_alone", "ring_on_one_thread", "raw_lines"}  # of Isthmus itself, or of what it is made of: no rivals
KIB, MIB = 1024, 1024 * 1024


class Ratio:
    """A median with its quartiles."""

    def __init__(self, median, q1, q3):
        self.median, self.q1, self.q3 = median, q1, q3

    def inverse(self):
        return Ratio(1 / self.median, 1 / self.q3, 1 / self.q1)

    def __str__(self):
        digits = 2 if self.median < 100 else 0
        return f"{self.median:.{digits}f} [{self.q1:.{digits}f} {self.q3:.{digits}f}]"


class Measurement:
    """One entry of Google Benchmark's JSON."""

    def __init__(self, entry):
        self.entry = entry
        self.name = entry["name"].split("/iterations:")[0]
        self.group, _, self.rival = self.name.rpartition("/")
        self.label = entry.get("label", "")
        self.error = entry.get("error_message")

    def __getitem__(self, key):
        return self.entry[key]

    def __contains__(self, key):
        return key in self.entry

    def quartiles(self, key):
        return Ratio(self[key], self[key + "_q1"], self[key + "_q3"])

    @property
    def rival_over_ours(self):
        return self.quartiles("rival_over_ours")

    def percentiles(self, side):
        found = ((float(key.removeprefix(f"{side}_p")), value) for key, value in self.entry.items()
                 if key.startswith(f"{side}_p"))
        return sorted(found)


def load(folder):
    """All measurements by name, and what the programs said of the machine."""
    measurements, context = {}, {}
    for file in sorted(folder.glob("bench_*.json")):
        text = file.read_text()
        if not text.strip():
            continue  # a filter left nothing to this program
        content = json.loads(text)
        context.update(content["context"])
        for entry in content["benchmarks"]:
            if entry.get("run_type", "iteration") == "iteration":
                measurement = Measurement(entry)
                measurements[measurement.name] = measurement
    return measurements, context


def time_text(nanoseconds):
    for size, unit, digits in ((1e9, "s", 2), (1e6, "ms", 2), (1e4, "us", 1), (1e3, "ns", 0)):
        if nanoseconds >= size:
            return f"{nanoseconds / (1e3 if unit == 'us' else size if unit != 'ns' else 1):.{digits}f} {unit}"
    return f"{nanoseconds:.{0 if nanoseconds >= 100 else 1 if nanoseconds >= 10 else 2}f} ns"


def rate_text(nanoseconds):
    return f"{1e3 / nanoseconds:.1f} M/s"


def bandwidth_text(measurement, key):
    return f"{measurement['bytes'] / measurement[key]:.1f} GB/s"


# --- the table -------------------------------------------------------------------------------------------------------

class Table:
    """Rows of the summary: what, ours, best rival, ratio; limit, ratio."""

    HEADER = ("", "ours", "best rival", "rival/ours [q1 q3]", "limit", "ours/limit [q1 q3]")

    def __init__(self, measurements):
        self._all = measurements
        self.rows = []

    def group(self, name):
        return [m for m in self._all.values() if m.group == name and not m.error and "rival" in m]

    def best_rival(self, group):
        return min((m for m in self.group(group) if m.rival not in LIMITS | PARTS),
                   key=lambda m: m.rival_over_ours.median, default=None)

    def limit(self, group):
        return min((m for m in self.group(group) if m.rival in LIMITS),
                   key=lambda m: m.rival_over_ours.median, default=None)

    def add_group(self, what, group, text=time_text):
        rival, limit = self.best_rival(group), self.limit(group)
        if rival or limit:
            self.rows.append((what, text((rival or limit)["ours"]),
                              f"{rival.rival} {text(rival['rival'])}" if rival else "",
                              str(rival.rival_over_ours) if rival else "",
                              text(limit["rival"]) if limit else "",
                              str(limit.rival_over_ours.inverse()) if limit else ""))

    def usable(self, name):
        measurement = self._all.get(name)
        return measurement if measurement and not measurement.error else None

    def add_pair(self, what, name, rival_name, text=time_text):
        if m := self.usable(name):
            self.rows.append((what, text(m["ours"]), f"{rival_name} {text(m['rival'])}".strip(), str(m.rival_over_ours),
                              "", ""))

    def add_limit(self, what, name, text):
        if m := self.usable(name):
            self.rows.append((what, text(m, "ours"), "", "", text(m, "rival"), str(m.rival_over_ours.inverse())))

    def add_value(self, what, name, digits):
        if m := self.usable(name):
            self.rows.append((what, f"{m['value']:.{digits}f}", "", "", "", ""))

    def add_difference(self, what, name):
        if m := self.usable(name):
            value = m.quartiles("ours_minus_rival")
            self.rows.append((what, f"{value.median:.2f} ns [{value.q1:.2f} {value.q3:.2f}]", "", "", "", ""))

    def __str__(self):
        columns = list(zip(self.HEADER, *self.rows))
        widths = [max(map(len, column)) for column in columns]
        lines = []
        for row in (self.HEADER, *self.rows):
            lines.append("  ".join(cell.ljust(width) if i in (0, 2) else cell.rjust(width)
                                   for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
        lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join(lines)


def make_table(measurements):
    table = Table(measurements)
    table.add_group("call, 56 bytes each way", "rtt")
    table.add_group("call, 1 KiB in the message", "rtt_1k")
    table.add_group("call, 64 KiB by reference", "rtt_64k")
    for posts in (1, 4, 16):
        table.add_pair(f"call behind posts, {posts}", f"behind_posts/{posts}", "call alone")
    for batch in (1, 16, 256):
        table.add_group(f"stream, 56 bytes, batches of {batch}", f"stream/batch:{batch}", rate_text)
    if best := table.usable("stream/best_batch"):
        table.add_pair("stream, best batches", "stream/best_batch", best.label.split(", ")[-1], rate_text)
    table.add_group("stream, Channel::post", "stream/post", rate_text)
    for threads in (1, 2):
        for size in ("64KiB", "1MiB", "16MiB", "64MiB", "256MiB"):
            table.add_limit(f"bulk, {size}, threads: {threads}", f"bulk/threads:{threads}/{size}", bandwidth_text)
        table.add_limit(f"bulk, 64MiB in one frame, threads: {threads}", f"bulk_whole/threads:{threads}/64MiB",
                        bandwidth_text)
    for size in (256, 4096, 65536, 1048576):
        table.add_pair(f"slab, {size} bytes", f"slab/{size}", "malloc")
    table.add_difference("validation of a descriptor", "validation/copied")
    table.add_difference("validation and snapshot", "validation/in_place")
    for pause in ("10us", "1ms", "100ms"):
        table.add_group(f"call after a pause of {pause}", f"wake/{pause}")
    table.add_value("doorbells of 1000 posts in a stream", "doorbells/stream", 2)
    table.add_value("doorbells of 1000 calls, 20 us apart", "doorbells/think:20us", 2)
    table.add_value("idle, % of a processor", "idle", 3)
    table.add_pair("calls, 64 threads", "threads/64", "blocking only", rate_text)
    return table


# --- summary.json ----------------------------------------------------------------------------------------------------

def make_summary(measurements, context, table):
    summary = {}

    def put(key, ratio):
        summary[key], summary[key + "_q1"], summary[key + "_q3"] = ratio.median, ratio.q1, ratio.q3

    def put_ratio(key, measurement, inverse=False):
        if measurement and not measurement.error:
            put(key, measurement.rival_over_ours.inverse() if inverse else measurement.rival_over_ours)

    def named(name):
        return table.usable(name)

    # The stricter of the two limits: a line that goes to and fro, or one for each direction.
    put_ratio("call_rtt_over_raw_pingpong", table.limit("rtt"), inverse=True)
    put_ratio("call_rtt_over_raw_one_line", named("rtt/raw_one_line"), inverse=True)
    put_ratio("call_rtt_over_raw_two_lines", named("rtt/raw_two_lines"), inverse=True)
    put_ratio("call_rtt_over_ring_alone", named("rtt/ring_alone"), inverse=True)
    put_ratio("boost_spsc_rtt_over_call_rtt", named("rtt/boost_spsc_queue"))
    put_ratio("unix_socket_rtt_over_call_rtt", named("rtt/unix_socket"))
    put_ratio("throughput_batch1_over_best_rival", table.best_rival("stream/batch:1"))
    put_ratio("throughput_best_batch_over_best_rival", named("stream/best_batch"))
    put_ratio("throughput_batch256_over_raw_lines", named("stream/batch:256/raw_lines"))
    put_ratio("throughput_post_over_best_rival", table.best_rival("stream/post"))
    put_ratio("bulk_over_memcpy", named("bulk/threads:1/64MiB"))
    put_ratio("bulk_over_memcpy_2_threads", named("bulk/threads:2/64MiB"))
    put_ratio("bulk_whole_over_memcpy_in_pieces", named("bulk_whole/threads:1/64MiB"))
    put_ratio("calls_per_s_64_threads_over_blocking_only", named("threads/64"))
    for key, name in (("validation_ns_per_descriptor", "validation/copied"),
                      ("validation_and_snapshot_ns_per_descriptor", "validation/in_place")):
        if m := named(name):
            put(key, m.quartiles("ours_minus_rival"))
    for key, name in (("doorbells_per_1000_under_load", "doorbells/stream"),
                      ("doorbells_per_1000_calls_20us_apart", "doorbells/think:20us"), ("idle_cpu_percent", "idle")):
        if m := named(name):
            summary[key] = m["value"]

    for m in measurements.values():
        if not m.error and "rival" in m:
            flat = re.sub(r"[^A-Za-z0-9]+", "_", m.name)
            summary[flat + "_ours_ns"], summary[flat + "_rival_ns"] = m["ours"], m["rival"]
            summary[flat + "_rival_over_ours"] = m["rival_over_ours"]
    for key in ("processor", "placement", "kernel", "client_cpu", "host_cpu", "rounds", "quick"):
        summary[key] = context.get(key, "")
    for key, value in context.items():
        if key.startswith(("version ", "left out ")):
            summary[key.replace(" ", "_")] = value
    summary["date"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    summary["git_commit"] = git_commit()
    return summary


def git_commit():
    def git(*arguments):
        result = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
        return result.stdout.strip() if result.returncode == 0 else None
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return commit + ("" if git("status", "--porcelain") == "" else " with changes")


# --- plots -----------------------------------------------------------------------------------------------------------

def plot_latency(measurements, note):
    calls = [m for m in measurements.values() if m.group == "rtt" and not m.error and m.percentiles("ours")]
    if not calls:
        return None
    # Ours is measured beside each rival; the one beside the limit is as good as any.
    series = [("Isthmus call", calls[0].percentiles("ours"), False)]
    series += [(m.rival, m.percentiles("rival"), m.rival in LIMITS) for m in calls]
    series = [(name, [(time, percent) for percent, time in points], dashed) for name, points, dashed in series]
    times = [time for _, points, _ in series for time, _ in points]
    low, high = min(times) * 0.9, max(times) * 1.1
    return line_plot(
        "Round trip of 56 bytes: how many calls took no longer", note, "time of a call", "% of calls",
        lambda a, b: Axis(low, high, a, b, log=True, ticks=decades(low, high, lambda v: f"{v:g} ns" if v < 1e3 else
                                                                   f"{v / 1e3:g} us" if v < 1e6 else f"{v / 1e6:g} ms")),
        lambda a, b: Axis(0, 100, a, b, log=False, ticks=steps(0, 100, lambda v: f"{v:g}")), series)


def plot_throughput(measurements, note):
    series = []
    for threads in (1, 2):
        bulk = [m for m in measurements.values() if m.group == f"bulk/threads:{threads}" and not m.error]
        bulk.sort(key=lambda m: m["bytes"])
        if bulk:
            many = "1 thread" if threads == 1 else f"{threads} threads"
            series.append((f"Isthmus, {many}", [(m["bytes"], m["bytes"] / m["ours"]) for m in bulk], False))
            series.append((f"memcpy, {many}", [(m["bytes"], m["bytes"] / m["rival"]) for m in bulk], True))
    if not series:
        return None
    sizes = sorted({size for _, points, _ in series for size, _ in points})
    top = max(rate for _, points, _ in series for _, rate in points) * 1.1
    ticks = [(size, f"{size / MIB:g} MiB" if size >= MIB else f"{size / KIB:g} KiB") for size in sizes]
    return line_plot(
        "Bulk transfer to the host, which acknowledges without reading", note, "size", "GB/s",
        lambda a, b: Axis(sizes[0], max(sizes[-1], sizes[0] * 2), a, b, log=True, ticks=ticks),
        lambda a, b: Axis(0, top, a, b, log=False, ticks=steps(0, top, lambda v: f"{v:g}")), series)


# --- main ------------------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where bench_*.json are, and where the rest goes")
    folder = parser.parse_args().folder
    measurements, context = load(folder)
    if not measurements:
        print("report: no benchmark ran; see --benchmark_list_tests", file=sys.stderr)
        return 1
    table = make_table(measurements)
    summary = make_summary(measurements, context, table)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    note = f"{summary['processor']}; {summary['placement']}; medians of {summary['rounds']} rounds; {summary['date']}"
    for name, plot in (("latency", plot_latency), ("throughput", plot_throughput)):
        if svg := plot(measurements, note):
            (folder / f"{name}.svg").write_text(svg)

    print(f"\n{summary['processor']}, {summary['kernel']}\nclient on processor {summary['client_cpu']}, host on "
          f"{summary['host_cpu']}: {summary['placement']}\nmedians of {summary['rounds']} paired rounds, "
          f"[quartiles] of the rounds' ratios; commit {summary['git_commit']}\n")
    if table.rows:
        print(table)
    if summary["quick"] == "yes":
        print("\nA quick run: shows that everything works; its numbers mean nothing.")
    for key, value in summary.items():
        if key.startswith("left_out_"):
            print(f"left out: {value}")
    failed = [m for m in measurements.values() if m.error]
    for m in failed:
        print(f"failed: {m.name}: {m.error}")
    print(f"\nresults: {folder}/summary.json, bench_*.json, *.svg; how to read them: perf/README.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
