"""Cost of a write: against an empty C call, over processes, refused, disabled, reserved, and in C.

    python benchmarks/write.py [--rounds 75] [--loops 20000] [--json FILE]

Times are CPU time: a write never sleeps, so nobody else's work is in it. Many short rounds: few
of them are disturbed.

Every bar is one of the project's "must reach" figures; a missed one makes the exit status 1."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from multiprocessing.connection import Connection
from pathlib import Path

import native
import rchan
from ratios import Result, Timer, compare, summary
from report import Report

RECORD = b"x" * 64


def _loop(call: Callable[[bytes], object], data: bytes, steps: repeat[None]) -> None:
    for _ in steps:
        call(data)


def _with_reserve(reserve: Callable[[int], object], length: int, steps: repeat[None]) -> None:
    for _ in steps:
        with reserve(length):  # type: ignore[attr-defined]
            pass


def _with_empty(empty: object, length: int, steps: repeat[None]) -> None:
    for _ in steps:
        with empty:  # type: ignore[attr-defined]
            pass


def timer(loop: Callable[..., None], subject: object, argument: object, loops: int) -> Timer:
    """CPU ns per step. A copy of the code each: the interpreter specialises it for one callee."""
    own = types.FunctionType(loop.__code__.replace(), loop.__globals__)

    def once() -> float:
        start = time.process_time_ns()
        own(subject, argument, repeat(None, loops))
        return (time.process_time_ns() - start) / loops

    once()
    return once


def losses(channel: rchan.Channel) -> str:
    total = channel.stats().total
    causes = ("overwritten", "discarded", "dropped_full", "dropped_contended")
    counts = {cause: getattr(total, cause).records for cause in causes}
    named = ", ".join(f"{count:,} {cause}" for cause, count in counts.items() if count)
    return f"{total.attempted.records:,} writes, {named or 'nothing lost'}"


def one_process(parent: str, rounds: int, loops: int) -> list[Result]:
    base = timer(_loop, len, RECORD, loops)
    flight = rchan.create("flight", parent=parent, overwrite=True)
    roomy = rchan.create("roomy", parent=parent)
    batch = roomy.alloc_size // len(RECORD) - 1
    accepted = timer(_loop, roomy.write, RECORD, batch)

    def emptied() -> float:  # no-overwrite, without a drop: emptied between batches, untimed
        times = []
        for _ in range(max(1, loops // batch)):
            roomy.reset()
            times.append(accepted())
        return statistics.fmean(times)

    with flight, roomy:
        results = compare(
            base,
            {
                "Channel.write 64 B, overwrite": (timer(_loop, flight.write, RECORD, loops), 2.0),
                "Channel.write 64 B, no-overwrite": (emptied, 2.0),
            },
            rounds,
        )
        lost = (losses(flight), losses(roomy))
    return [replace(row, extra=extra) for row, extra in zip(results, lost, strict=True)]


def refused(parent: str, rounds: int, loops: int) -> list[Result]:
    flight = rchan.create("flight", parent=parent, overwrite=True)
    full = rchan.create("full", parent=parent, subbuf_size=4096, n_subbufs=2)
    off = rchan.create("off", parent=parent)
    off.enabled = False
    with flight, full, off:
        while full.write(RECORD):
            pass
        return compare(
            timer(_loop, flight.write, RECORD, loops),
            {
                "refused write, channel full": (timer(_loop, full.write, RECORD, loops), 1.0),
                "write, channel disabled": (timer(_loop, off.write, RECORD, loops), 1.0),
            },
            rounds,
        )


def reserving(parent: str, rounds: int, loops: int, build: Path) -> list[Result]:
    empty = native.extension("empty_context", build).Empty
    with rchan.create("flight", parent=parent, overwrite=True) as flight:
        return compare(
            timer(_with_empty, empty(), 64, loops),
            {
                "reserve(64)/commit": (timer(_with_reserve, flight.reserve, 64, loops), 2.0),
            },
            rounds,
        )


def _writer(parent: str, cpu: int, loops: int, rounds: int, pipe: Connection) -> None:
    os.sched_setaffinity(0, {cpu})  # or the scheduler starts two of them on one CPU
    with rchan.open("many", parent=parent) as channel:
        once = timer(_loop, channel.write, RECORD, loops)
        for _ in range(rounds):
            pipe.recv()
            before = time.perf_counter_ns()
            used = once()
            pipe.send(((time.perf_counter_ns() - before) / loops, used))


def _round(pipes: list[Connection]) -> tuple[float, float]:
    for pipe in pipes:
        pipe.send(None)
    walls, cpus = zip(*(pipe.recv() for pipe in pipes), strict=True)
    return statistics.median(walls), statistics.median(cpus)


def many_processes(parent: str, rounds: int, loops: int) -> list[Result]:
    """The same loop in 1, 2, 4 processes on one channel, all started at the same moment."""
    counts = (1, 2, 4)
    spawn = multiprocessing.get_context("spawn")
    allowed = sorted(os.sched_getaffinity(0))
    cpus = len(allowed)
    with rchan.create("many", parent=parent, overwrite=True):
        ends = [spawn.Pipe() for _ in range(max(counts))]
        workers = [
            spawn.Process(
                target=_writer,
                args=(parent, allowed[number % cpus], loops, rounds * len(counts), far),
            )
            for number, (_near, far) in enumerate(ends)
        ]
        for worker in workers:
            worker.start()
        pipes = [near for near, _far in ends]
        seen: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
        for _ in range(rounds):
            for count in counts:
                seen[count].append(_round(pipes[:count]))
        for worker in workers:
            worker.kill()
            worker.join()
    results = []
    for count in counts:
        # CPU time: what a write costs, whoever else uses the machine. Wall time stands beside it.
        pairs = [(one[1], now[1]) for one, now in zip(seen[1], seen[count], strict=True)]
        wall = statistics.median(pair[0] for pair in seen[count])
        results.append(
            summary(
                f"{count} process{'es' if count > 1 else ''}, CPU time a write",
                pairs,
                1.15 if count <= cpus else None,
                f"(wall {wall:.1f} ns)",
            )
        )
    return results


def in_c(parent: str, rounds: int, build: Path) -> list[Result]:
    program = native.core_program("core_write", build)
    done = subprocess.run(
        [program, parent, str(rounds)], check=True, capture_output=True, text=True
    )
    rows = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    return [
        summary("rchan_write 64 B, in C", [(row[0], row[1]) for row in rows], 2.0),
        summary("rchan_write 8 B, in C", [(row[0], row[2]) for row in rows], None),
    ]


def main() -> int:
    report = Report("write", __doc__)
    parser = report.parser(rounds=75)
    parser.add_argument("--loops", type=int, default=20_000, help="operations timed at a time")
    options = report.begin(parser)
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
        tempfile.TemporaryDirectory() as tmp,
    ):
        build = Path(tmp)
        sections: list[tuple[str, str, Callable[[], list[Result]]]] = [
            ("One writer", "len(b)", lambda: one_process(parent, options.rounds, options.loops)),
            ("Refused", "accepted write", lambda: refused(parent, options.rounds, options.loops)),
            (
                "In place",
                "empty with block",
                lambda: reserving(parent, options.rounds, options.loops, build),
            ),
            (
                "Many writers",
                "one process",
                lambda: many_processes(parent, options.rounds, options.loops),
            ),
            ("The core", "compare-and-swap + store", lambda: in_c(parent, options.rounds, build)),
        ]
        for title, base, measure in sections:
            report.add(title, base, measure())
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
