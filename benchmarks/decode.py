"""Decoding a trace into Arrow tables, against babeltrace2 decoding the same trace into nothing.

Both in CPU time, of all threads, user and system: neither waits for anything but the file.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rchan
from ratios import Result, summary
from rchan.events import ctf, read
from report import Report

BAR = 1 / 5  # of the time of `babeltrace2 -o dummy`


def write_trace(directory: Path, events: int) -> Path:
    """Two types of events, two buffers."""
    with tempfile.TemporaryDirectory(prefix="rchan-bench-", dir="/dev/shm") as channels:
        os.environ["RCHAN_DIR"] = channels
        with rchan.Tracer("decode", n_buffers=2, n_subbufs=1024) as trace:
            request = trace.event("request", user=rchan.u64, path=rchan.string, seconds=rchan.f64)
            tick = trace.event("tick", number=rchan.u32)
            for i in range(events // 2):
                request(i, "/index/page/0042", 0.25)
                tick(i % 2**32)
            found = ctf.write_trace(trace.channel, directory)
        rchan.remove("decode")
    return found


def children_ns() -> float:
    """CPU time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9


def ours(directory: Path, events: int) -> float:
    start = time.process_time_ns()
    with read(directory) as events_read:
        tables = events_read.tables()
    taken = time.process_time_ns() - start
    assert sum(found.num_rows for found in tables.values()) == events
    return taken / events


def babeltrace2(program: str, directory: Path, events: int) -> float:
    start = children_ns()
    subprocess.run([program, "-o", "dummy", str(directory)], check=True)
    return (children_ns() - start) / events


def start_of(program: str) -> float:
    """What it takes to start it and do nothing, in ns: not counted as decoding."""
    start = children_ns()
    subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL)
    return children_ns() - start


def rows(directory: Path, events: int) -> float:
    start = time.process_time_ns()
    with read(directory) as events_read:
        assert sum(1 for _ in events_read) == events
    return (time.process_time_ns() - start) / events


def measure(report: Report, directory: Path, events: int, rounds: int) -> list[Result]:
    program = shutil.which("babeltrace2")
    if program is None:
        report.lacks("babeltrace2", "not installed: nothing to compare with, nothing is measured")
        return []
    ours(directory, events)  # imports pyarrow
    columns, objects = [], []
    for _ in range(rounds):
        base = babeltrace2(program, directory, events) - start_of(program) / events
        columns.append((base, ours(directory, events)))
        objects.append((base, rows(directory, events)))
    best = sorted(base / own for base, own in columns)[rounds // 2]
    return [
        summary("read(DIR).tables()", columns, BAR, f"{best:.1f} times as fast"),
        summary("for event in read(DIR)", objects, None),
    ]


def main() -> int:
    report = Report("decode", __doc__)
    parser = report.parser(rounds=7)
    parser.add_argument("--events", type=int, default=400_000)
    options = report.begin(parser)
    with tempfile.TemporaryDirectory(prefix="rchan-bench-") as scratch:
        directory = write_trace(Path(scratch) / "trace", options.events)
        found = measure(report, directory, options.events, options.rounds)
    report.add(
        f"Decoding {options.events:,} events, CPU time of each",
        "babeltrace2 -o dummy, without its start",
        found,
    )
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
