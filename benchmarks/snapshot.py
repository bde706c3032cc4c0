"""Cost of a snapshot: against a plain copy of the same bytes, and for a writer beside it.

    python benchmarks/snapshot.py [--rounds 9] [--mib 64]

Bars: `snapshot()` as a user calls it, again and again, and with memory of one's own, <= 1.5 x
memcpy of the same bytes into memory used before; the first of a process, into memory that the
kernel has to make, <= 1.5 x a copy to such memory (`bytes`); the CPU time of a write in another
process <= 1.05 x while snapshots are taken all the time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import repeat
from multiprocessing.connection import Connection

import rchan
from ratios import Result, Timer, compare, summary
from report import Report

RECORD = b"x" * 64
SUBBUF = 262144


def per_kib(act: Callable[[], object], size: int) -> Timer:
    """CPU ns per KiB; what `act` returns goes outside the measured time."""

    def once() -> float:
        start = time.process_time_ns()
        kept = act()
        taken = time.process_time_ns() - start
        del kept
        return taken / (size / 1024)

    once()
    return once


def copying(parent: str, rounds: int, size: int) -> tuple[list[Result], Result, str]:
    with rchan.create(
        "full", parent=parent, subbuf_size=SUBBUF, n_subbufs=size // SUBBUF, n_buffers=1
    ) as channel:
        while channel.write(RECORD):
            pass
        memory = channel.buffers[0].memory
        warm = bytearray(size)
        view = memoryview(warm)

        def memcpy() -> None:
            view[:] = memory

        pairs = [_first(memory, channel, size, number % 2) for number in range(rounds)]
        taken = channel.snapshot()
        lost = f"{taken.size >> 20} MiB, missed {taken.missed.records}"
        del taken
        again = compare(
            per_kib(memcpy, size),
            {
                "snapshot()": (per_kib(channel.snapshot, size), 1.5),
                "snapshot(into=m)": (per_kib(lambda: channel.snapshot(into=warm), size), 1.5),
            },
            rounds,
        )
        memory.release()
    first = summary("the first snapshot() of a process", pairs, 1.5)
    return again, first, f"Each snapshot: {lost}"


def _first(memory: memoryview, channel: rchan.Channel, size: int, turn: int) -> tuple[float, float]:
    """ns per KiB of bytes(memory) and of snapshot(), each in a new process, in turn the first."""
    fork = multiprocessing.get_context("fork")
    mine, its = fork.Pipe()

    def once(act: Callable[[], object]) -> None:
        start = time.process_time_ns()
        act()
        its.send((time.process_time_ns() - start) / (size / 1024))

    found = {}
    acts = {"bytes": lambda: bytes(memory), "snapshot": channel.snapshot}
    for name in sorted(acts, reverse=bool(turn)):
        process = fork.Process(target=once, args=(acts[name],))
        process.start()
        found[name] = mine.recv()
        process.join()
    return found["bytes"], found["snapshot"]


def _writer(parent: str, cpu: int, pipe: Connection) -> None:
    os.sched_setaffinity(0, {cpu})
    with rchan.open("live", parent=parent) as channel:
        write = channel.write
        while pipe.recv():
            before = time.process_time_ns()
            for _ in repeat(None, 1_000_000):
                write(RECORD)
            pipe.send((time.process_time_ns() - before) / 1_000_000)


def beside_a_writer(parent: str, rounds: int, size: int) -> Result:
    """Rounds in turn: alone, and with snapshots taken all the time on another CPU."""
    cpus = sorted(os.sched_getaffinity(0))
    mine, its = multiprocessing.Pipe()
    pairs, count, missed, taken = [], 0, 0, 0
    with rchan.create(
        "live",
        parent=parent,
        subbuf_size=SUBBUF,
        n_subbufs=size // SUBBUF,
        n_buffers=1,
        overwrite=True,
    ) as channel:
        process = multiprocessing.get_context("spawn").Process(
            target=_writer, args=(parent, cpus[-1], its)
        )
        process.start()
        os.sched_setaffinity(0, {cpus[0]})
        warm = bytearray(size)
        for number in range(rounds + 1):
            mine.send(True)
            alone: float = mine.recv()
            mine.send(True)
            while not mine.poll():
                snapshot = channel.snapshot(into=warm)
                count += 1
                missed += snapshot.missed.records
                taken += snapshot.records
                del snapshot
            if number:  # the first is for warming up
                pairs.append((alone, mine.recv()))
            else:
                mine.recv()
        mine.send(False)
        process.join()
        os.sched_setaffinity(0, cpus)
    extra = f"{count} snapshots, {taken:,} records, missed {missed:,}"
    return summary("write, snapshots all the time", pairs, 1.05, extra)


def main() -> int:
    report = Report("snapshot", __doc__)
    parser = report.parser(rounds=9)
    parser.add_argument("--mib", type=int, default=64, help="size of the buffer")
    given = report.begin(parser)
    size = given.mib << 20
    with tempfile.TemporaryDirectory(dir="/dev/shm") as parent:
        again, first, lost = copying(parent, given.rounds, size)
        writer = beside_a_writer(parent, given.rounds, size)
    report.add("A snapshot", "memcpy to memory used before", again, "ns/KiB")
    report.add("The first snapshot", "bytes(memory)", [first], "ns/KiB")
    report.add("A write of 64 bytes, CPU time", "nobody takes snapshots", [writer])
    report.note(lost)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
