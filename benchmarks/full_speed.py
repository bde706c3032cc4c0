"""Two writers of 64-byte records as fast as they can, and the recorder, on the CPUs that there are.

Part of benchmarks/record.py. Beside the rate that is recorded it measures what each could do
alone, and what each costs in CPU time: which of them is the limit, and how near to it they come."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import statistics
import time
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import rchan
from ratios import Result, summary
from rchan.recorder import Options, Recorder

SUBBUF = 256 * 1024
SUBBUFS = 32
RECORD = b"r" * 64
WRITERS = 2
BATCH = 1000  # records between two looks at the clock; less than a sub-buffer
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Part:
    """What a writer or the recorder did."""

    bytes: int
    cpu: float  # seconds of CPU time
    tried: int = 0  # bytes


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: bytes a second and CPUs, of the writers together and of the recorder."""

    rate: float
    tried: float
    writers: float
    recorder: float
    memory: int = 0  # KiB by which the recorder's own grew

    @property
    def cpus(self) -> float:
        return self.writers + self.recorder


def _write(parent: str, cpu: int, seconds: float, waits: bool, results: SimpleQueue) -> None:
    """On that CPU. waits: only where there is room; so nothing is dropped."""
    os.sched_setaffinity(0, {cpu})
    with rchan.open("full", parent) as channel:
        write, buffer = channel.write, channel.prepare_cpu(cpu)
        stored = tried = 0
        before, end = time.process_time(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            if waits and buffer.subbufs_produced - buffer.subbufs_consumed >= SUBBUFS - 1:
                time.sleep(0.0001)
                continue
            for _ in range(BATCH):
                stored += write(RECORD)
            tried += BATCH
        results.put(Part(64 * stored, time.process_time() - before, 64 * tried))


def _start(parent: str, seconds: float, waits: bool) -> tuple[list, SimpleQueue]:
    results = FORK.SimpleQueue()
    cpus = sorted(os.sched_getaffinity(0))
    writers = [
        FORK.Process(target=_write, args=(parent, cpus[n % len(cpus)], seconds, waits, results))
        for n in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    return writers, results


def _parts(writers: list, results: SimpleQueue) -> list[Part]:
    parts = [results.get() for _ in writers]
    for writer in writers:
        writer.join()
    return parts


def writers_alone(parent: str, seconds: float) -> Run:
    """Into a channel that keeps the newest: nobody reads."""
    with rchan.create("full", parent, SUBBUF, SUBBUFS, overwrite=True):
        parts = _parts(*_start(parent, seconds, False))
    rate = sum(part.bytes for part in parts) / seconds
    return Run(rate, rate, sum(part.cpu for part in parts) / seconds, 0.0)


def recorder_alone(parent: str, directory: Path, seconds: float) -> Run:
    """Filled channels, drained one after the other: only draining is counted."""
    done, taken, cpu = 0, 0.0, 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        with rchan.create("full", parent, SUBBUF, SUBBUFS, n_buffers=1) as channel:
            for _ in range(SUBBUFS):
                channel.write(bytes(SUBBUF))
            channel.flush()
            recorder = Recorder(channel, directory / "full", options=Options(until_empty=True))
            start, before = time.perf_counter(), time.process_time()
            (recording,) = recorder.run()
            taken += time.perf_counter() - start
            cpu += time.process_time() - before
            done += recording.bytes
        shutil.rmtree(directory / "full")
    return Run(done / taken, done / taken, 0.0, cpu / taken)


def together(parent: str, directory: Path, seconds: float, waits: bool) -> Run:
    with rchan.create("full", parent, SUBBUF, SUBBUFS) as channel:
        recorder = Recorder(channel, directory / "full", options=Options())
        memory, before, start = private_memory(), time.process_time(), time.perf_counter()
        writers, results = _start(parent, seconds, waits)
        (done,) = recorder.run(lambda: not any(writer.is_alive() for writer in writers))
        taken, cpu = time.perf_counter() - start, time.process_time() - before
        grown = private_memory() - memory
        parts = _parts(writers, results)
    shutil.rmtree(directory / "full")
    assert done.bytes == sum(part.bytes for part in parts), "every stored record is there"
    tried = sum(part.tried for part in parts)
    assert done.bytes == tried or not waits, "nothing was dropped"
    writing = sum(part.cpu for part in parts)
    return Run(done.bytes / taken, tried / taken, writing / taken, cpu / taken, grown)


def private_memory() -> int:
    """KiB of this process's own memory: without the channel's, which it has mapped."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def disk_alone(directory: Path, seconds: float) -> float:
    """Bytes a second that plain write(2) brings into a file of `directory`, for so long."""
    data, done = bytes(SUBBUF), 0
    with (directory / "own").open("wb", buffering=0) as file:
        start = time.perf_counter()
        while (taken := time.perf_counter() - start) < seconds:
            done += file.write(data)
    (directory / "own").unlink()
    return done / taken


def _middle(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda run: run.rate)[len(runs) // 2]


def _line(name: str, run: Run, more: str = "") -> None:
    print(
        f"  {name:34}{run.rate / 1e9:6.2f} GB/s  "
        f"{run.writers:5.2f} + {run.recorder:4.2f} CPUs  {more}".rstrip()
    )


def full_speed(parent: str, directory: Path, rounds: int, seconds: float = 1.0) -> list[Result]:
    """Shares of the disk's own rate, and of what the CPUs allow; prints the reason."""
    disk, alone, drains, free, waiting = [], [], [], [], []
    for _ in range(rounds):
        disk.append(disk_alone(directory, seconds))
        alone.append(writers_alone(parent, seconds))
        drains.append(recorder_alone(parent, directory, seconds))
        free.append(together(parent, directory, seconds, False))
        waiting.append(together(parent, directory, seconds, True))
    own = statistics.median(disk)
    print(f"  {'plain write(2), alone':34}{own / 1e9:6.2f} GB/s  {'writers + recorder':>18}")
    _line("the writers, alone, overwriting", _middle(alone))
    _line("the recorder, alone", _middle(drains))
    run = _middle(free)
    dropped = 1 - run.rate / run.tried
    _line("together, as fast as they can", run, f"{dropped:.1%} dropped")
    run = _middle(waiting)
    _line("together, writers wait for room", run, "nothing dropped")
    grown = max(run.memory for run in free + waiting)
    print(f"  the recorder's own memory grew by {grown} KiB at most")
    # CPU seconds a byte, alone: together no more can be moved than the CPUs have.
    costs = [a.writers / a.rate + d.recorder / d.rate for a, d in zip(alone, drains, strict=True)]
    most = WRITERS / statistics.median(costs)
    print(
        f"  a KiB costs the writers {_cost(alone, 'writers'):.0f} and the recorder "
        f"{_cost(drains, 'recorder'):.0f} ns of CPU time, each alone: {WRITERS} CPUs move "
        f"{most / 1e9:.2f} GB/s"
    )
    print(
        f"  at most, {most / own:.2f} of the disk's own rate; what was moved without a drop is "
        f"{_middle(waiting).rate / own:.2f} of it"
    )
    print()
    return _shares(costs, disk, waiting)


def _cost(runs: list[Run], who: str) -> float:
    """ns of CPU time a KiB."""
    return statistics.median(1024e9 * getattr(run, who) / run.rate for run in runs)


def _shares(costs: list[float], disk: list[float], runs: list[Run]) -> list[Result]:
    """ns per KiB. The CPUs are the limit: so the bar is what all together cost of them."""
    cpu = [(1024e9 * cost, 1024e9 * r.cpus / r.rate) for cost, r in zip(costs, runs, strict=True)]
    time_of = [(1024e9 / own, 1024e9 / run.rate) for own, run in zip(disk, runs, strict=True)]
    return [
        summary("CPU time together, to each alone", cpu, 1 / 0.8),
        summary("time, to the disk alone", time_of, None),
    ]
