"""Run the fuzz targets for so many seconds, in turns, and say what was done.

    python tests/fuzz/campaign.py SECONDS [--build DIR] [--report FILE] [--keep]

The inputs found go to DIR/found/TARGET; the stored corpus (tests/fuzz/corpus/TARGET) is where they
start from. --report adds executions and seconds to a JSON file, so that campaigns add up.
--keep stores the smallest set of inputs with the same coverage as the new corpus (of a target in
Python: all that brought new coverage).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLICE = 60  # seconds of one target before the next has its turn
LONGEST = 256  # bytes of an input
FLAGS = [f"-max_len={LONGEST}", "-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1"]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
EXECUTED = re.compile(r"stat::number_of_executed_units: *(\d+)")


def targets(build: Path) -> list[Path]:
    folder = build / "tests/fuzz"
    made = sorted(path for path in folder.glob("fuzz_*") if path.is_file() and not path.suffix)
    if importlib.util.find_spec("atheris") and importlib.util.find_spec("rchan"):
        return [*made, *sorted(HERE.glob("fuzz_*.py"))]
    print("the targets in Python are left out: there is no atheris (pip install atheris)")
    return made


def command_of(target: Path) -> list[str]:
    return [sys.executable, str(target)] if target.suffix else [str(target)]


def stored(target: Path) -> Path:
    return HERE / "corpus" / target.stem.removeprefix("fuzz_")


def play(target: Path, seconds: int, build: Path) -> int:
    """Executions in that time; SystemExit if there is a finding."""
    found = build / "found" / target.stem
    found.mkdir(parents=True, exist_ok=True)
    command = [
        *command_of(target),
        f"-max_total_time={seconds}",
        f"-artifact_prefix={build}/finding-",
    ]
    with tempfile.TemporaryDirectory(prefix="rchan-fuzz-", dir=MEMORY) as scratch:
        done = subprocess.run(
            [*command, *FLAGS, str(found), *[str(p) for p in [stored(target)] if p.is_dir()]],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            env=os.environ | {"RCHAN_FUZZ_DIR": scratch},
        )
    count = EXECUTED.search(done.stderr)
    if done.returncode or not count:
        sys.stderr.write(done.stderr[-8000:])
        raise SystemExit(f"{target.name}: a finding (exit status {done.returncode}), see above")
    return int(count[1])


def add(report: Path, name: str, executions: int, seconds: float, corpus: int) -> None:
    values = json.loads(report.read_text("utf-8")) if report.is_file() else {}
    entry = values.setdefault(name, {"executions": 0, "seconds": 0.0, "inputs": 0})
    entry["executions"] += executions
    entry["seconds"] = round(entry["seconds"] + seconds, 1)
    entry["inputs"] = corpus
    report.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", "utf-8")


def keep(target: Path, build: Path) -> int:
    """The smallest set of inputs with all the coverage becomes the stored corpus.

    Of a target in Python it is all that were found: each had new coverage."""
    with tempfile.TemporaryDirectory() as smallest:
        folders = (build / "found" / target.stem, stored(target))
        sources = [str(folder) for folder in folders if folder.is_dir()]
        if target.suffix:  # a merge starts itself again, which a script cannot
            for source in sources:
                shutil.copytree(source, smallest, dirs_exist_ok=True)
        else:
            merge = ["-merge=1", "-use_counters=0", *FLAGS[:1], smallest, *sources]
            subprocess.run([str(target), *merge], check=True, capture_output=True)
        kept = {path.name: path.read_bytes() for path in stored(target).glob("finding-*")}
        shutil.rmtree(stored(target), ignore_errors=True)
        shutil.copytree(smallest, stored(target))
        for name, data in kept.items():
            (stored(target) / name).write_bytes(data)
    return len(list(stored(target).iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=int)
    parser.add_argument("--build", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--report", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    wanted = targets(options.build)
    if not wanted:
        raise SystemExit(f"no fuzz targets in {options.build}")
    report = options.report or options.build / "report.json"
    end = time.monotonic() + options.seconds
    share = max(1, min(SLICE, options.seconds // len(wanted)))
    turn = 0
    while turn < len(wanted) or time.monotonic() < end:
        target = wanted[turn % len(wanted)]
        began = time.monotonic()
        executions = play(target, share, options.build)
        took = time.monotonic() - began
        inputs = len(list((options.build / "found" / target.stem).iterdir()))
        add(report, target.stem, executions, took, inputs)
        print(
            f"{target.name:16} {executions:>12,} executions  {took:6.1f} s  {inputs:6} inputs",
            flush=True,
        )
        turn += 1
    if options.keep:
        for target in wanted:
            print(f"{target.name:16} {keep(target, options.build):6} inputs kept")


if __name__ == "__main__":
    main()
