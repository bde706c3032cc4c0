"""Recording: bytes to disk against plain system calls, and two writers against the recorder.

    python benchmarks/record.py [--rounds 7] [--megabytes 512] [--directory DIR]

The same bytes lie in one channel's shared memory and go into new files of DIR (the page cache), by
write(2) from the mapping into a file that was allocated before, by sendfile, by splice, and through
the recorder, with and without checksums. Ratios are of times: 1.11 is 0.9 times as fast. A missed
bar makes the exit status 1."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rchan
from ratios import Result, summary
from rchan.recorder import FileOptions, Options, Recorder
from rchan.recorder.files import FileSink, StreamName
from rchan.recorder.place import Place
from report import Report

SUBBUF = 256 * 1024
SUBBUFS = 8
DATA = b"r" * SUBBUF
FORK = multiprocessing.get_context("fork")


class Bytes:
    """A file in shared memory, as large as the channel's buffer, and its mapping."""

    def __init__(self, parent: str) -> None:
        self.fd = os.open(f"{parent}/plain", os.O_RDWR | os.O_CREAT, 0o600)
        os.posix_fallocate(self.fd, 0, SUBBUF * SUBBUFS)
        self.map = mmap.mmap(self.fd, SUBBUF * SUBBUFS)
        self.renew()

    def renew(self) -> None:
        """As writers would: the bytes come through this CPU's caches."""
        for at in range(0, SUBBUF * SUBBUFS, SUBBUF):
            self.map[at : at + SUBBUF] = DATA


Way = Callable[[int, int], None]  # (file, offset): the source's bytes go there


def _rate(source: Bytes, amount: int, way: Way, path: Path, room: bool) -> float:
    """ns per KiB of `way` into a new file. Before each turn the bytes are written anew."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    taken = -time.perf_counter_ns()
    if room:
        os.posix_fallocate(fd, 0, amount)
    taken += time.perf_counter_ns()
    for at in range(0, amount, SUBBUF * SUBBUFS):
        source.renew()
        start = time.perf_counter_ns()
        way(fd, at)
        taken += time.perf_counter_ns() - start
    os.close(fd)
    path.unlink()
    return taken / (amount / 1024)


def by_write(source: Bytes) -> Way:
    def way(fd: int, offset: int) -> None:
        with memoryview(source.map) as view:
            for at in range(0, SUBBUF * SUBBUFS, SUBBUF):
                with view[at : at + SUBBUF] as part:
                    os.pwrite(fd, part, offset + at)

    return way


def by_sendfile(source: Bytes) -> Way:
    def way(fd: int, offset: int) -> None:
        at, left = 0, SUBBUF * SUBBUFS
        while left:
            done = os.sendfile(fd, source.fd, at, min(left, SUBBUF))
            at, left = at + done, left - done

    return way


def by_splice(source: Bytes) -> Way:
    out, into = os.pipe()

    def way(fd: int, offset: int) -> None:
        at, left = 0, SUBBUF * SUBBUFS
        while left:
            moved = os.splice(source.fd, into, min(left, 65536), offset_src=at)
            at, left = at + moved, left - moved
            while moved:
                moved -= os.splice(out, fd, moved)

    return way


def by_recorder(channel: rchan.Channel, directory: Path, amount: int, checked: bool) -> float:
    """ns per KiB of the sink's drain; the channel is filled in between, which is not counted."""
    place = Place.at(directory)
    sink = FileSink(
        place,
        StreamName("bench", 0, 0),
        SUBBUF,
        channel.created_ns,
        FileOptions(checksum=checked),
    )
    buffer, data, taken = channel.buffers[0], DATA, 0
    for _ in range(amount // (SUBBUF * SUBBUFS)):
        for _ in range(SUBBUFS):
            assert channel.write(data)
        channel.flush()
        start = time.perf_counter_ns()
        while sink.drain(buffer, 8) == 1:
            pass
        taken += time.perf_counter_ns() - start
    start = time.perf_counter_ns()
    assert sink.bytes == amount
    sink.close()
    taken += time.perf_counter_ns() - start
    place.close()
    (directory / "bench.0").unlink()
    (directory / ".rchan" / "bench.0.index").unlink()
    return taken / (amount / 1024)


def to_disk(parent: str, directory: Path, rounds: int, amount: int) -> list[Result]:
    source = Bytes(parent)
    plain = {
        "write(2), allocated": by_write(source),
        "sendfile": by_sendfile(source),
        "splice": by_splice(source),
    }
    times: dict[str, list[float]] = {}
    with rchan.create("bench", parent, SUBBUF, SUBBUFS, n_buffers=1) as channel:
        for _ in range(rounds):
            for name, way in plain.items():
                room = way is plain["write(2), allocated"]
                ns = _rate(source, amount, way, directory / "plain", room)
                times.setdefault(name, []).append(ns)
            for name, checked in (("recorder, CRC-32C", True), ("recorder, no checksum", False)):
                times.setdefault(name, []).append(by_recorder(channel, directory, amount, checked))
    medians = {name: statistics.median(each) for name, each in times.items()}
    best = min(plain, key=lambda name: medians[name])
    print("To disk (page cache), GB/s, medians")
    for name, ns in medians.items():
        print(f"  {name:38}{1024 / ns:8.2f}")
    print()
    return [
        summary(name, list(zip(times[best], times[name], strict=True)), limit, f"to {best}")
        for name, limit in (("recorder, CRC-32C", 1 / 0.9), ("recorder, no checksum", 1 / 0.9))
    ]


# ---- writers at full speed ----


def _write(parent: str, seconds: float, results: multiprocessing.queues.SimpleQueue) -> None:
    record_of_64 = b"r" * 64
    with rchan.open("full", parent) as channel:
        write, stored, tried = channel.write, 0, 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(1000):
                stored += write(record_of_64)
            tried += 1000
    results.put((stored, tried))


def own_rate(parent: str, directory: Path, seconds: float) -> float:
    """Bytes a second that plain write(2) brings into a file of `directory`, for so long."""
    source, done = Bytes(parent), 0
    with (directory / "own").open("wb", buffering=0) as file, memoryview(source.map) as view:
        start = time.perf_counter()
        while (taken := time.perf_counter() - start) < seconds:
            done += file.write(view[:SUBBUF])
    (directory / "own").unlink()
    return done / taken


def private_memory() -> int:
    """KiB of this process's own memory: without the channel's, which it has mapped."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def full_speed(parent: str, directory: Path, seconds: float) -> None:
    """Two writers as fast as they can, and the recorder: what is recorded, and what is dropped."""
    disk = own_rate(parent, directory, seconds)
    results = FORK.SimpleQueue()
    with rchan.create("full", parent, SUBBUF, 128) as channel:
        writers = [FORK.Process(target=_write, args=(parent, seconds, results)) for _ in range(2)]
        recorder = Recorder(channel, directory / "full", options=Options())
        before = private_memory()
        start = time.perf_counter()
        for writer in writers:
            writer.start()
        (done,) = recorder.run(lambda: not any(writer.is_alive() for writer in writers))
        taken = time.perf_counter() - start
        grown = private_memory() - before
        answers = [results.get() for _ in writers]
        for writer in writers:
            writer.join()
    shutil.rmtree(directory / "full")
    assert done.records == sum(stored for stored, _ in answers), "every stored record is there"
    tried = sum(each for _, each in answers)
    rate = done.bytes / taken
    print(f"  tried {64 * tried / taken / 1e9:.2f} GB/s, recorded {rate / 1e9:.2f} GB/s")
    print(
        f"  dropped {1 - done.records / tried:.1%}; the recorder's own memory grew by {grown} KiB"
    )
    print(f"  recorded / plain write(2) for as long: {rate / disk:.2f} ({disk / 1e9:.2f} GB/s)")
    print()


def main() -> int:
    report = Report("record", __doc__)
    parser = report.parser(rounds=7)
    parser.add_argument("--megabytes", type=int, default=128, help="of each recording")
    parser.add_argument("--directory", help="where files are written; default: TMPDIR")
    options = report.begin(parser)
    amount = max(1, (options.megabytes << 20) // (SUBBUF * SUBBUFS)) * SUBBUF * SUBBUFS
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
        tempfile.TemporaryDirectory(dir=options.directory) as output,
    ):
        directory = Path(output)
        found = to_disk(parent, directory, options.rounds, amount)
        report.add("Recording", "the best of the plain ways", found, "ns/KiB")
        for name, where in (("disk", directory), ("memory", Path(parent))):
            print(f"Two writers of 64 bytes at full speed, and the recorder to {name}")
            full_speed(parent, where, 2.0)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
