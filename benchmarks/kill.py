"""What other writers feel when a writer is killed: the 99.99th percentile of their writes in the
second after a kill -9, against a second in which that writer lives and sleeps.

    python benchmarks/kill.py [--rounds 9] [--seconds 1.0]

Bar: <= 2.0 x. The victim is killed in the middle of its writing; or (worse) with a reservation
open, so that its buffer's owner word names a dead process; in a channel of two buffers, and of one.
"""

from __future__ import annotations

import array
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection

import rchan
from ratios import Result, summary
from report import Report

RECORD = b"x" * 64
FORK = multiprocessing.get_context("fork")


def victim(channel: rchan.Channel, ends: str, ready: Connection) -> None:
    """ends: how it will be found: "asleep", "writing", or "holding" a reservation."""
    channel.write(RECORD)
    slot = channel.reserve(64) if ends == "holding" else None
    ready.send(None)
    while ends == "writing":
        for _ in range(50):
            channel.write(RECORD)
        time.sleep(0.0005)
    time.sleep(1000)
    del slot


def write_for(channel: rchan.Channel, seconds: float, signal_pid: int | None) -> float:
    """ns of the write that one of 10,000 exceeds. The victim dies when we begin."""
    times = array.array("q")
    write, clock, add = channel.write, time.perf_counter_ns, times.append
    if signal_pid is not None:
        os.kill(signal_pid, signal.SIGKILL)
    end = clock() + int(seconds * 1e9)
    now = clock()
    while now < end:
        write(RECORD)
        after = clock()
        add(after - now)
        now = clock()
    ordered = sorted(times)
    return float(ordered[int(len(ordered) * 0.9999)])


def second(channel: rchan.Channel, ends: str, seconds: float) -> float:
    """In this process: some time of writing beside a victim, which is killed unless it sleeps."""
    near, far = FORK.Pipe()
    process = FORK.Process(target=victim, args=(channel, ends, far), daemon=True)
    process.start()
    assert process.pid is not None
    near.recv()
    time.sleep(0.02)
    try:
        return write_for(channel, seconds, None if ends == "asleep" else process.pid)
    finally:
        process.kill()
        process.join()


def compare_with_kills(n_buffers: int, ends: str, rounds: int, seconds: float) -> Result:
    pairs = []
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
        rchan.create("kill", parent=parent, overwrite=True, n_buffers=n_buffers) as channel,
    ):
        for number in range(rounds):
            both = ("asleep", ends) if number % 2 else (ends, "asleep")
            measured = {how: second(channel, how, seconds) for how in both}
            pairs.append((measured["asleep"], measured[ends]))
        assert channel.stats().total.closes
    what = "with a reservation" if ends == "holding" else "while it writes"
    return summary(f"killed {what}, {n_buffers} buffer{'s' * (n_buffers > 1)}", pairs, 2.0)


def main() -> int:
    report = Report("kill", __doc__)
    parser = report.parser(rounds=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = report.begin(parser)
    results = [
        compare_with_kills(n_buffers, ends, options.rounds, options.seconds)
        for n_buffers in (2, 1)
        for ends in ("writing", "holding")
    ]
    report.add("p99.99 of a write in the second after a kill", "nobody killed", results)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
