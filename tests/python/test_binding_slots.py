"""Reservations: records that are made in place."""

import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from binding import Channel, make

from rchan import _core, errors


@pytest.fixture
def channel(channels: Path) -> Iterator[Channel]:
    """One buffer of 4 sub-buffers of 32 bytes."""
    channel = make(channels, n_buffers=1, cpus=[0])
    yield channel
    if not channel.closed:
        channel._close()


@pytest.fixture
def buffer(channel: Channel) -> _core.Buffer:
    """The buffer of that channel."""
    return channel._buffers()[0]


def test_a_block_commits(channel: Channel, buffer: _core.Buffer) -> None:
    with channel.reserve(8) as slot:
        assert (len(slot), slot.position, slot.cpu, slot.stored) == (8, 0, 0, True)
        slot[:] = b"01234567"
        slot[0] = 0x41
        slot[-1] = 0x5A
        slot[1:3] = memoryview(b"..")
        slot[3:7:2] = bytearray(b"xy")
        slot[6:3:-2] = b"lr"
        assert slot[0] == 0x41
        assert slot[4:7] == b"ryl"
        assert slot[::-1] == b"ZlyrX..A".replace(b"X", b"x")
        assert buffer.read(9) == b""
    assert slot.stored
    assert buffer.read(9) == b"A..xrylZ"
    with channel.reserve(2) as slot:
        assert slot.position == 8
    assert buffer.books().written_records == 2


def test_an_exception_aborts(channel: Channel, buffer: _core.Buffer) -> None:
    with pytest.raises(KeyError), channel.reserve(4) as slot:
        slot[:] = b"gone"
        raise KeyError
    assert not slot.stored
    assert channel.write(b"kept")
    assert buffer.read(9) == b"kept"


def test_commit_and_abort_by_hand(channel: Channel, buffer: _core.Buffer) -> None:
    slot = channel.reserve(8)
    slot[:3] = b"abc"
    with pytest.raises(errors.GeometryError, match="9 cannot be committed"):
        slot.commit(9)
    slot.commit(3)
    for again in (slot.commit, slot.abort, lambda: slot[0], lambda: memoryview(slot)):
        with pytest.raises(BufferError, match="was committed or aborted"):
            again()
    with channel.reserve(8) as slot:
        slot[:] = b"defghijk"
        slot.commit(length=1)
    with channel.reserve(8) as slot:
        slot.abort()
    assert not slot.stored
    assert buffer.read(9) == b"abcd"


def test_a_dropped_slot_is_aborted(channel: Channel, buffer: _core.Buffer) -> None:
    """And that is said, as of a file that nobody closed."""
    with pytest.warns(ResourceWarning, match=r"^a slot of 8 bytes was neither committed nor"):
        channel.reserve(8)
    slot = channel.reserve(4)
    channel.reserve(4)  # refused, and counted
    with pytest.warns(ResourceWarning, match=r"^a slot of 4 bytes was"):
        del slot
    assert channel.write(b"next")
    assert buffer.read(9) == b"next"
    assert buffer.books().dropped_contended_records == 1


def test_slots_are_not_mixed_up(channels: Path) -> None:
    channel = make(channels)
    first, second = channel.reserve(1, 0), channel.reserve(1, cpu=1)
    first[0], second[0] = b"12"
    third = channel.reserve(1, 1)
    assert (first.cpu, second.cpu, third.stored) == (0, 1, False)
    second.commit()
    first.commit()
    del first, second, third
    with channel.reserve(1, 0) as slot:
        slot[0] = 0x33
    buffers = channel._buffers()
    assert (buffers[0].read(9), buffers[1].read(9)) == (b"13", b"2")


def test_a_refused_slot_takes_everything(channel: Channel, buffer: _core.Buffer) -> None:
    with channel.reserve(33) as slot:
        assert (slot.stored, len(slot), slot.position, slot.cpu) == (False, 33, -1, -1)
        slot[:] = b"x" * 33
        slot[0] = 1
        assert slot[:2] == b"\0\0"
        with pytest.raises(errors.GeometryError):
            slot[:] = b"short"
        with memoryview(slot) as view:
            view[:] = b"y" * 33
    slot.commit()
    slot.abort()
    assert not slot.stored
    with channel.reserve(2**70) as slot:
        slot[2**61] = 7
    assert buffer.books().dropped_too_big_records == 2
    assert buffer.read(9) == b""


@pytest.mark.parametrize("length", [-1, -(2**70)])
def test_no_length(channel: Channel, length: int) -> None:
    with pytest.raises(errors.GeometryError, match="length"):
        channel.reserve(length)


def test_a_reservation_of_nothing(channel: Channel, buffer: _core.Buffer) -> None:
    with channel.reserve(0) as slot:
        assert slot.stored
        slot[:] = b""
    assert buffer.books().written_records == 0


def test_views_write_through(channel: Channel, buffer: _core.Buffer) -> None:
    with channel.reserve(4) as slot, memoryview(slot) as view:
        assert not view.readonly
        view[:] = b"view"
        for end in (slot.commit, slot.abort):
            with pytest.raises(BufferError, match="release it first"):
                end()
        assert slot[1:3] == b"ie"
    assert buffer.read(9) == b"view"


def test_a_view_that_stays_is_complained_of(channel: Channel) -> None:
    buffer = channel._buffers()[0]
    died = weakref.ref(buffer)
    with pytest.raises(BufferError, match="still lives"), channel.reserve(4) as slot:
        view = memoryview(slot)
        view[:] = b"left"
    assert channel.write(b"next")
    assert buffer.read(9) == b"leftnext"
    channel._close()
    del buffer
    assert view == b"left"
    view.release()
    assert died() is None


def test_an_exception_is_not_hidden_by_a_view(channel: Channel, buffer: _core.Buffer) -> None:
    with pytest.raises(KeyError), channel.reserve(4) as slot:
        view = memoryview(slot)
        raise KeyError
    assert channel.write(b"next")
    assert buffer.read(9) == b"next"
    view.release()


def test_bad_values(channel: Channel) -> None:
    with channel.reserve(4) as slot:
        for key in (4, -5):
            with pytest.raises(IndexError, match="4 bytes"):
                slot[key] = 0
        with pytest.raises(errors.WrongType):
            slot["0"] = 0  # type: ignore[index]
        with pytest.raises(errors.WrongType):
            slot[0] = b"0"
        with pytest.raises(errors.WrongType):
            slot[:] = "text"
        with pytest.raises(errors.WrongType):
            del slot[0]  # type: ignore[attr-defined]
        for value in (-1, 256, 2**70):
            with pytest.raises(errors.GeometryError):
                slot[0] = value


def test_the_channel_stays_while_a_slot_is_open(channel: Channel, buffer: _core.Buffer) -> None:
    slot = channel.reserve(4)
    for end in (channel._close, channel._detach):
        with pytest.raises(errors.ChannelBusy, match="commit or abort it first"):
            end()
    assert not channel.closed
    slot[:] = b"last"
    slot.commit()
    channel._close()
    assert buffer.read(9) == b"last"


def test_an_ended_slot_holds_nothing(channel: Channel) -> None:
    died = weakref.ref(channel.attachment)
    with channel.reserve(4) as slot:
        pass
    channel._close()
    assert died() is None
    assert slot.stored


def test_an_open_slot_holds_its_channel(channels: Path) -> None:
    slot = make(channels, n_buffers=1, cpus=[0]).reserve(4)
    slot[:] = b"held"
    slot.commit()
    assert Channel._attach(str(channels), "app", None)._buffers()[0].read(9) == b"held"


def test_slots_cost_no_memory(channel: Channel) -> None:
    for _ in range(3):
        with channel.reserve(1):
            pass
    before = sys.getallocatedblocks()
    for _ in range(1000):
        with channel.reserve(1):
            pass
    assert abs(sys.getallocatedblocks() - before) < 50


def test_the_parents_slot_is_void_in_the_child(channel: Channel, buffer: _core.Buffer) -> None:
    slot = channel.reserve(4)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            slot[:] = b"evil"
        except BufferError:
            slot.commit()
            channel._close()
            status = 0 if not slot.stored else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    slot[:] = b"good"
    slot.commit()
    assert buffer.read(9) == b"good"
