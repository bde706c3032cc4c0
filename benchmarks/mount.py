"""Cost of the mount: reads, mmap, being woken, an idle server, and what writers pay for it.

    python benchmarks/mount.py [--rounds 7] [--mib 64] [--trips 60] [--json FILE]

Bars, in the issue's words as times: reads of 1 MiB <= 1/0.3, 128 KiB <= 1/0.18, 4 KiB <= 1/0.025 x
pread of the same tmpfs bytes; mmap <= 1/0.98 x the tmpfs file mapped; a wake-up by epoll <= 4 x a
bare FIFO; an idle mount uses no CPU; a write <= 1.02 x. Needs /dev/fuse, and root for mmap.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import rchan
from ratios import Result, Timer, compare, summary
from report import Report

MIB = 1 << 20
SIZES = ((MIB, "1 MiB", 0.3), (MIB // 8, "128 KiB", 0.18), (4096, "4 KiB", 0.025))
IDLE_SECONDS = 2.0


@contextmanager
def mounted(root: str) -> Iterator[tuple[Path, int]]:
    """The mount point, and the process that serves it."""
    with tempfile.TemporaryDirectory(prefix="rchan-bench-") as point:
        command = [
            sys.executable,
            "-m",
            "rchan.cli",
            "mount",
            "--foreground",
            "--root",
            root,
            point,
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                line = server.stderr.readline()
                if "is mounted at" not in line:
                    raise SystemExit(line + server.stderr.read())
                yield Path(point), server.pid
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait()


@contextmanager
def on_one_cpu(server: int) -> Iterator[None]:
    """This process and the server there."""
    processes = [0, *(int(task) for task in os.listdir(f"/proc/{server}/task"))]
    before = os.sched_getaffinity(0)
    for process in processes:
        os.sched_setaffinity(process, {min(before)})
    yield
    for process in processes:
        os.sched_setaffinity(process, before)


def reading(parent: str, point: Path, rounds: int, mib: int, bars: bool) -> list[Result]:
    """ns a KiB."""
    results = []
    record = bytes(range(256)) * (MIB // 256)
    with rchan.create("read", parent, MIB, mib, n_buffers=1) as channel:
        path = os.path.join(parent, "read0")
        for size, name, share in SIZES:
            total = (mib if size >= MIB // 8 else mib // 4) * MIB
            into = [bytearray(size)]
            backing = os.open(path, os.O_RDONLY)
            shown = os.open(point / "read0", os.O_RDONLY)

            def plain(fd: int = backing, into: list[bytearray] = into, total: int = total) -> float:
                step = len(into[0])
                start = time.perf_counter_ns()
                for offset in range(0, total, step):
                    os.preadv(fd, into, offset)
                return (time.perf_counter_ns() - start) / (total / 1024)

            def through(fd: int = shown, into: list[bytearray] = into, total: int = total) -> float:
                while channel.buffers[0].read(MIB):
                    pass
                for _ in range(total // MIB):
                    channel.write(record)
                channel.flush()
                step, done = len(into[0]), 0
                start = time.perf_counter_ns()
                for _ in range(total // step):
                    done += os.readv(fd, into)
                taken = time.perf_counter_ns() - start
                assert done == total
                return taken / (total / 1024)

            plain(), through()
            results += compare(
                plain, {f"reads of {name}": (through, 1 / share if bars else None)}, rounds
            )
            os.close(backing)
            os.close(shown)
    return results


def mapping(parent: str, point: Path, rounds: int, mib: int) -> list[Result]:
    """ns a KiB of the mapped buffer copied."""
    with rchan.create("map", parent, MIB, mib, n_buffers=1) as channel:
        while channel.write(b"x" * 4096):
            pass
        into = memoryview(bytearray(mib * MIB))

        def timer(path: str | Path) -> Timer:
            fd = os.open(path, os.O_RDONLY)
            view = memoryview(mmap.mmap(fd, mib * MIB, prot=mmap.PROT_READ))
            os.close(fd)

            def once() -> float:
                start = time.perf_counter_ns()
                into[:] = view
                return (time.perf_counter_ns() - start) / (mib * 1024)

            once()
            return once

        base, own = timer(os.path.join(parent, "map0")), timer(point / "map0")
        return compare(base, {"mmap": (own, 1 / 0.98)}, 3 * rounds)


class Woken:
    """A child that sleeps with epoll on a file, and says when it was woken."""

    def __init__(self, path: str | Path, read: Callable[[int], object]) -> None:
        tell, told = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._sleep(path, read, tell[1], told[0])
        self._woken, self._asleep = tell[0], told[1]

    def _sleep(self, path: str | Path, read: Callable[[int], object], say: int, ask: int) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        poller = select.epoll()
        poller.register(fd, select.EPOLLIN)
        while os.read(ask, 1):
            poller.poll()
            now = time.perf_counter_ns()
            read(fd)
            os.write(say, now.to_bytes(8, "little"))
        os._exit(0)

    def latency(self, wake: Callable[[], object]) -> float:
        """ns from the wake's start until the child runs."""
        os.write(self._asleep, b"x")
        time.sleep(0.001)  # asleep by now
        start = time.perf_counter_ns()
        wake()
        return int.from_bytes(os.read(self._woken, 8), "little") - start

    def close(self) -> None:
        os.close(self._asleep)
        os.close(self._woken)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def waking(parent: str, point: Path, rounds: int, trips: int) -> list[Result]:
    """ns from a write that finishes a sub-buffer until a sleeping reader runs: median of trips."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as bare,
        rchan.create("wake", parent, 4096, 8, n_buffers=1) as channel,
    ):
        fifo = os.path.join(bare, "fifo")
        os.mkfifo(fifo)
        line = os.open(fifo, os.O_RDWR)
        plain = Woken(fifo, lambda fd: os.read(fd, 4096))
        own = Woken(point / "wake0", lambda fd: os.read(fd, 4096))

        def write() -> None:
            channel.write(b"x" * 4096)
            channel.flush()

        def fifo_trips() -> float:
            return statistics.median(
                plain.latency(lambda: os.write(line, b"x")) for _ in range(trips)
            )

        def own_trips() -> float:
            return statistics.median(own.latency(write) for _ in range(trips))

        fifo_trips(), own_trips()
        # Short rounds, but many: what else runs on the machine comes and goes.
        found = compare(fifo_trips, {"woken by epoll": (own_trips, 4.0)}, 5 * rounds)
        plain.close()
        own.close()
        os.close(line)
        return found


def cpu_ns(pid: int) -> int:
    return sum(
        int(path.read_text(encoding="utf-8").split()[0])
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def idle(parent: str, point: Path, server: int) -> list[Result]:
    """ns of CPU time a second, with a file open and polled."""
    with rchan.create("idle", parent, 4096, 8, n_buffers=1):
        fd = os.open(point / "idle0", os.O_RDONLY)
        sleeper = os.fork()
        if sleeper == 0:
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            poller.poll()
            os._exit(0)
        time.sleep(0.2)
        before = cpu_ns(server)
        time.sleep(IDLE_SECONDS)
        used = (cpu_ns(server) - before) / IDLE_SECONDS
        os.kill(sleeper, signal.SIGKILL)
        os.waitpid(sleeper, 0)
        os.close(fd)
    return [summary("an idle mount, CPU time a second", [(1e9, used)], 0.0)]


def writing(parent: str, point: Path, rounds: int) -> list[Result]:
    """ns a record of 64 bytes, with and without a mount; and while somebody polls."""
    count, record = 20_000, b"x" * 64
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere,
        rchan.create("write", elsewhere, 262144, 8, overwrite=True, n_buffers=1) as alone,
        rchan.create("write", parent, 262144, 8, overwrite=True, n_buffers=1) as shown,
    ):

        def timer(channel: rchan.Channel) -> Timer:
            write = channel.write

            def once() -> float:
                start = time.perf_counter_ns()
                for _ in repeat(None, count):
                    write(record)
                return (time.perf_counter_ns() - start) / count

            once()
            return once

        fd = os.open(point / "write0", os.O_RDONLY)
        base, own = timer(alone), timer(shown)
        # As with waking: short rounds, but many.
        found = compare(base, {"a write, mounted and open": (own, 1.02)}, 60 * rounds)
        sleeper = os.fork()
        if sleeper == 0:
            poller = select.epoll()
            poller.register(fd, select.EPOLLIN | select.EPOLLET)
            while True:
                poller.poll()
        time.sleep(0.1)
        found += compare(base, {"the same, polled all the time": (own, None)}, 10 * rounds)
        os.kill(sleeper, signal.SIGKILL)
        os.waitpid(sleeper, 0)
        os.close(fd)
        return found


def main() -> int:
    report = Report("mount", __doc__)
    parser = report.parser(rounds=7)
    parser.add_argument("--mib", type=int, default=64, help="bytes read at a time")
    parser.add_argument("--trips", type=int, default=60, help="wake-ups timed at a time")
    options = report.begin(parser)
    with (
        tempfile.TemporaryDirectory(prefix="rchan-bench-", dir="/dev/shm") as parent,
        mounted(parent) as (point, server),
    ):
        # Each read is a request to the server: on two CPUs that is two times the waking of a CPU
        # that sleeps, which in a virtual machine takes longer than all else together.
        with on_one_cpu(server):
            found = reading(parent, point, options.rounds, options.mib, bars=True)
        report.add("Reads, on one CPU", "pread of the tmpfs file", found, "ns/KiB")
        found = reading(parent, point, options.rounds, options.mib, bars=False)
        report.add("Reads, on two CPUs", "pread of the tmpfs file", found, "ns/KiB")
        if os.geteuid() == 0:
            found = mapping(parent, point, options.rounds, options.mib)
            report.add("mmap", "the tmpfs file mapped", found, "ns/KiB")
        report.add("Waking", "a bare FIFO", waking(parent, point, options.rounds, options.trips))
        report.add("Idle", "one CPU", idle(parent, point, server))
        found = writing(parent, point, options.rounds)
        report.add("Writing", "a channel that is not mounted", found)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
