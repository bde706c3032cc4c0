"""The main job on real input: record every token of the standard library, and count them.

Worker processes tokenize the source files of the running interpreter's standard library and
write a record for each token into a channel, while `rchan record` drains it to disk. Then a
checker reads the files: every token must be there exactly once, or counted as dropped.
"""

import os
import platform
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections import deque
from pathlib import Path
from shutil import rmtree
from statistics import median
from tempfile import mkdtemp
from time import perf_counter_ns

import rchan
from token_check import Check
from token_workers import file_records, library_files

ROOMY = ("--subbuf-size=1M", "--n-subbufs=12")
SMALL = ("--subbuf-size=512", "--n-subbufs=4")
LOOP_FILES = 20
LOOP_ROUNDS = 5


def record_command(options: Namespace, name: str, directory: Path) -> list[str]:
    """`rchan record … -- token_workers.py …`."""
    installed = Path(sys.executable).with_name("rchan")
    rchan_command = [str(installed)] if installed.exists() else [sys.executable, "-m", "rchan.cli"]
    workers = [sys.executable, str(Path(__file__).with_name("token_workers.py"))]
    workers += [f"--workers={options.workers}", f"--report={directory}"]
    if options.limit_files is not None:
        workers.append(f"--limit-files={options.limit_files}")
    geometry = SMALL if options.small else ROOMY
    create = ["--create", *geometry, f"--n-buffers={options.workers}"]
    return [*rchan_command, "record", *create, "-o", str(directory), name, "--", *workers]


def write_alone_ns() -> tuple[float, int]:
    """Nanoseconds of one `write` in a tight loop of real records; and of how many records."""
    records = []
    for number, path in enumerate(library_files(LOOP_FILES)):
        records += file_records(path, number, 0, len(records))
    rounds = []
    with rchan.create(f"loop-{os.getpid()}", subbuf_size=1 << 20, n_subbufs=16) as channel:
        for _ in range(LOOP_ROUNDS):
            start = perf_counter_ns()
            deque(map(channel.write, records), maxlen=0)
            rounds.append((perf_counter_ns() - start) / len(records))
            channel.reset()
        if channel.stats().total.dropped.records:
            raise SystemExit("the tight loop did not fit into its channel: its time means nothing")
    return median(rounds), len(records)


def table(check: Check) -> list[tuple[str, str, str, str]]:
    """What is printed: name, number, unit, remark."""
    recording, workers = check.recording, check.workers
    seconds = recording.seconds
    writing = sum(worker["writing_ns"] for worker in workers)
    working = sum(worker["total_ns"] for worker in workers)
    bad = sum(len(worker["untokenizable"]) for worker in workers)
    cut = sum(worker["cut"] for worker in workers)
    alone, loop = write_alone_ns()
    rows = [
        (
            "source files",
            f"{sum(worker['files'] for worker in workers):,}",
            "",
            f"{bad} do not tokenize",
        ),
        ("tokens", f"{check.attempted:,}", "", f"by {len(workers)} processes"),
        ("recorded", f"{check.recorded:,}", "records", f"{cut} with their text cut"),
        ("on disk", f"{recording.bytes / 1e6:,.1f}", "MB", f"in {len(recording.files)} files"),
        ("time", f"{seconds:,.2f}", "s", "start of the recorder to its end"),
        ("rate", f"{check.recorded / seconds:,.0f}", "records/s", "tokenizing included"),
        (
            "a write, in the run",
            f"{writing / max(1, check.attempted):,.0f}",
            "ns",
            f"{100 * writing / max(1, working):.1f} % of the workers' CPU time",
        ),
        ("a write, alone", f"{alone:,.0f}", "ns", f"tight loop, {loop:,} of these records"),
    ]
    for cause, count in recording.lost.items():
        rows.append((f"lost: {cause.replace('_', ' ')}", f"{count.records:,}", "records", ""))
    return rows


def show(rows: list[tuple[str, str, str, str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, number, unit, remark in rows:
        line = f"  {name:<{widths[0]}}  {number:>{widths[1]}} {unit:<{widths[2]}}  {remark}"
        print(line.rstrip())


def run(options: Namespace, directory: Path) -> int:
    name = f"tokens-{os.getpid()}"
    version = platform.python_version()
    print(f"Every token of the standard library of Python {version}:", flush=True)
    done = subprocess.run(record_command(options, name, directory), check=False)
    if done.returncode:
        print(f"rchan record failed with status {done.returncode}")
        return 1
    reports = [directory / f"worker-{number}.json" for number in range(options.workers)]
    check = Check(directory, name, reports)
    check.run()
    print()
    show(table(check))
    print()
    for complaint in check.complaints:
        print(f"  WRONG: {complaint}")
    print("not every token accounted for" if check.complaints else "every token accounted for")
    return int(bool(check.complaints))


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4, help="processes (default 4)")
    parser.add_argument("--limit-files", type=int, metavar="N", help="only the first N files")
    parser.add_argument("--small", action="store_true", help="tiny buffers: see losses counted")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="record into DIR, and keep it")
    options = parser.parse_args()
    if options.workers < 1 or (options.limit_files or 1) < 1:
        parser.error("--workers and --limit-files must be at least 1")
    if options.keep:
        options.keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        return run(options, options.keep)
    directory = Path(mkdtemp(prefix="rchan-demo-"))
    try:
        return run(options, directory)
    finally:
        rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
