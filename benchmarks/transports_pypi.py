"""The same from PyPI, and POSIX message queues; see transports.py. Each raises rivals.Absent."""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import rivals
from transports import FORK, Send, Transport


class MessageQueue(Transport):
    """POSIX message queues (posix_ipc), as long as the system lets them be."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        ipc = rivals.load("posix_ipc")
        name = f"/rchan-bench-{os.getpid()}-{id(self)}"
        for capacity in (128, 10):
            with suppress(ValueError, OSError, ipc.Error):
                flags = ipc.O_CREAT | ipc.O_EXCL
                self.queue = ipc.MessageQueue(
                    name, flags, max_messages=capacity, max_message_size=size
                )
                self.capacity = capacity
                break
        else:
            raise rivals.Absent("the system gives no message queue (RLIMIT_MSGQUEUE)")
        self.queue.unlink()

    def sender(self) -> Send:
        return self.queue.send

    def receiver(self) -> Callable[[], bytes]:
        receive = self.queue.receive
        return lambda: receive()[0]

    def close(self) -> str:
        self.queue.close()
        return ""


class Zmq(Transport):
    """pyzmq, PUSH to PULL over ipc, without a limit."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.zmq = rivals.load("zmq")
        self.address = f"ipc://{directory}/zmq-{id(self)}"

    def sender(self) -> Send:
        self.context = self.zmq.Context()
        self.socket = self.context.socket(self.zmq.PUSH)
        self.socket.set_hwm(0)
        self.socket.connect(self.address)
        return self.socket.send

    def finish(self) -> None:
        self.socket.close(linger=-1)
        self.context.term()

    def receiver(self) -> Callable[[], bytes]:
        self.context = self.zmq.Context()
        self.socket = self.context.socket(self.zmq.PULL)
        self.socket.set_hwm(0)
        self.socket.bind(self.address)
        return self.socket.recv


class FasterFifo(Transport):
    """faster-fifo: put one by one, get_many; bytes go as they are, without pickle."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        module = rivals.load("faster_fifo")

        def as_is(data: bytes) -> bytes:
            return data

        self.queue = module.Queue(max_size_bytes=8 << 20, loads=bytes, dumps=as_is)

    def sender(self) -> Send:
        return functools.partial(self.queue.put, timeout=60.0)

    def consume(self, count: int) -> int:
        got = 0
        while got < count:
            got += len(self.queue.get_many(timeout=60.0, max_messages_to_get=1000))
        return got

    def receiver(self) -> Callable[[], bytes]:
        return functools.partial(self.queue.get, timeout=60.0)


@functools.cache
def sample_of(size: int) -> type[ctypes.Structure]:
    """A record as iceoryx2 wants its type."""
    fields = [("data", ctypes.c_ubyte * size)]
    return type(f"Sample{size}", (ctypes.Structure,), {"_fields_": fields})


class Iceoryx2(Transport):
    """iceoryx2, publish and subscribe, told to wait for the subscriber instead of losing."""

    capacity = 8192

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.iox2 = rivals.load("iceoryx2")
        self.prefix = f"rchan-bench-{os.getpid()}-{id(self)}-"
        self.done = FORK.Event()
        self.iox2.set_log_level(self.iox2.LogLevel.Error)

    def service(self) -> object:
        """Of this process."""
        iox2 = self.iox2
        config = iox2.config.default()
        config.global_cfg.root_path = iox2.Path.new(self.directory)
        config.global_cfg.prefix = iox2.FileName.new(self.prefix)
        self.node = iox2.NodeBuilder.new().config(config).create(iox2.ServiceType.Ipc)
        name = iox2.ServiceName.new("read")
        builder = self.node.service_builder(name).publish_subscribe(sample_of(self.size))
        builder = builder.enable_safe_overflow(False).subscriber_max_buffer_size(8192)
        return builder.open_or_create()

    def sender(self) -> Send:
        self.made = service = self.service()
        wait = self.iox2.BackpressureStrategy.RetryUntilDelivered
        self.publisher = service.publisher_builder().backpressure_strategy(wait).create()  # type: ignore[attr-defined]
        while not service.dynamic_config.number_of_subscribers:  # type: ignore[attr-defined]
            time.sleep(0.001)
        loan, size, fill = self.publisher.loan_uninit, self.size, ctypes.memmove

        def send(record: bytes) -> None:
            sample = loan()
            fill(sample.payload_ptr, record, size)
            sample.assume_init().send()

        return send

    def finish(self) -> None:
        self.done.wait()

    def attach(self) -> None:
        self.made = self.service()
        self.subscriber = self.made.subscriber_builder().create()  # type: ignore[attr-defined]

    def consume(self, count: int) -> int:
        got, size, receive, copy = 0, self.size, self.subscriber.receive, ctypes.string_at
        while got < count:
            sample = receive()
            if sample is None:
                time.sleep(0)
                continue
            copy(sample.payload_ptr, size)
            got += 1
        self.done.set()
        return got

    def close(self) -> str:
        """It leaves files behind."""
        for file in Path("/dev/shm").glob(f"{self.prefix}*"):
            file.unlink()
        return ""
