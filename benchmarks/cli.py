"""How long the command takes to start, and what `rchan top` costs the writers that it watches.

python benchmarks/cli.py [--rounds 15] [--json FILE]
"""

from __future__ import annotations

import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from itertools import repeat
from multiprocessing.connection import Connection
from pathlib import Path

import rchan
from ratios import Result, Timer, compare, summary
from report import Report

RECORD = b"x" * 64
WRITES = 8_000_000  # in a round: long enough for several looks
INTERVAL = 0.1  # seconds between two looks: ten times as often as `rchan top` does by itself
RCHAN = Path(sys.executable).with_name("rchan")


def running(*command: str | Path) -> Timer:
    """Milliseconds that a process takes, from its start to its end."""

    def once() -> float:
        begin = time.perf_counter_ns()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return (time.perf_counter_ns() - begin) / 1e6

    once()
    return once


def starting(rounds: int) -> list[Result]:
    rchan.create("app", subbuf_size=4096).detach()
    rchan.create("flight", subbuf_size=4096, overwrite=True).detach()
    candidates = {
        "rchan --help": (running(RCHAN, "--help"), 5.0),
        "rchan ls, of two channels": (running(RCHAN, "ls"), 8.0),
        "rchan tail --help": (running(RCHAN, "tail", "--help"), None),
        "rchan stat app": (running(RCHAN, "stat", "app"), None),
        "completing a channel's name": (running(RCHAN, "_complete", "stat", "a"), None),
    }
    return compare(running(sys.executable, "-c", "pass"), candidates, rounds)


def writer(cpu: int, pipe: Connection) -> None:
    os.sched_setaffinity(0, {cpu})
    with rchan.open("flight") as channel:
        write = channel.write
        while pipe.recv():
            before = time.process_time_ns()
            for _ in repeat(None, WRITES):
                write(RECORD)
            pipe.send((time.process_time_ns() - before) / WRITES)


def swallow(terminal: int, told: list[int]) -> None:
    """Read what is drawn, so that the terminal is never full."""
    with suppress(OSError):
        while data := os.read(terminal, 65536):
            told[0] += len(data)


def watching(rounds: int) -> Result:
    """Rounds in turn: `rchan top` stopped, and looking on from another CPU."""
    cpus = sorted(os.sched_getaffinity(0))
    rchan.remove("flight")
    rchan.create("flight", subbuf_size=262144, n_buffers=1, overwrite=True).detach()
    ours, theirs = pty.openpty()
    drawn = [0]
    top = subprocess.Popen(
        ["taskset", "-c", str(cpus[0]), RCHAN, "top", "--interval", str(INTERVAL)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    threading.Thread(target=swallow, args=(ours, drawn), daemon=True).start()
    while drawn[0] < 2000:
        time.sleep(INTERVAL)
    mine, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=writer, args=(cpus[-1], its))
    process.start()
    pairs = []
    for number in range(rounds + 1):
        times = []
        for told in (signal.SIGSTOP, signal.SIGCONT):
            top.send_signal(told)
            mine.send(True)
            times.append(mine.recv())
        if number:  # the first is for warming up
            pairs.append((times[0], times[1]))
    mine.send(False)
    process.join()
    top.kill()
    top.wait()
    extra = f"{drawn[0]:,} bytes drawn"
    return summary(f"write, rchan top every {INTERVAL} s", pairs, 1.02, extra)


def main() -> int:
    report = Report("cli", __doc__)
    parser = report.parser(rounds=15)
    given = report.begin(parser)
    with tempfile.TemporaryDirectory(prefix="rchan-", dir="/dev/shm") as where:
        os.environ["RCHAN_DIR"] = where
        report.add("A command, from start to end", "python -c pass", starting(given.rounds), "ms")
        beside = [watching(given.rounds)]
        report.add("A write of 64 bytes, CPU time", "rchan top is stopped", beside)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
