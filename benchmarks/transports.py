"""Ways for producers to send records to a consumer: rchan's, and the standard library's.

A transport is made in the parent, before the fork, for records of one size. Each is used the
fastest way that its documents show. None of them loses a record, but `Channel`."""

from __future__ import annotations

import collections
import fcntl
import functools
import multiprocessing
import os
import socket
import struct
import tempfile
import time
import types
from collections.abc import Callable
from contextlib import suppress
from itertools import repeat
from multiprocessing.shared_memory import SharedMemory
from struct import Struct
from typing import Any

import rchan

FORK = multiprocessing.get_context("fork")
Send = Callable[[bytes], object]
PIPE_SIZE = 1 << 20


@functools.cache
def records_of(length: int, size: int) -> Struct:
    """So many bytes as records."""
    return Struct(f"{size}s" * (length // size))


def _send_all(send: Send, record: bytes, steps: repeat[None]) -> None:
    for _ in steps:
        send(record)


def loop_of(send: Send) -> Callable[[bytes, int], None]:
    """Sends so many. A copy of the code each: the interpreter specialises it for one callee."""
    own = types.FunctionType(_send_all.__code__.replace(), _send_all.__globals__)
    return lambda record, count: own(send, record, repeat(None, count))


class Transport:
    threads = False  # are producer and consumer threads of one process?
    capacity = 1 << 30  # records that fit while nobody reads

    def __init__(self, directory: str, size: int) -> None:
        self.directory, self.size = directory, size
        self._receive: Callable[[], bytes] | None = None

    def attach(self) -> None:
        """In the consumer, before anything is sent."""
        self._receive = self.receiver()

    def sender(self) -> Send:
        """In a producer: what sends one record."""
        raise NotImplementedError

    def produce(self, count: int) -> None:
        """Sends so many records, loses none."""
        loop_of(self.sender())(bytes(self.size), count)
        self.finish()

    def finish(self) -> None:
        """In a producer: all was sent."""
        self.flush()

    def flush(self) -> None:
        """In a producer, after a burst: what was sent can be read."""

    def consume(self, count: int) -> int:
        """So many records, or those that came before `end`, each as a bytes object; how many."""
        receive = self._receive
        assert receive is not None
        for _ in repeat(None, count):
            receive()
        return count

    def drain(self, count: int) -> int:
        """The same, the cheapest way there is: not each as an object of its own."""
        return self.consume(count)

    def receiver(self) -> Callable[[], bytes] | None:
        """In the consumer: what waits, asleep, for one record; None: nothing does."""
        return None

    def end(self) -> None:
        """In the parent: all producers have ended."""

    def close(self) -> str:
        """In the parent; what was lost."""
        return ""


class Channel(Transport):
    """Channel.write, as it is: what does not fit is dropped and counted."""

    overwrite = False
    geometry = (262144, 8)

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.base = next(tempfile._get_candidate_names())  # type: ignore[attr-defined]
        self.channel = rchan.create(self.base, directory, *self.geometry, overwrite=self.overwrite)

    def sender(self) -> Send:
        return self.channel.write

    def flush(self) -> None:
        self.channel.flush()

    def drain(self, count: int) -> int:
        got = 0
        for sub in self.channel.reader():
            got += len(bytes(sub)) // self.size
            if got == count:
                sub.release()
                break
        return got

    def consume(self, count: int) -> int:
        got, size = 0, self.size
        for sub in self.channel.reader():
            with sub.data as data:
                records: tuple[bytes, ...] = records_of(len(data), size).unpack(data)
            for _record in records:
                got += 1
            if got == count:
                sub.release()
                break
        return got

    def end(self) -> None:
        self.channel.finalize()

    def close(self) -> str:
        total = self.channel.stats().total
        self.channel.close()
        assert total.closes
        lost = total.overwritten.records + total.dropped.records
        return f"lost {lost / max(1, total.attempted.records):.1%}"


class Overwriting(Channel):
    """A flight recorder: never refuses, the oldest go."""

    overwrite = True


class Patient(Channel):
    """Channel.write, repeated when it is full; the geometry that `create` has by itself."""

    def sender(self) -> Send:
        write = self.channel.write

        def send(record: bytes) -> None:
            while not write(record):
                time.sleep(0.0005)

        return send

    def produce(self, count: int) -> None:
        write, record = self.channel.write, bytes(self.size)
        for _ in range(count):
            while not write(record):
                time.sleep(0.0005)
        self.channel.flush()

    def close(self) -> str:
        total = self.channel.stats().total
        self.channel.close()
        lost = total.overwritten.records + total.dropped_contended.records
        assert total.closes and not lost
        return f"{total.dropped_full.records:,} refused and repeated"


class PatientWhole(Patient):
    """The same, but the consumer gets whole sub-buffers, as one bytes object each."""

    def consume(self, count: int) -> int:
        return self.drain(count)


class PatientSmall(Patient):
    """The same with sub-buffers that stay in the reader's cache."""

    geometry = (65536, 64)


class WokenChannel(Channel):
    """A blocking RelayFile, woken at every record; one buffer, so that there is one file."""

    def __init__(self, directory: str, size: int) -> None:
        Transport.__init__(self, directory, size)
        self.channel = rchan.create(
            next(tempfile._get_candidate_names()),  # type: ignore[attr-defined]
            directory,
            *self.geometry,
            n_buffers=1,
        )
        self.channel.wakeup = "write"

    def receiver(self) -> Callable[[], bytes]:
        path = os.path.join(self.directory, self.channel.base + "0")
        file = rchan.open_file(path, blocking=True)
        return functools.partial(file.read, self.size)  # type: ignore[arg-type]


class Queue(Transport):
    """multiprocessing.Queue."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.queue: Any = FORK.Queue()

    def sender(self) -> Send:
        return self.queue.put

    def receiver(self) -> Callable[[], bytes]:
        return self.queue.get


class SimpleQueue(Queue):
    """multiprocessing.SimpleQueue, its pipe as large as may be."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.queue = FORK.SimpleQueue()
        enlarge(self.queue._writer.fileno())


def enlarge(pipe: int) -> None:
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


class Connection(Transport):
    """multiprocessing.Pipe, send_bytes and recv_bytes."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.reading, self.writing = FORK.Pipe(duplex=False)
        enlarge(self.writing.fileno())

    def sender(self) -> Send:
        return self.writing.send_bytes

    def receiver(self) -> Callable[[], bytes]:
        return self.reading.recv_bytes


class Chunks(Transport):
    """Bytes without ends of records: the consumer reads many and divides them."""

    def read(self) -> bytes:
        """Some bytes; it waits for them."""
        raise NotImplementedError

    def drain(self, count: int) -> int:
        left = count * self.size
        while left:
            left -= len(self.read())
        return count

    def consume(self, count: int) -> int:
        got, size, rest = 0, self.size, b""
        while got < count:
            data = rest + self.read() if rest else self.read()
            whole = len(data) // size * size
            rest = data[whole:]
            records: tuple[bytes, ...] = records_of(whole, size).unpack_from(data)
            for _record in records:
                got += 1
        return got


class Pipe(Chunks):
    """os.pipe."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.reading, self.writing = os.pipe()
        enlarge(self.writing)

    def sender(self) -> Send:
        return functools.partial(os.write, self.writing)

    def read(self) -> bytes:
        return os.read(self.reading, 65536)

    def receiver(self) -> Callable[[], bytes]:
        return functools.partial(os.read, self.reading, self.size)

    def close(self) -> str:
        os.close(self.reading)
        os.close(self.writing)
        return ""


class File(Chunks):
    """A buffered file in shared memory; who reads it cannot wait, so it looks again and again."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        fd, self.path = tempfile.mkstemp(dir=directory)
        self.reading = os.fdopen(fd, "rb", buffering=0)

    def sender(self) -> Send:
        self.writing = open(self.path, "ab")  # noqa: SIM115
        return self.writing.write

    def flush(self) -> None:
        self.writing.flush()

    def read(self) -> bytes:
        while not (data := self.reading.read(65536)):
            time.sleep(0)
        return data

    def close(self) -> str:
        self.reading.close()
        os.unlink(self.path)
        return ""


class UnixSocket(Transport):
    """A pair of SOCK_SEQPACKET: a record a message."""

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.reading, self.writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        so_sndbufforce = 32
        with suppress(PermissionError):
            self.writing.setsockopt(socket.SOL_SOCKET, so_sndbufforce, 4 << 20)
        room = self.writing.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.capacity = room // (4 * size + 2048)

    def sender(self) -> Send:
        return self.writing.send

    def receiver(self) -> Callable[[], bytes]:
        return functools.partial(self.reading.recv, self.size)

    def close(self) -> str:
        self.reading.close()
        self.writing.close()
        return ""


class SharedRing(Transport):
    """A ring in multiprocessing.shared_memory under a Lock; whoever reads it looks again."""

    PLACES = struct.Struct("QQ")  # written, read

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.room = 2 << 20
        self.memory = SharedMemory(create=True, size=64 + self.room)
        self.lock = FORK.Lock()
        self.capacity = self.room // size - 1

    def sender(self) -> Send:
        buf, lock, room, places, size = self.bound()

        def send(record: bytes) -> None:
            while True:
                with lock:
                    written, read = places.unpack_from(buf)
                    if written - read + size <= room:
                        at = 64 + written % room
                        buf[at : at + size] = record
                        places.pack_into(buf, 0, written + size, read)
                        return
                time.sleep(0)

        return send

    def bound(self) -> tuple[memoryview, Any, int, Struct, int]:
        return (
            self.memory.buf,
            self.lock,
            self.room // self.size * self.size,
            self.PLACES,
            self.size,
        )

    def consume(self, count: int) -> int:
        buf, lock, room, places, size = self.bound()
        got = 0
        while got < count:
            with lock:
                written, read = places.unpack_from(buf)
                if written != read:
                    at = 64 + read % room
                    bytes(buf[at : at + size])
                    places.pack_into(buf, 0, written, read + size)
                    got += 1
                    continue
            time.sleep(0)
        return got

    def close(self) -> str:
        self.memory.close()
        self.memory.unlink()
        return ""


class Deque(Transport):
    """collections.deque, between two threads of one process."""

    threads = True

    def __init__(self, directory: str, size: int) -> None:
        super().__init__(directory, size)
        self.records: collections.deque[bytes] = collections.deque()

    def sender(self) -> Send:
        return self.records.append

    def consume(self, count: int) -> int:
        got, popleft = 0, self.records.popleft
        while got < count:
            try:
                popleft()
                got += 1
            except IndexError:
                time.sleep(0)
        return got
