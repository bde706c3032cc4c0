"""Reading: whole sub-buffers against memcpy, and records end to end against other transports.

    python benchmarks/read.py [--rounds 5] [--count 4000000] [--json FILE]

Peers from PyPI are those that benchmarks/rivals.py has installed. Ratios are of times, so less is
better: 0.125 is eight times as fast. A missed bar makes the exit status 1."""

from __future__ import annotations

import mmap
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import rchan
import transports
import transports_pypi
from contests import available, timed
from ratios import Result, summary
from report import Report
from transports import FORK, Transport

SUBBUF = 256 * 1024
SUBBUFS = 64


# ---- whole sub-buffers ----


def _copier(parent: str, path: str, orders: Connection) -> None:
    """In another process: CPU ns per KiB of the reader and of memcpy, both into the same place."""
    target = memoryview(bytearray(SUBBUF))
    with (
        rchan.open("whole", parent) as channel,
        Path(path).open("r+b") as file,
        mmap.mmap(file.fileno(), 0) as mapping,
        memoryview(mapping) as plain,
    ):
        reader = channel.reader(timeout=0)
        orders.send("ready")
        while (order := orders.recv()) != "end":
            start = time.process_time_ns()
            copied = _read(reader, target) if order == "reader" else _memcpy(plain, target, SUBBUFS)
            orders.send((time.process_time_ns() - start) / (copied / 1024))


def _read(reader: rchan.Reader, target: memoryview) -> int:
    copied = 0
    for sub in reader:
        with sub.data as data:
            target[: sub.length] = data
        copied += sub.length
    return copied


def _memcpy(source: memoryview, target: memoryview, count: int) -> int:
    for number in range(count):
        with source[number * SUBBUF : (number + 1) * SUBBUF] as part:
            target[:] = part
    return count * SUBBUF


def whole_subbufs(parent: str, rounds: int) -> list[Result]:
    """Before each copy all bytes are written anew, by this process."""
    pairs = []
    path = Path(parent, "plain")
    path.write_bytes(bytes(SUBBUF * SUBBUFS))
    near, far = FORK.Pipe()
    record = b"r" * 4096
    with (
        rchan.create(
            "whole", parent, subbuf_size=SUBBUF, n_subbufs=SUBBUFS, n_buffers=1
        ) as channel,
        path.open("r+b") as file,
        mmap.mmap(file.fileno(), 0) as mapping,
    ):
        child = FORK.Process(target=_copier, args=(parent, str(path), far))
        child.start()
        assert near.recv() == "ready"
        for number in range(rounds + 1):
            times = {}
            for order in ("memcpy", "reader") if number % 2 else ("reader", "memcpy"):
                if order == "memcpy":
                    for place in range(0, SUBBUF * SUBBUFS, len(record)):
                        mapping[place : place + len(record)] = record
                else:
                    for _record in range(SUBBUF * SUBBUFS // len(record)):
                        assert channel.write(record)
                    channel.buffers[0]._finish()
                near.send(order)
                times[order] = near.recv()
            pairs.append((times["memcpy"], times["reader"]))
        near.send("end")
        child.join()
        total = channel.stats().total
    extra = f"({total.lost.records} records lost)"
    return [summary("reader: whole sub-buffers, per KiB", pairs[1:], 1 / 0.8, extra)]


# ---- end to end ----

FEWER = 20  # times, for those that take so much longer
BAR = 1 / 8  # against those that deliver messages to another process
CONTESTS: dict[str, tuple[type[Transport], int, float | None]] = {
    "multiprocessing.Queue": (transports.Queue, FEWER, BAR),
    "SimpleQueue": (transports.SimpleQueue, FEWER, BAR),
    "multiprocessing.Pipe": (transports.Connection, FEWER, BAR),
    "pyzmq": (transports_pypi.Zmq, 5, BAR),
    "faster-fifo": (transports_pypi.FasterFifo, FEWER, BAR),
    "iceoryx2": (transports_pypi.Iceoryx2, FEWER, BAR),
    "os.pipe, 64 KiB a read": (transports.Pipe, 5, None),
    "unix socket": (transports.UnixSocket, FEWER, None),
    "POSIX message queue": (transports_pypi.MessageQueue, FEWER, None),
    "shared_memory and Lock": (transports.SharedRing, FEWER, None),
    "buffered file": (transports.File, 1, None),
    "deque, two threads": (transports.Deque, 1, 1.0),
}
OURS: dict[str, type[Transport]] = {
    "each record": transports.Patient,
    "whole sub-buffers": transports.PatientWhole,
    "each, 64 x 64 KiB": transports.PatientSmall,
}


def end_to_end(
    report: Report, parent: str, rounds: int, count: int, producers: int
) -> tuple[list[Result], list[Result]]:
    """Against the rivals; and our other ways against the first."""
    rivals = available(report, {name: made[0] for name, made in CONTESTS.items()}, parent, 64)
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, make in OURS.items():
            times.setdefault(name, []).append(timed(make(parent, 64), count, producers)[0])
        for name, make in rivals.items():
            if make.threads and producers > 1:
                continue
            ns, _loss = timed(make(parent, 64), count // CONTESTS[name][1], producers)
            times.setdefault(name, []).append(ns)
    own = times["each record"]
    against = [
        summary(f"rchan / {name}", list(zip(each, own, strict=True)), CONTESTS[name][2])
        for name, each in times.items()
        if name not in OURS
    ]
    others = [
        summary(f"rchan, {name}", list(zip(own, times[name], strict=True)), None)
        for name in OURS
        if name != "each record"
    ]
    return against, others


def main() -> int:
    report = Report("read", __doc__)
    parser = report.parser(rounds=5)
    parser.add_argument("--count", type=int, default=4_000_000, help="records of a round")
    options = report.begin(parser)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as parent:
        found = whole_subbufs(parent, 10 * options.rounds)
        base = "memcpy of as many bytes"
        report.add("Whole sub-buffers, copied in another process", base, found, "ns/KiB")
        for producers, title in ((1, "one producer"), (2, "two producers")):
            against, others = end_to_end(report, parent, options.rounds, options.count, producers)
            report.add(f"Records of 64 bytes end to end, {title}", "the rival", against)
            report.add(f"The same, other ways, {title}", "each record as bytes", others)
    report.note("Nothing is lost: rchan repeats what was refused, the others wait.")
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
