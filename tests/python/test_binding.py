"""The C binding: how long its objects live, reading, interpreters of their own."""

import gc
import os
import select
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from binding import Channel, make

from rchan import _core, errors

SUBBUF = b"x" * 32


def test_attachment_dies_with_the_channel_that_is_closed(channels: Path) -> None:
    channel = make(channels)
    attachment = weakref.ref(channel.attachment)
    channel._close()
    assert attachment() is None
    assert channel.closed


def test_attachment_dies_with_a_channel_that_nobody_closed(channels: Path) -> None:
    channel = make(channels)
    attachment = weakref.ref(channel.attachment)
    channel._buffers()
    del channel
    assert attachment() is None
    assert (channels / "app.chan").exists()


def test_attachment_lives_as_long_as_a_buffer(channels: Path) -> None:
    channel = make(channels)
    attachment = weakref.ref(channel.attachment)
    buffer = channel._buffers()[1]
    channel._close()
    assert attachment() is buffer.attachment
    del buffer
    assert attachment() is None


def test_a_buffer_has_one_object(channels: Path) -> None:
    channel = make(channels)
    first = channel._buffers()
    assert channel._buffers() == first
    assert channel._prepare(1) is first[1]
    assert sorted(first) == [buffer.index for buffer in first.values()] == [0, 1]


def test_buffers_die_one_by_one_as_their_files_go(channels: Path) -> None:
    happened: list[str] = []

    def remove(_buffer: _core.Buffer, name: str | None) -> None:
        assert name is not None
        happened.append(f"remove {name}")
        (channels / name).unlink()

    channel = make(channels, remove_buf_file=remove)
    for index, buffer in channel._buffers().items():
        weakref.finalize(buffer, happened.append, f"buffer {index} died")
    weakref.finalize(channel.attachment, happened.append, "attachment died")
    del buffer
    channel._close()
    assert happened == [
        *("remove app0", "buffer 0 died", "remove app1", "buffer 1 died", "attachment died")
    ]


def test_a_buffer_outlives_its_channel(channels: Path) -> None:
    channel = make(channels)
    buffer = channel._buffers()[0]
    channel.write(SUBBUF, cpu=0)
    channel.write(b"rest", cpu=0)
    channel._close()
    assert os.listdir(channels) == []
    assert buffer.poll() == select.POLLERR
    assert buffer.wait() == select.POLLERR
    taken = buffer.take()
    assert taken is not None
    assert bytes(taken.data) == SUBBUF
    assert taken.give_back()
    assert buffer.read(100) == b"rest"
    assert buffer.books().consumed_bytes == 36


def test_a_view_of_memory_keeps_it_mapped(channels: Path) -> None:
    channel = make(channels)
    buffer = channel._buffers()[0]
    died = weakref.ref(buffer)
    memory, subbuf = buffer.memory, buffer.subbuf(3)
    assert memory.readonly
    assert not subbuf.readonly
    assert (memory.nbytes, subbuf.nbytes) == (buffer.alloc_size, 32)
    channel.write(b"seen", cpu=0)
    subbuf[:4] = b"also"
    channel._close()
    del channel, buffer
    assert memory[:4] == b"seen"
    assert memory[96:100] == b"also"
    del subbuf
    assert died() is not None
    memory.release()
    assert died() is None


def test_memory_is_unmapped_with_the_last_user(channels: Path, open_files: None) -> None:
    channel = make(channels)
    memory = channel._buffers()[0].memory
    channel._close()
    memory.release()


def test_a_subbuf_holds_its_buffer_until_given_back(channels: Path) -> None:
    channel = make(channels)
    channel.write(SUBBUF, cpu=0)
    channel._flush()
    buffer = channel._buffers()[0]
    taken = buffer.take()
    assert taken is not None
    died = weakref.ref(buffer)
    channel._close()
    del buffer
    assert died() is not None
    assert taken.give_back()
    assert died() is None
    assert (taken.cpu, taken.seq, taken.length, taken.records) == (0, 0, 32, 1)
    assert taken.whole
    assert not taken.held


def test_a_dropped_subbuf_is_put_down(channels: Path) -> None:
    channel = make(channels)
    channel.write(SUBBUF, cpu=0)
    channel._flush()
    buffer = channel._buffers()[0]
    taken = buffer.take()
    with pytest.raises(BlockingIOError, match="another reader"):
        buffer.take()
    del taken
    again = buffer.take()
    assert again is not None
    assert again.seq == 0


def test_cycles_through_hooks_are_collected(channels: Path) -> None:
    seen: list[Any] = []
    channel = make(channels, deliver=lambda buffer, _index, seen=seen: seen.append(buffer))
    seen.append(channel)
    channel.write(SUBBUF, cpu=0)
    channel._flush()
    slot = channel.reserve(4, 1)
    seen += [slot, seen[1].memory, seen[1].take()]
    assert all(gc.is_tracked(item) for item in (channel, channel.attachment, slot, *seen[1:]))
    died = weakref.ref(channel.attachment)
    del channel, slot, seen
    assert died() is not None
    with pytest.warns(ResourceWarning, match="a slot of 4 bytes"):
        gc.collect()
    assert died() is None


def test_a_closed_channel_drops_its_hooks(channels: Path) -> None:
    def deliver(buffer: _core.Buffer, index: int) -> None:
        raise AssertionError(buffer, index)

    hook = weakref.ref(deliver)
    channel = make(channels, deliver=deliver)
    buffer = channel._buffers()[0]
    del deliver
    assert hook() is not None
    channel._close()
    assert hook() is None
    buffer.flush()


def test_no_object_is_made_by_hand() -> None:
    for made in (_core.Attachment, _core.Buffer, _core.Subbuf, _core.Reservation):
        with pytest.raises(TypeError):
            made()
    with pytest.raises(TypeError):
        Channel()


def test_a_subclass_keeps_its_own_write(channels: Path) -> None:
    class Loud(_core.Channel):
        def write(self, data: Any, cpu: int | None = None) -> bool:
            return super().write(bytes(data).upper(), cpu)

    channel = Loud._create(str(channels), "app", 32, 4, 1, False, 0o600, (0,), None)
    assert channel.write(b"loud")
    assert channel._buffers()[0].read(9) == b"LOUD"
    assert type(vars(Channel)["write"]) is type(str.join)


def test_reading(channels: Path) -> None:
    channel = make(channels)
    buffer = channel._buffers()[0]
    channel.write(b"0123456789", cpu=0)
    into = bytearray(4)
    assert buffer.read(3) == b"012"
    assert buffer.readinto(into) == 4
    assert into == b"3456"
    assert buffer.read(2**70) == b"789"
    assert buffer.read(5) == b""
    assert buffer.readinto(bytearray()) == 0
    with pytest.raises(errors.GeometryError):
        buffer.read(-1)
    with pytest.raises(errors.GeometryError, match="the buffer has 4"):
        buffer.subbuf(4)


def test_large_reads_let_others_run(channels: Path) -> None:
    channel = make(channels, subbuf_size=2**18, n_buffers=1, cpus=[0])
    record = os.urandom(2**17)
    for _ in range(4):
        assert channel.write(record)
    assert channel._buffers()[0].read(2**20) == record * 4


def test_books_are_a_tuple_of_ints(channels: Path) -> None:
    channel = make(channels)
    channel.write(SUBBUF, cpu=0)
    channel.write(b"12", cpu=0)
    channel.write(SUBBUF * 2, cpu=0)
    books = channel._buffers()[0].books()
    assert isinstance(books, tuple)
    assert (books.subbufs_produced, books.offset, books.written_records) == (1, 2, 2)
    assert (books.dropped_too_big_records, books.dropped_too_big_bytes) == (1, 64)
    assert len(books) == 23
    assert channel.last_toobig == 64


def test_reader_puts_part_back(channels: Path) -> None:
    channel = make(channels)
    channel.write(SUBBUF, cpu=0)
    channel._flush()
    buffer = channel._buffers()[0]
    taken = buffer.take()
    assert taken is not None
    assert taken.give_back(10)
    again = buffer.take()
    assert again is not None
    assert (again.skipped, again.length) == (10, 22)
    again.put_down()
    again.put_down()
    assert not again.give_back()
    assert buffer.bytes_consumed == 10


def test_a_subbuf_with_views_stays_in_hand(channels: Path) -> None:
    channel = make(channels)
    channel.write(SUBBUF, cpu=0)
    channel._flush()
    taken = channel._buffers()[0].take()
    assert taken is not None
    with memoryview(taken) as view:
        assert view.readonly
        with pytest.raises(BufferError, match="release it first"):
            taken.give_back()
        with pytest.raises(BufferError, match="release it first"):
            taken.put_down()
        assert taken.held
        assert view == SUBBUF
    assert taken.give_back()
    with pytest.raises(BufferError, match="given back"):
        memoryview(taken)
    with pytest.raises(errors.NotHeld, match="given back"):
        assert taken.data


# Without the package: some of what it imports crashes Python 3.12 in such an interpreter.
ISOLATED = """
from importlib.util import module_from_spec, spec_from_file_location
loaded = []
for name, path in {modules!r}:
    spec = spec_from_file_location(name, path)
    loaded.append(module_from_spec(spec))
    spec.loader.exec_module(loaded[-1])
_core, errors = loaded
_core.set_errors(errors)
channel = _core.Channel._create({where!r}, None, 32, 4, 1, False, 0o600, (0,), None)
with channel.reserve(4) as slot:
    slot[:] = b"slot"
assert channel._buffers()[0].read(9) == b"slot"
try:
    channel.write("text")
except errors.WrongType:
    channel._close()
assert channel.closed
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 gives no interpreter its own lock")
def test_isolated_interpreters(channels: Path) -> None:
    library = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    modules = [("rchan._core", _core.__file__), ("rchan.errors", errors.__file__)]
    code = ISOLATED.format(modules=modules, where=str(channels))
    main = (
        f"import {library} as interpreters, sys\n"
        "for _ in range(3):\n"
        "    one = interpreters.create()\n"
        f"    failed = interpreters.run_string(one, {code!r})\n"
        "    interpreters.destroy(one)\n"
        f"    sys.exit(repr(failed)) if failed else None\n{code}"
    )
    subprocess.run([sys.executable, "-c", main], check=True)
