"""Cost of a write as the work grows: a curve for each thing that grows.

    python benchmarks/growth.py [--rounds 5] [--full] [--only NAME…] [--json FILE]

ns of CPU time per write from Python, 64 bytes unless said otherwise: the median of interleaved
rounds, and the quarters below and above. `make plots` draws them. What has to stay flat has a bar:
the last point against the first."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice, repeat
from multiprocessing.connection import Connection

import rchan
from ratios import summary
from rchan import cpus
from report import Report

RECORD = b"x" * 64
Timers = dict[str, dict[float, Callable[[], float]]]  # series -> where on the x axis -> ns


@dataclass
class Curve:
    title: str
    x: str
    bars: dict[str, float] = field(default_factory=dict)  # series -> last / first at most
    points: dict[str, list[list[float]]] = field(default_factory=dict)  # x, median, quarters

    def as_dict(self) -> dict[str, object]:
        return {
            "title": self.title,
            "x": self.x,
            "y": "ns a write, CPU time",
            "series": self.points,
        }


def _loop(write: Callable[[bytes], object], record: bytes, steps: repeat[None]) -> None:
    for _ in steps:
        write(record)


def _each(writes: Iterator[Callable[[bytes], object]], record: bytes) -> None:
    for write in writes:
        write(record)


def _on_each(write: Callable[[bytes, int], object], record: bytes, on: Iterator[int]) -> None:
    for cpu in on:
        write(record, cpu)


def writing(channel: rchan.Channel, record: bytes, count: int) -> Callable[[], float]:
    own = types.FunctionType(_loop.__code__.replace(), _loop.__globals__)

    def once() -> float:
        start = time.process_time_ns()
        own(channel.write, record, repeat(None, count))
        return (time.process_time_ns() - start) / count

    once()
    return once


def emptied(channel: rchan.Channel, record: bytes) -> Callable[[], float]:
    """No-overwrite, without a drop."""
    fits = channel.alloc_size // len(record) * 3 // 4
    once = writing(channel, record, max(1, fits))

    def twice() -> float:
        channel.reset()
        return once()

    return twice


# ---- what grows ----


@contextmanager
def record_size(parent: str, count: int) -> Iterator[Timers]:
    sizes = [8 << step for step in range(14)]
    source, target = bytes(sizes[-1]), memoryview(bytearray(2 << 20))

    def copying(size: int) -> Callable[[], float]:
        places = [slice(at, at + size) for at in range(0, len(target) - size + 1, size)]
        part = memoryview(source)[:size]

        number = few(size)

        def once() -> float:
            start = time.process_time_ns()
            for place in islice(cycle(places), number):
                target[place] = part
            return (time.process_time_ns() - start) / number

        return once

    def few(size: int) -> int:
        """No more than 16 MiB."""
        return min(count, (16 << 20) // size)

    with (
        rchan.create("flight", parent, overwrite=True) as flight,
        rchan.create("roomy", parent) as roomy,
    ):
        yield {
            "overwrite": {size: writing(flight, bytes(size), few(size)) for size in sizes},
            "no-overwrite": {size: emptied(roomy, bytes(size)) for size in sizes},
            "memoryview slice": {size: copying(size) for size in sizes},
        }


@contextmanager
def subbuf_size(parent: str, count: int) -> Iterator[Timers]:
    sizes = [256 << (2 * step) for step in range(8)]
    with ExitStack() as stack:

        def made(name: str, size: int, number: int) -> rchan.Channel:
            return stack.enter_context(
                rchan.create(f"{name}{size}-", parent, size, number, overwrite=True, n_buffers=1)
            )

        eight = {size: writing(made("eight", size, 8), RECORD, count) for size in sizes}
        mib = {
            size: writing(made("mib", size, max(2, (1 << 20) // size)), RECORD, count)
            for size in sizes
            if size <= 1 << 19
        }
        yield {"8 sub-buffers": dict(eight), "1 MiB in all": dict(mib)}


def _writer(parent: str, cpu: int, loops: int, pipe: Connection) -> None:
    os.sched_setaffinity(0, {cpu})
    with rchan.open("many", parent) as channel:
        once = writing(channel, RECORD, loops)
        while pipe.recv():
            before = time.process_time_ns()
            once()
            pipe.send((time.process_time_ns() - before) / loops)


@contextmanager
def writers(parent: str, count: int) -> Iterator[Timers]:
    """CPU time a write: what it costs however many share a CPU."""
    allowed, numbers = sorted(os.sched_getaffinity(0)), [1, 2, 4, 8, 16, 32, 64]
    spawn = multiprocessing.get_context("spawn")
    with rchan.create("many", parent, overwrite=True):
        ends = [spawn.Pipe() for _ in range(numbers[-1])]
        workers = [
            spawn.Process(target=_writer, args=(parent, allowed[at % len(allowed)], count, far))
            for at, (_near, far) in enumerate(ends)
        ]
        for worker in workers:
            worker.start()

        def together(number: int) -> Callable[[], float]:
            pipes = [near for near, _far in ends[:number]]

            def once() -> float:
                for pipe in pipes:
                    pipe.send(True)
                return statistics.median(pipe.recv() for pipe in pipes)

            return once

        together(numbers[-1])()  # all have begun
        yield {"CPU time": {number: together(number) for number in numbers}}
        for near, _far in ends:
            near.send(False)
        for worker in workers:
            worker.join()


def descriptors(wanted: int) -> int:
    """So many may be open, as far as that can be had."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((wanted, max(hard, wanted)), (min(hard, wanted), hard)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@contextmanager
def channels(parent: str, count: int) -> Iterator[Timers]:
    """To one of so many, and to each in turn."""
    numbers = [1, 10, 100, 1000, 10_000]
    allowed = descriptors(numbers[-1] + 100)
    numbers = [number for number in numbers if number + 100 <= allowed]
    with ExitStack() as stack:
        made: list[rchan.Channel] = []

        def grown(number: int) -> list[rchan.Channel]:
            for at in range(len(made), number):
                made.append(
                    stack.enter_context(
                        rchan.create(f"c{at}-", parent, 4096, 2, overwrite=True, n_buffers=1)
                    )
                )
            return made[:number]

        def one(number: int) -> Callable[[], float]:
            return writing(grown(number)[number // 2], RECORD, count)

        def turns(number: int) -> Callable[[], float]:
            writes = [channel.write for channel in grown(number)]

            def once() -> float:
                start = time.process_time_ns()
                _each(islice(cycle(writes), count), RECORD)
                return (time.process_time_ns() - start) / count

            once()
            return once

        yield {
            "one of them": {number: one(number) for number in numbers},
            "each in turn": {number: turns(number) for number in numbers},
        }


@contextmanager
def buffers(parent: str, count: int) -> Iterator[Timers]:
    """So many CPUs are possible; the writer's own, and each in turn."""
    numbers = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    own: dict[float, Callable[[], float]] = {}
    turns: dict[float, Callable[[], float]] = {}
    with ExitStack() as stack:
        for number in numbers:
            with cpus.injected(possible=range(number), online=range(number)):
                channel = stack.enter_context(
                    rchan.create(f"b{number}-", parent, 16384, 4, overwrite=True, n_buffers=number)
                )
            own[number] = writing(channel, RECORD, count)

            def once(channel: rchan.Channel = channel, number: int = number) -> float:
                start = time.process_time_ns()
                _on_each(channel.write, RECORD, islice(cycle(range(number)), count))
                return (time.process_time_ns() - start) / count

            once()
            turns[number] = once
        yield {"the writer's CPU": own, "write(data, cpu), in turn": turns}


@contextmanager
def fill(parent: str, count: int) -> Iterator[Timers]:
    """A buffer of 4 MiB in no-overwrite mode, a twentieth at a time, until it refuses; overwriting,
    as much again."""
    steps = 20
    with (
        rchan.create("fill", parent, 262144, 16, n_buffers=1) as kept,
        rchan.create("flight", parent, 262144, 16, n_buffers=1, overwrite=True) as flight,
    ):
        batch = kept.alloc_size // len(RECORD) // steps

        def at(channel: rchan.Channel, step: int) -> Callable[[], float]:
            once = writing(channel, RECORD, batch)

            def from_empty() -> float:
                if step == 0:
                    channel.reset()
                return once()

            return from_empty

        yield {
            name: {(step + 1) * 100 / steps: at(channel, step) for step in range(steps + 4)}
            for name, channel in (("no-overwrite", kept), ("overwrite", flight))
        }


CURVES: dict[str, tuple[Callable[[str, int], object], Curve]] = {
    "record": (record_size, Curve("Size of the record", "bytes")),
    "subbuf": (subbuf_size, Curve("Size of a sub-buffer", "bytes")),
    "writers": (writers, Curve("Writing processes", "processes, 2 CPUs", {"CPU time": 1.25})),
    "channels": (channels, Curve("Channels", "channels", {"one of them": 1.25})),
    "buffers": (buffers, Curve("Buffers", "simulated CPUs", {"the writer's CPU": 1.25})),
    "fill": (fill, Curve("Fill of the buffer", "% written")),
}


def quarters(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]


def measure(report: Report, name: str, rounds: int, count: int) -> None:
    make, curve = CURVES[name]
    times: dict[str, dict[float, list[float]]] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as parent, make(parent, count) as timers:  # type: ignore[attr-defined]
        for _ in range(rounds):
            for series, points in timers.items():
                for x, timer in points.items():
                    times.setdefault(series, {}).setdefault(x, []).append(timer())
    for series, points in times.items():
        rows = [[x, statistics.median(ns), *quarters(ns)] for x, ns in points.items()]
        curve.points[series] = [[round(value, 2) for value in row] for row in rows]
        print(f"{curve.title}, {series}: " + "  ".join(f"{x:g}: {ns:.1f}" for x, ns, *_ in rows))
    report.figures[name] = curve.as_dict()
    rows = [
        summary(
            f"{series}, {max(times[series]):g} {curve.x}",
            list(
                zip(
                    times[series][min(times[series])],
                    times[series][max(times[series])],
                    strict=True,
                )
            ),
            bar,
        )
        for series, bar in curve.bars.items()
    ]
    if rows:
        report.add(curve.title, f"{min(times[next(iter(curve.bars))]):g}", rows)
    else:
        print()


def main() -> int:
    report = Report("growth", __doc__)
    parser = report.parser(rounds=5)
    parser.add_argument("--full", action="store_true", help="more and longer rounds")
    parser.add_argument("--only", nargs="+", choices=CURVES, metavar="NAME", default=list(CURVES))
    options = report.begin(parser)
    rounds, count = (25, 100_000) if options.full else (options.rounds, 20_000)
    for name in options.only:
        measure(report, name, rounds, count)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
