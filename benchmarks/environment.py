"""What every benchmark prints first: machine, kernel, versions, commit, load."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import rchan


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("model name", "CPU part")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def commit() -> str:
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def compiler() -> str:
    done = subprocess.run(
        [os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()[0] if done.stdout else "none"


def describe() -> dict[str, str]:
    return {
        "cpu": f"{cpu_model()} x {len(os.sched_getaffinity(0))}",
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "rchan": f"{rchan.__version__} ({commit()})",
        "compiler": compiler(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def show(described: dict[str, str]) -> None:
    for name, value in described.items():
        print(f"  {name:10}{value}")
    print()
