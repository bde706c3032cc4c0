"""All benchmarks, one after another; exit status 1 if a bar was missed.

    python benchmarks/run.py [--full] [--runs N] [--only NAME…] [--results DIR]

Each writes DIR/NAME.json, of N runs the medians and the range of all. A run takes about seven
minutes, with --full an hour. At the end: does the README's table hold here, too? (`make bench-docs`
makes the documents' tables from benchmarks/results.)"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import rivals
import runs
import tables

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

# Name -> arguments, and those of a full run.
PROGRAMS: dict[str, tuple[str, str]] = {
    "write": ("", "--rounds 500"),
    "memory": ("--seconds 5", "--seconds 60"),
    "producing": ("--rounds 5", "--rounds 15 --sizes 64 256 1024 4096"),
    "read": ("--rounds 3 --count 2000000", "--rounds 9"),
    "latency": ("", "--rounds 15 --records 1000"),
    "wakeup": ("", "--rounds 100"),
    "snapshot": ("", "--rounds 25"),
    "kill": ("--rounds 5", "--rounds 25"),
    "record": ("--rounds 5", "--rounds 25"),
    "mount": ("--rounds 5", "--rounds 15"),
    "cli": ("--rounds 7", "--rounds 25"),
    "events": ("--rounds 25", "--rounds 200"),
    "decode": ("--rounds 3", "--rounds 9"),
    "logging_clients": ("--rounds 5 --loops 10000", "--rounds 25"),
    "growth": ("", "--full"),
}


RAW = ROOT / "build" / "bench-runs"  # of several runs, each by itself: RAW/1, RAW/2, …


def run(name: str, full: bool, directory: Path) -> bool:
    """Whether it came to an end; what it found is in directory."""
    arguments = PROGRAMS[name][full].split()
    result = directory / f"{name}.json"
    command = [sys.executable, HERE / f"{name}.py", *arguments, "--json", result]
    subprocess.run(command, check=False)
    return result.exists()


def missed(results: tables.Results) -> list[str]:
    return [
        f"{name}: {row['name']}"
        for name, each in results.items()
        for section in each["sections"]
        for row in section["rows"]
        if row["holds"] is False
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="more rounds, about an hour")
    parser.add_argument("--runs", type=int, default=1, help="of everything, one after another")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, metavar="NAME", help="only these")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "build" / "bench", help="where the JSON goes"
    )
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs takes a number from 1 on")
    for why in rivals.install().values():
        print(f"absent: {why}")
    shutil.rmtree(RAW, ignore_errors=True)
    stated, failed = tables.load(), []
    directories = [RAW / str(number) for number in range(1, options.runs + 1)]
    for directory in directories:
        directory.mkdir(parents=True)
        for name in options.only or PROGRAMS:
            print(f"== {name}" + f", run {directory.name}" * (options.runs > 1), flush=True)
            if not run(name, options.full, directory):
                failed.append(name)
    found = runs.merge(directories, options.results)
    print("\n".join(tables.compare(stated, found)))
    failed += missed(found)
    print(f"bars missed, or failed: {', '.join(failed)}" if failed else "all bars hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
