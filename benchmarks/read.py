"""Reading: whole sub-buffers against memcpy, and records end to end against other transports.

    python benchmarks/read.py [--rounds 5] [--count 4000000] [--json FILE]

Peers from PyPI are those that benchmarks/rivals.py has installed. Ratios are of times, so less is
better: 0.125 is eight times as fast. A missed bar makes the exit status 1."""

from __future__ import annotations

import argparse
import mmap
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import environment
import peers
import rchan
import rivals
from ratios import Result, summary, table
from verdict import conclude

SUBBUF = 256 * 1024
SUBBUFS = 64


# ---- whole sub-buffers ----


def _copier(parent: str, path: str, orders: Connection) -> None:
    """In another process: ns per KiB of the reader and of memcpy, both into the same place."""
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
            start = time.perf_counter_ns()
            copied = _read(reader, target) if order == "reader" else _memcpy(plain, target, SUBBUFS)
            orders.send((time.perf_counter_ns() - start) / (copied / 1024))


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
    near, far = peers.FORK.Pipe()
    record = b"r" * 4096
    with (
        rchan.create(
            "whole", parent, subbuf_size=SUBBUF, n_subbufs=SUBBUFS, n_buffers=1
        ) as channel,
        path.open("r+b") as file,
        mmap.mmap(file.fileno(), 0) as mapping,
    ):
        child = peers.FORK.Process(target=_copier, args=(parent, str(path), far))
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


@dataclass
class Contest:
    name: str
    make: Callable[[], peers.Transport]
    count: int
    threads: bool = False


def _timed(contest: Contest) -> tuple[float, str]:
    """ns per record, from the first one sent to the last one received; and a note."""
    transport = contest.make()
    barrier = threading.Barrier(2) if contest.threads else peers.FORK.Barrier(2)
    near, far = peers.FORK.Pipe()

    def produce() -> None:
        barrier.wait()
        far.send(("start", time.perf_counter_ns()))
        transport.produce(contest.count)

    def consume() -> None:
        barrier.wait()
        got = transport.consume(contest.count)
        far.send(("end", time.perf_counter_ns()))
        far.send(("got", got))

    kind = threading.Thread if contest.threads else peers.FORK.Process
    workers = [kind(target=consume), kind(target=produce)]
    for worker in workers:
        worker.start()
    said = dict(near.recv() for _ in range(3))
    for worker in workers:
        worker.join()
    assert said["got"] == contest.count, f"{contest.name}: {said['got']} of {contest.count}"
    return (said["end"] - said["start"]) / contest.count, transport.close()


def contests(parent: str, count: int) -> list[Contest]:
    own = [
        Contest("rchan, each record", lambda: peers.Rchan(parent), count),
        Contest("rchan, whole sub-buffers", lambda: peers.RchanWhole(parent), count),
        Contest("rchan, each, 64 x 64 KiB", lambda: peers.Rchan(parent, 65536, 64), count),
    ]
    others = [
        Contest("multiprocessing.Queue", lambda: peers.Queue(peers.FORK.Queue()), count // 20),
        Contest("SimpleQueue", lambda: peers.Queue(peers.FORK.SimpleQueue()), count // 20),
        Contest("multiprocessing.Pipe", peers.Pipe, count // 20),
        Contest("deque, two threads", peers.Deque, count, threads=True),
    ]
    from_pypi: dict[str, tuple[str, Callable[[ModuleType], peers.Transport], int]] = {
        "pyzmq": ("zmq", lambda module: peers.Zmq(module, parent), count // 5),
        "faster-fifo": ("faster_fifo", peers.FasterFifo, count // 20),
        "iceoryx2": ("iceoryx2", lambda module: peers.Iceoryx2(module, parent), count // 20),
    }
    for name, (module, make, fewer) in from_pypi.items():
        try:
            others.append(Contest(name, partial(make, rivals.load(module)), fewer))
        except rivals.Absent as error:
            print(f"absent: {error}")
    return own + others


def end_to_end(parent: str, rounds: int, count: int) -> list[Result]:
    times: dict[str, list[float]] = {}
    notes: dict[str, str] = {}
    entered = contests(parent, count)
    for _ in range(rounds):
        for contest in entered:
            ns, notes[contest.name] = _timed(contest)
            times.setdefault(contest.name, []).append(ns)
    own = times["rchan, each record"]
    print("One producer, one consumer, records of 64 bytes: million a second, medians")
    for name, each in times.items():
        print(f"  {name:38}{1000 / statistics.median(each):8.2f}  {notes[name]}".rstrip())
    print()
    results = []
    for contest in entered:
        if contest.name.startswith("rchan"):
            continue
        pairs = list(zip(times[contest.name], own, strict=True))
        limit = 1.0 if contest.threads else 1 / 8
        results.append(summary(f"rchan to {contest.name}", pairs, limit))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (median of them)")
    parser.add_argument("--count", type=int, default=4_000_000, help="records of a round")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    environment.show()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as parent:
        found = whole_subbufs(parent, 10 * options.rounds)
        table("Whole sub-buffers, copied in another process", "memcpy of as many bytes", found)
        records = end_to_end(parent, options.rounds, options.count)
        table("Records end to end, ns each", "the peer", records)
    return conclude({"Whole sub-buffers": found, "Records": records}, options.json)


if __name__ == "__main__":
    sys.exit(main())
