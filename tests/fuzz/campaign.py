"""Run the fuzz targets for so many seconds, in turns, and say what was done.

    python tests/fuzz/campaign.py SECONDS [NAME…] [--jobs N] [--turn SECONDS] [--build DIR]
        [--report FILE] [--keep] [--seed N]

NAME: a target, as fuzz_read; all if none is named. --jobs: so many run at a time, --turn: each for
so long (60) before others have theirs. The inputs found go to DIR/found/TARGET; the stored corpus
(tests/fuzz/corpus/TARGET) is where they start from.
--report adds executions and processor seconds to a JSON file, so that campaigns add up.
--keep stores the smallest set of inputs with the same coverage as the new corpus (of a target in
Python: all that brought new coverage).
"""

from __future__ import annotations

import argparse
import concurrent.futures
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
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
LONGEST = 256  # bytes of an input
# 120 seconds for one input: who was stopped for a while is not in an endless loop.
FLAGS = [
    f"-max_len={LONGEST}",
    "-timeout=120",
    "-rss_limit_mb=2048",
    "-print_final_stats=1",
    "-reduce_inputs=0",
]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
SLOW = re.compile(r"Test unit written to (\S*finding-\S*timeout-\w+)")
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


class Played(NamedTuple):
    """What one turn did."""

    executions: int
    seconds: float  # of processors
    finding: str  # what the target said of it; empty: there is none


def run(command: list[str]) -> tuple[int, str, float]:
    """Exit status, what it said, processor seconds."""
    with (
        tempfile.TemporaryDirectory(prefix="rchan-fuzz-", dir=MEMORY) as scratch,
        tempfile.TemporaryFile("w+", errors="replace") as said,
    ):
        environment = os.environ | {"RCHAN_FUZZ_DIR": scratch}
        process = subprocess.Popen(command, stderr=said, stdout=said, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return process.returncode, said.read(), used.ru_utime + used.ru_stime


def play(target: Path, seconds: int, build: Path) -> Played:
    found = build / "found" / target.stem
    found.mkdir(parents=True, exist_ok=True)
    prefix = f"{build}/finding-{target.stem}-"
    corpora = [str(found), *[str(path) for path in [stored(target)] if path.is_dir()]]
    limit = [f"-max_total_time={seconds}", f"-artifact_prefix={prefix}"]
    status, said, used = run([*command_of(target), *limit, *FLAGS, *corpora])
    count = EXECUTED.search(said)
    executions = int(count[1]) if count else 0
    slow = SLOW.search(said)
    if status and slow and not run([*command_of(target), *FLAGS, slow[1]])[0]:
        Path(slow[1]).unlink()  # who was stopped for a while took long: alone, it does not
        return Played(executions, used, "")
    finding = said[-8000:] if status or not count else ""
    return Played(executions, used, finding)


def add(report: Path, name: str, played: Played, corpus: int) -> None:
    values = json.loads(report.read_text("utf-8")) if report.is_file() else {}
    fresh = {"executions": 0, "seconds": 0.0, "inputs": 0, "findings": 0}
    entry = values.setdefault(name, fresh)
    entry["executions"] += played.executions
    entry["seconds"] = round(entry["seconds"] + played.seconds, 1)
    entry["inputs"] = corpus
    entry["findings"] += bool(played.finding)
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


def campaign(
    wanted: list[Path], seconds: int, longest: int, jobs: int, build: Path, report: Path
) -> int:
    """Turns until the time is up, each target once at least. The number of findings.

    longest: seconds of one target before the next has its turn."""
    share = max(1, min(longest, seconds * jobs // len(wanted)))
    end, turn, findings = time.monotonic() + seconds, 0, 0
    running: dict[concurrent.futures.Future[Played], Path] = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        while running or (not findings and (turn < len(wanted) or time.monotonic() < end)):
            while len(running) < jobs and not findings:
                if turn >= len(wanted) and time.monotonic() >= end:
                    break
                target = wanted[turn % len(wanted)]
                if target in running.values():
                    break
                running[pool.submit(play, target, share, build)] = target
                turn += 1
            done, _ = concurrent.futures.wait(running, return_when="FIRST_COMPLETED")
            for future in done:
                findings += tell(running.pop(future), future.result(), build, report)
    return findings


def tell(target: Path, played: Played, build: Path, report: Path) -> bool:
    """Print and store it. Was it a finding?"""
    inputs = len(list((build / "found" / target.stem).iterdir()))
    add(report, target.stem, played, inputs)
    print(
        f"{target.name:18} {played.executions:>12,} executions  {played.seconds:6.1f} s  "
        f"{inputs:6} inputs{'  A FINDING' * bool(played.finding)}",
        flush=True,
    )
    sys.stderr.write(played.finding)
    return bool(played.finding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=int)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--turn", type=int, default=60, metavar="SECONDS")
    parser.add_argument("--build", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--report", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--seed", type=int, help="the same inputs each time")
    options = parser.parse_intermixed_args()
    if options.seed is not None:
        FLAGS.append(f"-seed={options.seed}")
    there = targets(options.build)
    wanted = [path for path in there if not options.names or path.stem in options.names]
    if not wanted or {path.stem for path in wanted} < set(options.names):
        known = ", ".join(path.stem for path in there) or "none"
        raise SystemExit(f"no such fuzz target in {options.build}: there are {known}")
    report = options.report or options.build / "report.json"
    if campaign(wanted, options.seconds, options.turn, options.jobs, options.build, report):
        raise SystemExit("a finding, see above")
    if options.keep:
        for target in wanted:
            print(f"{target.name:18} {keep(target, options.build):6} inputs kept")


if __name__ == "__main__":
    main()
