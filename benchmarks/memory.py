"""What a channel takes in memory, and that it stays so: writes for T seconds without a reader.

    python benchmarks/memory.py [--seconds 10]

Bar: what was asked for (sub-buffers) + 64 KiB + 4 KiB a CPU; the writer's own memory constant."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import environment
import rchan

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


def measure(overwrite: bool, seconds: float) -> bool:
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
    print(f"{mode}: {count:,} writes in {seconds:g} s")
    print(f"  asked for {asked:,} bytes; bar {bound:,}; took {before:,} before, {after:,} after")
    print(f"  process's own memory: {before_own} KiB before, {after_own} KiB after")
    print(f"  {losses(total)}")
    good = after <= bound and after == before and after_own - before_own < 256
    print("  holds" if good else "  MISSED")
    return good


def losses(total: rchan.Stats) -> str:
    causes = ("overwritten", "dropped_full", "dropped_contended")
    counts = {cause: getattr(total, cause).records for cause in causes}
    return ", ".join(f"{count:,} {cause}" for cause, count in counts.items() if count)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0, help="writing time a mode")
    seconds = parser.parse_args().seconds
    environment.show()
    return 0 if all([measure(True, seconds), measure(False, seconds)]) else 1


if __name__ == "__main__":
    sys.exit(main())
