"""The C binding: closed handles, wrong types, values out of range; nothing of it costs memory."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from binding import Channel, make

from rchan import _core, errors

CLOSED_CALLS: dict[str, Callable[[Channel], object]] = {
    "write": lambda channel: channel.write(b""),
    "write any": lambda channel: channel.write(bytearray(), cpu=0),
    "reserve": lambda channel: channel.reserve(1),
    "_flush": lambda channel: channel._flush(),
    "_reset": lambda channel: channel._reset(),
    "_finalize": lambda channel: channel._finalize(),
    "_close": lambda channel: channel._close(),
    "_late_setup": lambda channel: channel._late_setup("/dev/shm", "other"),
    "_prepare": lambda channel: channel._prepare(0),
    "_buffers": lambda channel: channel._buffers(),
    "_wait": lambda channel: channel._wait(0),
    "_sleeper_add": lambda channel: channel._sleeper_add(),
    "_sleep": lambda channel: channel._sleep(0, 0),
    "_producers": lambda channel: channel._producers(),
    "_run_wakeups": lambda channel: channel._run_wakeups(),
    "enabled": lambda channel: setattr(channel, "enabled", True),
    **{
        name: lambda channel, name=name: getattr(channel, name)
        for name in (
            *("enabled", "finalized", "creator", "base", "directory", "attachment", "owner_wait"),
            *("subbuf_size", "n_subbufs", "n_buffers", "alloc_size", "overwrite", "last_toobig"),
            *("created_ns", "_defer_wakeups"),
        )
    },
}


@pytest.mark.parametrize("call", CLOSED_CALLS.values(), ids=CLOSED_CALLS)
@pytest.mark.parametrize("end", ["_close", "_detach"])
def test_nothing_works_after_the_end(
    channels: Path, call: Callable[[Channel], object], end: str
) -> None:
    channel = make(channels)
    getattr(channel, end)()
    with pytest.raises(errors.ChannelClosed, match="closed"):
        call(channel)
    assert channel.closed
    channel._detach()


def test_detach_leaves_the_channel_there(channels: Path) -> None:
    make(channels)._detach()
    other = Channel._attach(str(channels), "app", None)
    assert not other.creator
    other._close()
    assert sorted(os.listdir(channels)) == ["app.chan", "app0", "app1"]


WRONG_TYPES: dict[str, Callable[[Channel], object]] = {
    "no bytes": lambda channel: channel.write("text"),  # type: ignore[arg-type]
    "not contiguous": lambda channel: channel.write(memoryview(b"abcd")[::2]),
    "cpu": lambda channel: channel.write(b"", cpu=1.5),  # type: ignore[arg-type]
    "length": lambda channel: channel.reserve("4"),  # type: ignore[arg-type]
    "prepare": lambda channel: channel._prepare(None),  # type: ignore[arg-type]
    "read": lambda channel: channel._buffers()[0].read(None),  # type: ignore[arg-type]
    "readinto": lambda channel: channel._buffers()[0].readinto(b"read-only"),
    "wait": lambda channel: channel._buffers()[0].wait("1"),  # type: ignore[arg-type]
    "subbuf": lambda channel: channel._buffers()[0].subbuf(b""),  # type: ignore[arg-type]
    "link": lambda channel: channel._buffers()[0].link(7),  # type: ignore[arg-type]
    "base": lambda channel: _core.remove("/dev/shm", 7),  # type: ignore[arg-type]
    "no base": lambda channel: Channel._attach(
        channel.directory,
        None,
        None,  # type: ignore[arg-type]
    ),
    "cpus": lambda channel: make(Path(channel.directory), "b", cpus=7),
    "hooks": lambda channel: Channel._attach(
        channel.directory,
        "app",
        [None],  # type: ignore[arg-type]
    ),
    "hook": lambda channel: make(Path(channel.directory), "b", deliver=7),
}


@pytest.mark.parametrize("call", WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_wrong_types(channels: Path, call: Callable[[Channel], object]) -> None:
    channel = make(channels)
    with pytest.raises(errors.WrongType, match=r"must be .*, not ") as caught:
        call(channel)
    assert isinstance(caught.value, TypeError)


def test_wrong_arguments(channels: Path) -> None:
    channel = make(channels)
    for args, names in [((), {}), ((b"", 0, 0), {}), ((b"",), {"data": b""}), ((b"",), {"no": 1})]:
        with pytest.raises(TypeError, match=r"write\(\)"):
            channel.write(*args, **names)


@pytest.mark.parametrize("cpu", [-1, 2**31, 2**64, -(2**64)])
def test_no_such_cpu(channels: Path, cpu: int) -> None:
    channel = make(channels)
    for call in (channel._prepare, channel._flush, lambda cpu: channel.write(b"", cpu)):
        with pytest.raises(errors.NoSuchBuffer, match=str(cpu)):
            call(cpu)


@pytest.mark.parametrize("size", [0, -1, 2**32, 2**64])
def test_geometry_errors(channels: Path, size: int) -> None:
    for name in ("subbuf_size", "n_subbufs", "n_buffers"):
        with pytest.raises(errors.GeometryError, match=name):
            make(channels, **{name: size})
    assert os.listdir(channels) == []


def test_errors_carry_errno_and_a_sentence(channels: Path) -> None:
    with pytest.raises(errors.ChannelNotFound, match="app") as missing:
        Channel._attach(str(channels), "app", None)
    channel = make(channels)
    with pytest.raises(errors.ChannelExists, match="app") as there:
        make(channels)
    assert (missing.value.errno, there.value.errno) == (2, 17)
    with pytest.raises(errors.BadName, match="base"):
        _core.remove(str(channels), "a\0b")
    with pytest.raises(errors.ChannelExists, match="app1"):
        channel._buffers()[0].link("app1")


def test_remove(channels: Path) -> None:
    make(channels)._detach()
    _core.remove(str(channels), "app")
    assert os.listdir(channels) == []
    with pytest.raises(errors.ChannelNotFound):
        _core.remove(str(channels), "app")


def outcome_of(call: Callable[[Channel], object], channel: Channel) -> type[BaseException] | None:
    """What it raises."""
    try:
        call(channel)
    except (errors.RchanError, BufferError) as error:
        return type(error)
    return None


def use_slot(channel: Channel) -> None:
    """Reserve, fill through a view, commit; be refused; leave a view behind."""
    with channel.reserve(8) as slot, memoryview(slot) as view:
        view[:] = slot[:]
    with channel.reserve(64) as slot:
        slot[:] = memoryview(slot)
    with channel.reserve(8) as slot:
        view = memoryview(slot)


def use_reader(channel: Channel) -> None:
    """Flush, take, look at everything, give back, read."""
    for buffer in channel._buffers().values():
        buffer.flush()
        taken = buffer.take()
        if taken is not None:
            _ = [getattr(taken, name) for name in dir(taken) if name != "data"]
            bytes(taken.data)
            taken.give_back()
        _ = [getattr(buffer, name) for name in dir(buffer) if not name.startswith("__")]
        buffer.read(32)
        buffer.readinto(bytearray(8))
        buffer.books()


def use_another(channel: Channel) -> None:
    """Attach with hooks, write, close."""
    hooked = (None, None, lambda *_: True, lambda *_: None, None)
    other = Channel._attach(channel.directory, "app", hooked)
    for _ in range(9):
        other.write(b"x" * 32)
    other._close()


def fail_to_create(channel: Channel) -> None:
    """Hooks keep nothing of a create that one of them refuses."""
    make(Path(channel.directory), "other", create_buf_file=lambda buffer, _name: buffer.memory[0])


USES = {
    "use_slot": use_slot,
    "use_reader": use_reader,
    "use_another": use_another,
    "fail_to_create": fail_to_create,
    "write": lambda channel: channel.write(bytearray(8), cpu=1),
    "wait": lambda channel: channel._wait(0),
    "lists": lambda channel: (channel._flush(), channel._reset(), channel._producers()),
    "properties": lambda channel: [
        getattr(channel, name) for name in dir(channel) if not name.startswith("__")
    ],
    **{f"wrong {name}": call for name, call in WRONG_TYPES.items()},
    "exists": lambda channel: make(Path(channel.directory)),
    "missing": lambda channel: Channel._attach(channel.directory, "other", None),
    "no CPU": lambda channel: channel.write(b"", 2**70),
}


@pytest.mark.parametrize("call", USES.values(), ids=USES)
def test_doing_it_again_costs_no_memory(
    channels: Path, open_files: None, call: Callable[[Channel], object]
) -> None:
    channel = make(channels)
    first = [outcome_of(call, channel) for _ in range(50)][-1]
    before = sys.getallocatedblocks()
    for _ in range(1000):
        assert outcome_of(call, channel) is first
    assert sys.getallocatedblocks() - before < 500  # the interpreter's own are some dozens
    channel._close()
