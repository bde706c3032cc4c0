"""Reading what does not mean well: damaged words, files that shrink, and misuse."""

import contextlib
import ctypes
import mmap
import os
import random
import sys
from pathlib import Path

import pytest
from forking import forked

import rchan

BLOCK = 4096 + rchan._core.MAX_SLOTS * 8
# Of the header: geometry, and buffers that are there. Of the block: words as in its layout.
GEOMETRY = {"subbuf_size": 16, "n_subbufs": 20, "n_buffers": 24, "flags": 32, "block_size": 48}
WORDS = (
    0,
    8,
    16,
    24,
    64,
    72,
    80,
    88,
    256,
    320,
    368,
    384,
    392,
    448,
    456,
    464,
    512,
    768,
    776,
    784,
    896,
)
SUBBUFS, SIZE = 4, 32


@pytest.fixture(params=[False, True], ids=["no-overwrite", "overwrite"])
def one(four_cpus, request):
    """One buffer with three finished sub-buffers and one unfinished."""
    with rchan.create(
        "one", subbuf_size=SIZE, n_subbufs=SUBBUFS, n_buffers=1, overwrite=request.param
    ) as channel:
        for number in range(SUBBUFS):
            assert channel.write(b"%030d" % number)
        yield channel


def by_reader(channel):
    return [bytes(sub) for sub in channel.reader(timeout=0)]


def by_order(channel):
    return [bytes(sub) for sub in channel.reader(timeout=0, in_time_order=True)]


def by_tap(channel):
    return [bytes(copy.data) for copy in channel.tap(timeout=0)]


def by_snapshot(channel):
    return [bytes(copy.data) for copy in channel.snapshot()]


def by_read(channel):
    with rchan.RelayFile(channel.buffers[0]) as file:
        return list(iter(lambda: file.read(16), b""))


def by_splice(channel):
    source, into = os.pipe()
    try:
        with rchan.RelayFile(channel.buffers[0]) as file:
            moved = []
            while (length := file.splice(into, 1000)) and len(moved) < 1000:
                moved.append(os.read(source, length))
            return moved
    finally:
        os.close(source)
        os.close(into)


def by_sendfile(channel):
    source, into = os.pipe()
    os.set_blocking(into, False)
    try:
        with rchan.RelayFile(channel.buffers[0]) as file:
            length = file.sendfile(into)
            return [os.read(source, length)] if length else []
    finally:
        os.close(source)
        os.close(into)


WAYS = (by_reader, by_order, by_tap, by_snapshot, by_read, by_splice, by_sendfile)
CONSUMING = (by_reader, by_order, by_read, by_splice, by_sendfile)
MOST = SUBBUFS * SIZE


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(25))
def test_hostile_words_neither_hang_nor_crash(one, channels, way, seed):
    """Nor do they give more than there can be."""
    chosen = random.Random(f"{way.__name__} {seed}")
    with (channels / "one.chan").open("r+b") as file, mmap.mmap(file.fileno(), 0) as words:
        for _ in range(chosen.randrange(1, 5)):
            at = BLOCK + chosen.choice(WORDS)
            value = chosen.choice([0, 1, 2**64 - 1, chosen.getrandbits(64), 4 << 6, 7 << 6, 33, 34])
            words[at : at + 8] = value.to_bytes(8, sys.byteorder)
    with contextlib.suppress(rchan.CorruptChannel, rchan.ChannelBusy, BlockingIOError):
        assert sum(map(len, way(one))) <= MOST
    one.detach()


def _scribble(path: Path) -> None:
    """Fills a block with all kinds of values, over and over, until it is killed."""
    chosen = random.Random(7)
    if os.fork():
        return
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as words:
        parent = os.getppid()
        while os.getppid() == parent:
            at = BLOCK + chosen.choice(WORDS)
            value = chosen.choice([0, 1, 2**64 - 1, chosen.getrandbits(64), 4 << 6, 2 << 6, 32])
            words[at : at + 8] = value.to_bytes(8, sys.byteorder)
    os._exit(0)


def test_words_that_change_while_they_are_read(one, channels):
    """No crash, no hang, nothing longer than a buffer; whatever raises is one of ours."""
    with forked(lambda: _scribble(channels / "one.chan")):
        for number in range(40):
            for way in WAYS:
                with contextlib.suppress(rchan.CorruptChannel, rchan.ChannelBusy, BlockingIOError):
                    for data in way(one):
                        assert len(data) <= MOST
            with contextlib.suppress(rchan.RchanError):
                one.write(b"%030d" % number)
                one.stats()
    one.detach()


@pytest.mark.parametrize("way", WAYS)
def test_a_geometry_that_changed_underneath(one, channels, way):
    """Who was attached goes on with what it checked; who comes now is told."""
    with (channels / "one.chan").open("r+b") as file:
        for place in GEOMETRY.values():
            file.seek(place)
            file.write(b"\x07\0\0\0")
    expected = [b"%030d" % number for number in range(SUBBUFS)]
    if way in (by_snapshot, by_read):
        assert b"".join(way(one)) == b"".join(expected)
    else:
        assert b"".join(way(one)) == b"".join(expected[:-1])
    with pytest.raises(rchan.CorruptChannel):
        rchan.open("one")
    with pytest.raises(rchan.CorruptChannel):
        rchan.open_file(channels / "one0")


@pytest.mark.parametrize("name", ["one0", "one.chan"])
@pytest.mark.parametrize("size", [0, 1, 4095])
def test_a_truncated_file(one, channels, name, size):
    one.detach()
    os.truncate(channels / name, size)
    with pytest.raises((rchan.CorruptChannel, rchan.ChannelNotFound), match=r"one0|one\.chan"):
        rchan.open_file(channels / "one0")


@pytest.mark.parametrize("way", CONSUMING)
@pytest.mark.parametrize("other", CONSUMING)
def test_nothing_is_delivered_twice(one, way, other):
    first, again = way(one), other(one)
    one.finalize()
    rest = by_reader(one)
    data = b"".join(first + again + rest)
    assert data == b"".join(b"%030d" % number for number in range(SUBBUFS))


def test_every_view_is_read_only(one):
    sub = one.reader().take()
    views = [
        sub.data,
        memoryview(sub),
        next(one.tap()).data,
        one.snapshot(into=bytearray(1000))[0].data,
        rchan.RelayFile(one.buffers[0]).mmap(),
        one.buffers[0].memory,
    ]
    for view in views:
        assert view.readonly
        with pytest.raises(TypeError, match="read-only"):
            view[0] = 0
        with pytest.raises(TypeError):
            ctypes.c_char.from_buffer(view)
        with pytest.raises(TypeError):
            view[:4].cast("I")[0] = 0


def test_given_back_twice(one):
    reader = one.reader()
    sub = reader.take()
    reader.give_back(sub)
    with pytest.raises(rchan.NotHeld, match="before"):
        reader.give_back(sub)
    assert not sub.release()
    assert not sub.give_back()
    sub.put_down()
    with pytest.raises(rchan.NotHeld):
        assert sub.data
    assert one.buffers[0].subbufs_consumed == 1
    with pytest.raises(rchan.NotHeld, match="not this reader's"):
        one.reader().give_back(one.reader().take())


def test_negative_sizes(one):
    with rchan.RelayFile(one.buffers[0]) as file:
        for refused in (lambda: file.splice(1, -1), lambda: file.sendfile(1, -1)):
            with pytest.raises(rchan.GeometryError, match="-1"):
                refused()
        for refused in (lambda: file.mmap(-1), lambda: file.mmap(4096, -4096)):
            with pytest.raises(rchan.GeometryError, match="4096"):
                refused()
        with pytest.raises((rchan.GeometryError, rchan.WrongType)):
            one.buffers[0].read(-1)
        one.subbufs_consumed(0, -1)
        assert one.buffers[0].subbufs_consumed == 0
        assert len(file.read(-1)) == 30 * SUBBUFS, "all that is there, as of any file"


@pytest.mark.parametrize("name", ["one.chan", "one", "one00", "one-1", "two0", "one9", ".."])
def test_a_path_that_is_no_buffer(one, channels, name):
    with pytest.raises((rchan.BadName, rchan.ChannelNotFound)):
        rchan.open_file(channels / name)


def test_what_was_mapped_and_spliced_does_not_change(one, tmp_path):
    """A pipe and a file hold copies: later writes, a reset and the end change nothing (D5)."""
    source, into = os.pipe()
    with rchan.RelayFile(one.buffers[0]) as file, (tmp_path / "out").open("w+b", 0) as out:
        assert file.splice(into, 30) == 30
        assert file.sendfile(out.fileno(), 30) == 30
        one.reset()
        for _ in range(3 * SUBBUFS):
            one.write(b"z" * 30)
        one.close()
        assert os.read(source, 100) == b"%030d" % 0
        assert (tmp_path / "out").read_bytes() == b"%030d" % 1
    os.close(source)
    os.close(into)


def test_a_mapping_is_told_and_its_end_too(four_cpus):
    calls = []

    class Told(rchan.Callbacks):
        def buf_mapped(self, buf, filp):
            calls.append(("mapped", buf.index))

        def buf_unmapped(self, buf, filp):
            calls.append(("unmapped", buf.index))

    with rchan.create("told", subbuf_size=SIZE, n_subbufs=SUBBUFS, n_buffers=1) as channel:
        file = rchan.RelayFile(channel.buffers[0], Told())
        with pytest.raises(rchan.GeometryError):
            file.mmap(1)
        assert calls == []
        view, part = file.mmap(), file.mmap(4096)[:8]
        assert calls == [("mapped", 0)] * 2
        file.close()
        view.release()
        del view
        part.release()
        del part
        assert calls == [("mapped", 0)] * 2 + [("unmapped", 0)] * 2
