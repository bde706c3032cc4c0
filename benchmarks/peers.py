"""Ways for one producer to send records of 64 bytes to one consumer: rchan's, and the others'.

A transport is made in the parent, before the fork; `produce` and `consume` run in a process (or
thread) each. `produce` sends one record a call, none is lost; `consume` gives how many records it
got, each as a bytes object of its own. Each is used the fastest way that its documents show."""

from __future__ import annotations

import collections
import ctypes
import functools
import multiprocessing
import os
import time
from pathlib import Path
from struct import Struct
from types import ModuleType

import rchan

RECORD = b"x" * 64
FORK = multiprocessing.get_context("fork")


@functools.cache
def records_of(length: int) -> Struct:
    """So many bytes as records."""
    return Struct("64s" * (length // len(RECORD)))


class Transport:
    def produce(self, count: int) -> None:
        raise NotImplementedError

    def consume(self, count: int) -> int:
        raise NotImplementedError

    def close(self) -> str:
        """What there is to say about the round."""
        return ""


class Rchan(Transport):
    """Channel.write, repeated when it is full; the geometry that `create` has by itself."""

    def __init__(self, directory: str, subbuf_size: int = 262144, n_subbufs: int = 8) -> None:
        self.channel = rchan.create(
            "read", parent=directory, subbuf_size=subbuf_size, n_subbufs=n_subbufs
        )

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


class Queue(Transport):
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


class Pipe(Transport):
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


class Zmq(Transport):
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


class FasterFifo(Transport):
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


class Sample(ctypes.Structure):
    """A record as iceoryx2 wants its type."""

    _fields_ = [("data", ctypes.c_ubyte * len(RECORD))]


class Iceoryx2(Transport):
    """iceoryx2, publish and subscribe, told to wait for the subscriber instead of losing."""

    def __init__(self, module: ModuleType, directory: str) -> None:
        self.iox2 = module
        self.directory = directory
        self.prefix = f"rchan-bench-{os.getpid()}-"
        self.done = FORK.Event()
        module.set_log_level(module.LogLevel.Error)

    def service(self) -> tuple[object, object]:
        """Node and service of this process."""
        iox2 = self.iox2
        config = iox2.config.default()
        config.global_cfg.root_path = iox2.Path.new(self.directory)
        config.global_cfg.prefix = iox2.FileName.new(self.prefix)
        node = iox2.NodeBuilder.new().config(config).create(iox2.ServiceType.Ipc)
        builder = node.service_builder(iox2.ServiceName.new("read")).publish_subscribe(Sample)
        builder = builder.enable_safe_overflow(False).subscriber_max_buffer_size(8192)
        return node, builder.open_or_create()

    def produce(self, count: int) -> None:
        node, service = self.service()
        wait = self.iox2.BackpressureStrategy.RetryUntilDelivered
        publisher = service.publisher_builder().backpressure_strategy(wait).create()  # type: ignore[attr-defined]
        while not service.dynamic_config.number_of_subscribers:  # type: ignore[attr-defined]
            time.sleep(0.001)
        loan, size, fill = publisher.loan_uninit, len(RECORD), ctypes.memmove
        for _ in range(count):
            sample = loan()
            fill(sample.payload_ptr, RECORD, size)
            sample.assume_init().send()
        self.done.wait()
        del node

    def consume(self, count: int) -> int:
        node, service = self.service()
        subscriber = service.subscriber_builder().create()  # type: ignore[attr-defined]
        got, size, receive, copy = 0, len(RECORD), subscriber.receive, ctypes.string_at
        while got < count:
            sample = receive()
            if sample is None:
                time.sleep(0)
                continue
            copy(sample.payload_ptr, size)
            got += 1
        self.done.set()
        del node
        return got

    def close(self) -> str:
        """It leaves a file behind."""
        for file in Path("/dev/shm").glob(f"{self.prefix}*"):
            file.unlink()
        return ""


class Deque(Transport):
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
