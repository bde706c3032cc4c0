"""All benchmarks, one after another; exit status 1 if a bar was missed.

    python benchmarks/run.py [--full] [--only NAME…] [--results DIR]

Each writes DIR/NAME.json. About ten minutes, with --full an hour. At the end: does the README's
table hold here, too? (`make bench-docs` makes the documents' tables from benchmarks/results.)"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import rivals
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
    "wakeup": ("", "--rounds 25"),
    "snapshot": ("", "--rounds 25"),
    "kill": ("--rounds 5", "--rounds 25"),
    "record": ("--rounds 5", "--rounds 15"),
    "mount": ("--rounds 5", "--rounds 15"),
    "cli": ("--rounds 7", "--rounds 25"),
    "events": ("--rounds 25", "--rounds 200"),
    "decode": ("--rounds 3", "--rounds 9"),
    "logging_clients": ("--rounds 5 --loops 10000", "--rounds 25"),
    "growth": ("", "--full"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="more rounds, about an hour")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, metavar="NAME", help="only these")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "build" / "bench", help="where the JSON goes"
    )
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    for why in rivals.install().values():
        print(f"absent: {why}")
    failed = []
    for name in options.only or PROGRAMS:
        print(f"== {name}", flush=True)
        arguments = PROGRAMS[name][options.full].split()
        command = [sys.executable, HERE / f"{name}.py", *arguments]
        save = ["--json", options.results / f"{name}.json"]
        if subprocess.run([*command, *save], check=False).returncode:
            failed.append(name)
    print("\n".join(tables.compare(tables.load(), tables.load(options.results))))
    print(f"bars missed, or failed: {', '.join(failed)}" if failed else "all bars hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
