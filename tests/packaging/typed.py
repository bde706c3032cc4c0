"""The public names, used as documented: `mypy --strict` has nothing to say, but where it should.

It is never run. A line with `type: ignore` is one that a type checker must complain about.
"""

import asyncio
import logging
from enum import Enum
from typing import assert_type

import rchan
from rchan import events, recorder, relay, tracefile
from rchan.clients.message import line_of


class State(Enum):
    """An enum as the type of a field."""

    IDLE = 0
    BUSY = 1


class Headers(rchan.Callbacks):
    """Callbacks of a channel."""

    def subbuf_start(
        self,
        buf: rchan.Buffer,
        subbuf: memoryview,
        prev_subbuf: memoryview | None,
        prev_padding: int,
    ) -> bool:
        return True


def write(name: str) -> None:
    """Channels and records."""
    with rchan.create(name, subbuf_size=4096, overwrite=True, callbacks=Headers()) as channel:
        assert_type(channel, rchan.Channel)
        assert_type(channel.write(b"record"), bool)
        channel.write(memoryview(b"record"), 0)
        with channel.reserve(8) as slot:
            slot[:] = b"12345678"
            assert_type(memoryview(slot).nbytes, int)
        channel.wakeup = ("bytes", 4096)
        channel.flush()
        assert_type(channel.stats().total.readable.records, int)
        assert_type(channel.snapshot().data(), bytes)
        assert_type([info.name for info in rchan.list()], list[str])
    rchan.remove(name, missing_ok=True)


def read(channel: rchan.Channel) -> bytes:
    """Every way to read."""
    for sub in channel.reader(in_time_order=True, timeout=1.0):
        assert_type(sub, rchan.TakenSubbuf)
        assert_type(sub.lost.total.records, int)
    for copy in channel.tap(timeout=0):
        assert_type(copy.missed, tuple[int, int, int])
    with rchan.open_file("/dev/shm/rchan-0/app0", blocking=True) as file:
        assert_type(file.read(10), bytes)
    sub_or_none = channel.buffers[0].take()
    assert_type(sub_or_none, rchan.Subbuf | None)
    return b"" if sub_or_none is None else bytes(sub_or_none)


async def read_async(channel: rchan.Channel) -> int:
    """In an event loop."""
    total = 0
    async for sub in channel.reader():
        total += sub.records
    return total


def trace() -> None:
    """Events and logs."""
    with rchan.Tracer("app") as tracer:
        request = tracer.event("request", user=rchan.u64, path=str, state=State)
        assert_type(request(42, "/", State.BUSY), bool)
        with tracer.span("parse", file="a.py"):
            pass
        with events.read(tracer.channel) as reading:
            for event in reading:
                assert_type(event, events.EventRecord)
                print(event.time, line_of(event.fields))
    logging.getLogger().addHandler(rchan.LogHandler("app"))


def record(channel: rchan.Channel, directory: str) -> None:
    """To disk, and back."""
    (done,) = recorder.record(channel, directory, options=recorder.Options(until_empty=True))
    assert_type(done.records, int)
    with tracefile.open(directory) as trace:
        for sub in trace:
            assert_type(bytes(sub.data), bytes)


def errors() -> None:
    """Errors are also the builtins they resemble."""
    try:
        rchan.open("app")
    except FileNotFoundError as error:
        assert_type(error, FileNotFoundError)
    missing: type[FileNotFoundError] = rchan.ChannelNotFound
    print(missing, rchan.__version__)


def wrong(channel: rchan.Channel) -> None:
    """What must not pass."""
    channel.write("text")  # type: ignore[arg-type]
    rchan.create(1)  # type: ignore[arg-type]
    channel.wakeup = "sometimes"  # type: ignore[assignment]
    channel.no_such_thing()  # type: ignore[attr-defined]
    relay.relay_write(channel)  # type: ignore[call-arg]


asyncio.run(read_async(rchan.open("app")))
