"""Recording: bytes to disk against plain system calls, and two writers against the recorder.

    python benchmarks/record.py [--rounds 61] [--megabytes 32] [--directory DIR]

The same bytes lie in one channel's shared memory and go into new files of DIR (the page cache), by
write(2) from the mapping into a file that was allocated before, by sendfile, by splice, and through
the recorder, with and without checksums. Nothing in these ways waits, so CPU time is measured:
other work on the machine does not count. Ratios are of times: 1.11 is 0.9 times as fast. Then two
writers of small records run against the recorder. A missed bar makes the exit status 1."""

from __future__ import annotations

import mmap
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rchan
from full_speed import full_speed
from ratios import Result, summary
from rchan.recorder import FileOptions
from rchan.recorder.files import FileSink, StreamName
from rchan.recorder.place import Place
from report import Report

SUBBUF = 256 * 1024
SUBBUFS = 8
DATA = b"r" * SUBBUF


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
    taken = -time.thread_time_ns()
    if room:
        os.posix_fallocate(fd, 0, amount)
    taken += time.thread_time_ns()
    for at in range(0, amount, SUBBUF * SUBBUFS):
        source.renew()
        start = time.thread_time_ns()
        way(fd, at)
        taken += time.thread_time_ns() - start
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
        start = time.thread_time_ns()
        while sink.drain(buffer, 8) == 1:
            pass
        taken += time.thread_time_ns() - start
    start = time.thread_time_ns()
    assert sink.bytes == amount
    sink.close()
    taken += time.thread_time_ns() - start
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


def main() -> int:
    report = Report("record", __doc__)
    parser = report.parser(rounds=61)
    parser.add_argument("--megabytes", type=int, default=32, help="of each recording")
    parser.add_argument("--runs", type=int, default=3, help="of two writers; 0: none")
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
        for name, where in (("disk", directory), ("memory", Path(parent))) if options.runs else ():
            title = f"Two writers at full speed, recorded to {name}"
            rows = full_speed(parent, where, options.runs)
            report.add(title, "see the rows", rows, "ns/KiB")
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
