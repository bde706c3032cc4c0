"""All benchmarks, one after another; exit status 1 if a bar was missed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PROGRAMS = (
    "write.py",
    "memory.py",
    "read.py",
    "wakeup.py",
    "snapshot.py",
    "kill.py",
    "record.py",
    "mount.py",
    "cli.py",
    "events.py",
    "decode.py",
    "logging_clients.py",
)


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    here = Path(__file__).resolve().parent
    worst = 0
    for program in PROGRAMS:
        print(f"== {program}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, here / program], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
