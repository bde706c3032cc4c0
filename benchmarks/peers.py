"""Ways for one producer to send records of 64 bytes to one consumer: rchan's, and the others'.

A transport is made in the parent, before the fork; `produce` and `consume` run in a process (or
thread) each. `consume` gives how many records it got, each as a bytes object."""

from __future__ import annotations

import collections
import functools
import importlib
import multiprocessing
import subprocess
import sys
import time
from struct import Struct
from types import ModuleType
from typing import Protocol

import rchan

RECORD = b"x" * 64
FORK = multiprocessing.get_context("fork")


@functools.cache
def records_of(length: int) -> Struct:
    """So many bytes as records."""
    return Struct("64s" * (length // len(RECORD)))


class Transport(Protocol):
    def produce(self, count: int) -> None: ...
    def consume(self, count: int) -> int: ...


class Rchan:
    """Channel.write, repeated when it is full; every record becomes a bytes object."""

    def __init__(self, directory: str) -> None:
        self.channel = rchan.create("read", parent=directory, subbuf_size=65536, n_subbufs=64)

    def produce(self, count: int) -> None:
        write, record = self.channel.write, RECORD
        for _ in range(count):
            while not write(record):
                time.sleep(0.0005)
        self.channel.finalize()

    def consume(self, count: int) -> int:
        got = 0
        for sub in self.channel.reader():
            with sub.data as data:
                records: tuple[bytes, ...] = records_of(len(data)).unpack(data)
            for _record in records:
                got += 1
        return got

    def close(self) -> str:
        total = self.channel.stats().total
        self.channel.close()
        lost = total.overwritten.records + total.dropped_contended.records
        assert total.closes
        return f"{lost} lost, {total.dropped_full.records} refused and repeated"


class RchanWhole(Rchan):
    """The same, but the consumer gets whole sub-buffers, as one bytes object each."""

    def consume(self, count: int) -> int:
        return sum(len(bytes(sub)) // len(RECORD) for sub in self.channel.reader())


class Queue:
    """multiprocessing.Queue and SimpleQueue."""

    def __init__(self, queue: object) -> None:
        self.queue = queue

    def produce(self, count: int) -> None:
        put = self.queue.put  # type: ignore[attr-defined]
        for _ in range(count):
            put(RECORD)

    def consume(self, count: int) -> int:
        get = self.queue.get  # type: ignore[attr-defined]
        for _ in range(count):
            get()
        return count


class Pipe:
    """multiprocessing.Pipe, send_bytes and recv_bytes."""

    def __init__(self) -> None:
        self.reading, self.writing = FORK.Pipe(duplex=False)

    def produce(self, count: int) -> None:
        for _ in range(count):
            self.writing.send_bytes(RECORD)

    def consume(self, count: int) -> int:
        for _ in range(count):
            self.reading.recv_bytes()
        return count


class Zmq:
    """pyzmq, PUSH to PULL over ipc, without a limit."""

    def __init__(self, module: ModuleType, directory: str) -> None:
        self.zmq = module
        self.address = f"ipc://{directory}/zmq"

    def produce(self, count: int) -> None:
        context = self.zmq.Context()
        socket = context.socket(self.zmq.PUSH)
        socket.set_hwm(0)
        socket.connect(self.address)
        send = socket.send
        for _ in range(count):
            send(RECORD)
        socket.close(linger=-1)
        context.term()

    def consume(self, count: int) -> int:
        context = self.zmq.Context()
        socket = context.socket(self.zmq.PULL)
        socket.set_hwm(0)
        socket.bind(self.address)
        receive = socket.recv
        for _ in range(count):
            receive()
        socket.close()
        context.term()
        return count


class FasterFifo:
    """faster-fifo: put one by one, get_many; bytes go as they are, without pickle."""

    def __init__(self, module: ModuleType) -> None:
        def as_is(data: bytes) -> bytes:
            return data

        self.queue = module.Queue(max_size_bytes=8 << 20, loads=bytes, dumps=as_is)

    def produce(self, count: int) -> None:
        put = self.queue.put
        for _ in range(count):
            put(RECORD, timeout=60.0)

    def consume(self, count: int) -> int:
        got = 0
        while got < count:
            got += len(self.queue.get_many(timeout=60.0, max_messages_to_get=1000))
        return got


class Deque:
    """collections.deque, between two threads of one process."""

    def __init__(self) -> None:
        self.records: collections.deque[bytes] = collections.deque()

    def produce(self, count: int) -> None:
        append, record = self.records.append, RECORD
        for _ in range(count):
            append(record)

    def consume(self, count: int) -> int:
        got, popleft = 0, self.records.popleft
        while got < count:
            try:
                popleft()
                got += 1
            except IndexError:
                time.sleep(0)
        return got


def optional(directory: str, install: bool) -> tuple[dict[str, ModuleType], list[str]]:
    """The peers that are not of the standard library, and what there is to say about them.

    What cannot be imported is installed into `directory`, for this run only."""
    wanted = {"zmq": "pyzmq", "faster_fifo": "faster-fifo"}
    found: dict[str, ModuleType] = {}
    notes = []
    sys.path.append(directory)
    for module, package in wanted.items():
        for attempt in ("as it is", "installed"):
            try:
                found[module] = importlib.import_module(module)
                break
            except ImportError as error:
                if attempt == "installed" or not install or not _install(package, directory):
                    notes.append(f"missing: {package} ({error})")
                    break
                importlib.invalidate_caches()
    return found, notes


def _install(package: str, directory: str) -> bool:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", directory, package]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    return done.returncode == 0
