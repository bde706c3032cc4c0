"""What a channel takes in memory, and that it stays so: writes for T seconds without a reader.

    python benchmarks/memory.py [--seconds 10]

Bar: what was asked for (sub-buffers) + 64 KiB + 4 KiB a CPU; the writer's own memory constant."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import rchan
from ratios import Result, summary
from report import Report

RECORD = b"x" * 64


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    shared = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[2])
    return (pages - shared) * os.sysconf("SC_PAGE_SIZE") // 1024


def allocated(directory: str) -> int:
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(directory))


def write_for(channel: rchan.Channel, seconds: float) -> int:
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        for _ in range(100_000):
            channel.write(RECORD)
        count += 100_000
    return count


def measure(overwrite: bool, seconds: float) -> list[Result]:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
        rchan.create("memory", parent=parent, overwrite=overwrite) as channel,
    ):
        asked = channel.alloc_size * len(channel.buffers)
        bound = asked + 64 * 1024 + 4096 * len(channel.buffers)
        write_for(channel, 0.2)
        before, before_own = allocated(parent), resident_kib()
        count = write_for(channel, seconds)
        after, after_own = allocated(parent), resident_kib()
        total = channel.stats().total
    mode = "overwrite" if overwrite else "no-overwrite"
    extra = f"after {count:,} writes; {losses(total)}"
    own = after_own - before_own
    return [
        summary(f"memory, {mode}", [(asked, after)], bound / asked, extra),
        summary(f"the same, growth while writing, {mode}", [(before, after)], 1.0),
        summary(f"the writer's own, {mode}", [(before_own, after_own)], None, f"grew by {own} KiB"),
    ]


def losses(total: rchan.Stats) -> str:
    causes = ("overwritten", "dropped_full", "dropped_contended")
    counts = {cause: getattr(total, cause).records for cause in causes}
    return ", ".join(f"{count:,} {cause}" for cause, count in counts.items() if count)


def main() -> int:
    report = Report("memory", __doc__)
    parser = report.parser(rounds=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="writing time a mode")
    seconds = report.begin(parser).seconds
    rows = measure(True, seconds) + measure(False, seconds)
    bytes_rows = [row for row in rows if "own" not in row.name]
    own_rows = [row for row in rows if "own" in row.name]
    report.add(
        "Memory of a channel of 2 buffers", "what was asked for, or before", bytes_rows, "bytes"
    )
    report.add("Memory of the writer itself", "before", own_rows, "KiB")
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
