"""Runs a transport: producers and a consumer, a process (or thread) each."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import rivals
from report import Report
from transports import FORK, Transport, loop_of

Make = type[Transport]


def available(
    report: Report, named: Mapping[str, Make], directory: str, size: int
) -> dict[str, Make]:
    """Those that can be made; the others are named in the report."""
    found = {}
    for name, make in named.items():
        try:
            make(directory, size).close()
            found[name] = make
        except rivals.Absent as error:
            report.lacks(name, error)
    return found


def _workers(transport: Transport, *targets: Callable[[], None]) -> list[Any]:
    kind: Any = threading.Thread if transport.threads else FORK.Process
    workers = [kind(target=target, daemon=True) for target in targets]
    for worker in workers:
        worker.start()
    return workers


def timed(transport: Transport, count: int, producers: int = 1) -> tuple[float, str]:
    """ns per record, from the first one sent to the last one received; and what was lost."""
    barrier: Any = (threading if transport.threads else FORK).Barrier(producers + 1)
    near, far = FORK.Pipe(duplex=False)
    each = count // producers
    attached: Any = (threading if transport.threads else FORK).Event()

    def produce() -> None:
        attached.wait()
        barrier.wait()
        start = time.perf_counter_ns()
        transport.produce(each)
        far.send(("start", start))

    def consume() -> None:
        transport.attach()
        attached.set()
        barrier.wait()
        got = transport.consume(each * producers)
        far.send(("end", time.perf_counter_ns()))
        far.send(("got", got))

    workers = _workers(transport, consume, *[produce] * producers)
    said: dict[str, int] = {}
    for what, value in (near.recv() for _ in range(producers + 2)):
        said[what] = min(said.get(what, value), value)
    for worker in workers:
        worker.join()
    assert said["got"] == each * producers, f"{said['got']} of {each * producers}"
    return (said["end"] - said["start"]) / (each * producers), transport.close()


def bursts(transport: Transport, number: int, burst: int = 100) -> float:
    """The producer's ns per record of a burst that nobody reads before it is over; median."""
    orders, ordered = FORK.Pipe()
    burst = min(burst, transport.capacity)
    record = bytes(transport.size)

    def produce() -> None:
        orders.recv()
        loop, times = loop_of(transport.sender()), []
        for _ in range(number):
            start = time.perf_counter_ns()
            loop(record, burst)
            times.append((time.perf_counter_ns() - start) / burst)
            transport.flush()
            orders.send(burst)
            orders.recv()
        orders.send(0)
        orders.send(statistics.median(times))
        transport.finish()

    def consume() -> None:
        transport.attach()
        ordered.send(None)
        while count := ordered.recv():
            transport.drain(count)
            ordered.send(None)
        result.append(ordered.recv()) if transport.threads else far.send(ordered.recv())

    result: list[float] = []
    near, far = FORK.Pipe(duplex=False)
    workers = _workers(transport, consume, produce)
    found = result if transport.threads else [near.recv()]
    workers[0].join()
    transport.end()
    for worker in workers:
        worker.join()
    transport.close()
    return found[0]


def sustained(transport: Transport, count: int) -> tuple[float, str]:
    """The producer's ns per record, without a pause, while another process reads; and the loss."""
    near, far = FORK.Pipe(duplex=False)
    attached: Any = (threading if transport.threads else FORK).Event()

    def produce() -> None:
        attached.wait()
        record = bytes(transport.size)
        loop = loop_of(transport.sender())
        start = time.perf_counter_ns()
        loop(record, count)
        taken = (time.perf_counter_ns() - start) / count
        transport.finish()
        far.send(taken)

    def consume() -> None:
        transport.attach()
        attached.set()
        transport.drain(count)

    consumer, producer = _workers(transport, consume, produce)
    taken: float = near.recv()
    producer.join()
    transport.end()
    consumer.join()
    return taken, transport.close()


def latencies(transport: Transport, count: int, interval: float) -> list[float]:
    """ns from before a record is sent until its reader, asleep until then, has it."""
    near, far = FORK.Pipe(duplex=False)
    attached = FORK.Event()
    pad = bytes(transport.size - 8)

    def consume() -> None:
        receive = transport.receiver()
        assert receive is not None
        times = []
        attached.set()
        for _ in range(count):
            data = receive()
            times.append(time.perf_counter_ns() - int.from_bytes(data[:8], "little"))
        far.send(times)

    def produce() -> None:
        attached.wait()
        send = transport.sender()
        next_at = time.perf_counter_ns()
        for _ in range(count):
            next_at += int(interval * 1e9)
            time.sleep(max(0.0, (next_at - time.perf_counter_ns()) / 1e9))
            send(time.perf_counter_ns().to_bytes(8, "little") + pad)
        transport.finish()

    workers = [FORK.Process(target=target, daemon=True) for target in (consume, produce)]
    cpus = sorted(os.sched_getaffinity(0))
    for worker, cpu in zip(workers, (cpus[0], cpus[-1]), strict=True):
        worker.start()
        assert worker.pid is not None
        os.sched_setaffinity(worker.pid, {cpu})
    found: list[float] = near.recv()
    transport.end()
    for worker in workers:
        worker.join()
    transport.close()
    return found[count // 10 :]  # the first ones connect
