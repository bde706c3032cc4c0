"""Arguments whose own methods do something with the very object that they are given to."""

import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from binding import Channel, make

from rchan import _core, errors


class Acts:
    """Stands for a number, a truth, seconds or a path; asked for it, it acts first."""

    def __init__(self, act: Callable[[], object], value: Any) -> None:
        self.act, self.value = act, value

    def __index__(self) -> int:
        self.act()
        return self.value

    def __bool__(self) -> bool:
        self.act()
        return self.value

    def __float__(self) -> float:
        self.act()
        return self.value

    def __fspath__(self) -> str:
        self.act()
        return self.value


@pytest.fixture
def channel(channels: Path) -> Iterator[Channel]:
    """One buffer of 4 sub-buffers of 32 bytes."""
    channel = make(channels, n_buffers=1, cpus=[0])
    yield channel
    if not channel.closed:
        channel._close()


USES = {
    "enabled": lambda channel, act: setattr(channel, "enabled", Acts(act, True)),
    "_defer_wakeups": lambda channel, act: setattr(channel, "_defer_wakeups", Acts(act, True)),
    "_wakeup": lambda channel, act: setattr(channel, "_wakeup", Acts(act, 8)),
    "_wait": lambda channel, act: channel._wait(Acts(act, 0.1)),
    "_sleep: epoch": lambda channel, act: channel._sleep(Acts(act, 0), 0),
    "_sleep: timeout": lambda channel, act: channel._sleep(0, Acts(act, 0.1)),
    "_wait_taps": lambda channel, act: channel._wait_taps((), b"", Acts(act, 0.1)),
    "_late_setup": lambda channel, act: channel._late_setup(Acts(act, "/dev/shm"), "late"),
    "_metadata": lambda channel, act: channel._metadata(Acts(act, 0)),
    "_flush": lambda channel, act: channel._flush(Acts(act, 0)),
    "_prepare": lambda channel, act: channel._prepare(Acts(act, 0)),
    "write": lambda channel, act: channel.write(b"x", Acts(act, 0)),
    "reserve": lambda channel, act: channel.reserve(Acts(act, 4)),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_argument_that_closes_the_channel(channel: Channel, use: Callable[..., object]) -> None:
    with pytest.raises(errors.ChannelClosed):
        use(channel, channel._close)
    assert channel.closed


SLOT_USES = {
    "slot[i] = 1": lambda slot, act: slot.__setitem__(Acts(act, 1), 1),
    "slot[0] = i": lambda slot, act: slot.__setitem__(0, Acts(act, 1)),
    "slot[:i] = b''": lambda slot, act: slot.__setitem__(slice(0, Acts(act, 1)), b"1"),
    "slot[i]": lambda slot, act: slot[Acts(act, 1)],
    "slot[:i]": lambda slot, act: slot[: Acts(act, 1)],
}


@pytest.mark.parametrize("use", SLOT_USES.values(), ids=SLOT_USES)
def test_an_index_that_ends_the_slot(channel: Channel, use: Callable[..., object]) -> None:
    slot = channel.reserve(4)

    def end() -> None:
        slot.commit()
        channel._close()  # and with it its memory

    with pytest.raises(BufferError, match="was committed or aborted"):
        use(slot, end)


def test_a_length_that_gives_the_subbuf_back(channel: Channel) -> None:
    channel.write(b"x" * 30)
    channel._flush()
    sub = channel._buffers()[0].take()
    assert sub is not None
    assert sub.give_back(Acts(sub.give_back, 5)) is False
    assert not sub.held


def test_a_length_that_looks_at_the_subbuf(channel: Channel) -> None:
    channel.write(b"x" * 30)
    channel._flush()
    sub = channel._buffers()[0].take()
    assert sub is not None
    views = []
    with pytest.raises(BufferError, match="still lives"):
        sub.give_back(Acts(lambda: views.append(sub.data), 5))
    assert bytes(views.pop()) == b"x" * 30
    assert sub.give_back()


def test_memory_that_dies_with_a_hold(channels: Path, tmp_path: Path) -> None:
    """Its last reference goes when a long read was handed on: not while other threads run."""

    class Scratch(bytearray):
        pass

    length = 1 << 17
    channel = make(channels, n_buffers=1, cpus=[0], subbuf_size=length, n_subbufs=2)
    channel.write(b"r" * length)
    died: list[object] = []
    scratch = Scratch(length)
    alive = weakref.ref(scratch, died.append)
    held = channel._buffers()[0]._hold(length, 0, scratch)
    del scratch
    fd = os.open(tmp_path / "read", os.O_WRONLY | os.O_CREAT)
    held.deliver(fd, b"")
    os.close(fd)
    assert died == [alive]
    assert (tmp_path / "read").stat().st_size == length
    channel._close()


def test_a_buffer_is_one_object(channel: Channel) -> None:
    first, second = channel._buffers()[0], channel._buffers()[0]
    assert first is second
    assert isinstance(first, _core.Buffer)
