"""Cost of being woken, as a round trip between two processes that sleep in turn.

    python benchmarks/wakeup.py [--rounds 7] [--trips 1000] [--json FILE]

In C: rchan's sleep and wake against a bare futex. In Python: a record written with
wakeup = "write" and read by one who waits with epoll, or in an asyncio loop (`add_reader` on both
sides), against the same bytes through a bare FIFO; and, with a flush after each record, by one who
reads sub-buffers with `async for`, against a loop that waits for a bare FIFO with a future for each
wake-up, as every `await` has to. Both processes on one CPU, where nothing but
what they execute counts, and on two, where a CPU that has to be woken costs most. Each
round times the bare and rchan's one right after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import native
import rchan
from ratios import Result, Timer, compare, summary
from report import Report

RECORD = b"8 bytes."
BAR = 1.3


class End(Protocol):
    """One end of a pair of lines, each from one process to the other."""

    def fileno(self) -> int: ...
    def send(self) -> None: ...
    def receive(self) -> int: ...  # bytes


class FifoEnd:
    def __init__(self, parent: str, to: str, back: str) -> None:
        flags = os.O_RDWR | os.O_NONBLOCK
        self._in, self._out = (os.open(os.path.join(parent, name), flags) for name in (back, to))

    def fileno(self) -> int:
        return self._in

    def send(self) -> None:
        os.write(self._out, RECORD)

    def receive(self) -> int:
        return len(os.read(self._in, 4096))


class ChannelEnd:
    def __init__(self, parent: str, to: str, back: str) -> None:
        self._channel = rchan.open(to, parent)
        self._file = rchan.open_file(os.path.join(parent, back + "0"))

    def fileno(self) -> int:
        return self._file.fileno()

    def send(self) -> None:
        self._channel.write(RECORD)

    def receive(self) -> int:
        return len(self._file.read(4096))


class SubbufEnd:
    """A sub-buffer a record, for `async for`."""

    def __init__(self, parent: str, to: str, back: str) -> None:
        self._channel = rchan.open(to + "-subbufs", parent)
        self.reader = rchan.open(back + "-subbufs", parent).reader()

    def send(self) -> None:
        self._channel.write(RECORD)
        self._channel.flush()


def by_async_for(end: SubbufEnd, trips: int, first: bool) -> None:
    async def play() -> None:
        left = trips
        if first:
            end.send()
        async for sub in end.reader:
            sub.release()
            left -= 1
            if not first or left:
                end.send()
            if not left:
                break

    asyncio.run(play())


def by_epoll(end: End, trips: int, first: bool) -> None:
    with select.epoll() as waiter:
        waiter.register(end, select.EPOLLIN)
        for _ in range(trips):
            if first:
                end.send()
            got = 0
            while not got:
                waiter.poll()
                got = end.receive()
            if not first:
                end.send()


def by_future(end: End, trips: int, first: bool) -> None:
    """A bare loop with what `async for` cannot do without: a future for each wake-up."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] | None = None

        def heard() -> None:
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

        loop.add_reader(end, heard)
        for _ in range(trips):
            if first:
                end.send()
            got = 0
            while not got:
                waiter = loop.create_future()
                await waiter
                with contextlib.suppress(BlockingIOError):
                    got = end.receive()
            if not first:
                end.send()
        loop.remove_reader(end)

    asyncio.run(play())


def by_asyncio(end: End, trips: int, first: bool) -> None:
    async def play() -> None:
        loop, done, left = asyncio.get_running_loop(), asyncio.Event(), trips

        def heard() -> None:
            nonlocal left
            if not end.receive():
                return
            left -= 1
            if not first or left:
                end.send()
            if not left:
                done.set()

        loop.add_reader(end, heard)
        if first:
            end.send()
        await done.wait()
        loop.remove_reader(end)

    asyncio.run(play())


Play = Callable[[Any, int, bool], None]
Make = Callable[[str, str, str], Any]  # an End, or a SubbufEnd


def _answer(make: Make, play: Play, parent: str, trips: int, cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    end = make(parent, "pong", "ping")
    while True:
        play(end, trips, False)


def timer(make: Make, play: Play, parent: str, trips: int, cpu: int) -> Timer:
    """ns a round trip; a process on that CPU answers for as long as this one lives."""
    fork = multiprocessing.get_context("fork")
    fork.Process(target=_answer, args=(make, play, parent, trips, cpu), daemon=True).start()
    end = make(parent, "ping", "pong")

    def once() -> float:
        start = time.perf_counter_ns()
        play(end, trips, True)
        return (time.perf_counter_ns() - start) / trips

    once()
    return once


# Name, rchan's end and play, what it is compared with, and the bar.
WAYS: tuple[tuple[str, Make, Play, Play, float | None], ...] = (
    ("epoll", ChannelEnd, by_epoll, by_epoll, BAR),
    ("asyncio, add_reader", ChannelEnd, by_asyncio, by_asyncio, BAR),
    ("async for", SubbufEnd, by_async_for, by_future, BAR),
    ("async for / a FIFO and add_reader", SubbufEnd, by_async_for, by_asyncio, None),
)


def on_descriptors(rounds: int, trips: int, cpu: int) -> list[Result]:
    """The other process runs on that CPU."""
    results = []
    for name, end, play, bare_play, bar in WAYS:
        with (
            tempfile.TemporaryDirectory(dir="/dev/shm") as bare,
            tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
            contextlib.ExitStack() as channels,
        ):
            for line in ("ping", "pong"):
                os.mkfifo(os.path.join(bare, line))
                channels.enter_context(
                    rchan.create(line, parent, 65536, 4, overwrite=True, n_buffers=1)
                ).wakeup = "write"
                channels.enter_context(rchan.create(line + "-subbufs", parent, 64, 4, n_buffers=1))
            base = timer(FifoEnd, bare_play, bare, trips, cpu)
            own = timer(end, play, parent, trips, cpu)
            results += compare(base, {f"round trip, {name}": (own, bar)}, rounds)
            for child in multiprocessing.active_children():
                child.kill()
                child.join()
    return results


def on_futexes(rounds: int) -> list[Result]:
    with tempfile.TemporaryDirectory() as build:
        program = native.core_program("wakeup_futex", Path(build))
        done = subprocess.run(
            [program], input="\n" * (rounds + 1), capture_output=True, text=True, check=True
        )
    pairs = [tuple(map(float, line.split())) for line in done.stdout.splitlines()[1:]]
    return [summary("round trip, rchan_sleep and rchan_wake", [(a, b) for a, b in pairs], BAR)]


def main() -> int:
    report = Report("wakeup", __doc__)
    parser = report.parser(rounds=9)
    parser.add_argument("--trips", type=int, default=1000, help="round trips timed at a time")
    options = report.begin(parser)
    report.add("Futex", "a bare futex", on_futexes(options.rounds))
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[:1])
    for title, cpu in {"on one CPU": cpus[0], "on two CPUs": cpus[-1]}.items():
        found = on_descriptors(options.rounds, options.trips, cpu)
        report.add(f"Descriptors, {title}", "a bare FIFO", found)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
