"""Channels from their creation to their end."""

import copy
import gc
import os
import warnings
import weakref

import pytest

import rchan
from rchan import cpus


def names_in(directory):
    return sorted(file.name for file in directory.iterdir())


def test_create_write_read_close(channels, four_cpus, open_files):
    with rchan.create("app", subbuf_size=64, n_subbufs=2, n_buffers=4) as channel:
        assert names_in(channels) == ["app.chan", "app0", "app1"]
        assert channel.write(b"one", 0)
        assert channel.write(bytearray(b"two"), cpu=1)
        assert channel.write(memoryview(b"three"), 1)
        with rchan.RelayFile(channel.buffers[1]) as file:
            assert file.read() == b"twothree"
        assert (channel.name, channel.path) == ("app", str(channels / "app.chan"))
        assert (channel.subbuf_size, channel.n_subbufs, channel.alloc_size) == (64, 2, 4096)
        assert (channel.n_buffers, channel.overwrite, channel.creator) == (4, False, True)
    assert channel.closed
    assert names_in(channels) == []
    channel.close()
    gc.collect()


def test_defaults(channels):
    with rchan.create("app") as channel:
        assert (channel.subbuf_size, channel.n_subbufs) == (262144, 8)
        assert channel.n_buffers == cpus.default_n_buffers()
        assert not channel.overwrite
        assert channel.write(b"on the CPU that runs us")
        assert (channels / "app.chan").stat().st_mode & 0o777 == 0o600


def test_mode_of_files(channels):
    with rchan.create("app", subbuf_size=64, mode=0o640):
        for file in channels.iterdir():
            assert file.stat().st_mode & 0o777 == 0o640


def test_buffers_appear_when_a_cpu_first_writes(small, channels):
    assert sorted(small.buffers) == [0, 1]
    assert 2 not in small.buffers
    assert small.buffers.get(2) is None
    with pytest.raises(rchan.NoSuchBuffer, match="CPU 2"):
        small.buffers[2]
    assert small.write(b"x", 2)
    assert sorted(small.buffers) == [0, 1, 2]
    assert small.buffers[2].file_name == "small2"
    assert (channels / "small2").exists()
    assert small.prepare_cpu(2) is small.buffers[2]
    assert small.prepare_cpu(3) is small.buffers[3]


def test_fewer_buffers_than_cpus(four_cpus):
    with rchan.create("app", subbuf_size=64, n_buffers=2) as channel:
        assert sorted(channel.buffers) == [0, 1]
        assert channel.buffers[3] is channel.buffers[1]
        assert len(channel.buffers) == 2
        channel.write(b"x", 3)
        assert channel.stats()[1].written.records == 1


def test_open_shares_everything(small):
    with rchan.open("small") as other:
        assert not other.creator
        small.write(b"from one", 0)
        other.write(b"from two", 0)
        assert rchan.RelayFile(other.buffers[0]).read() == b"from onefrom two"
        other.write(b"x", 3)
        assert 3 in small.buffers
        assert small.stats() == other.stats()
    assert small.write(b"still there", 0)
    assert [found.state for found in rchan.list()] == ["live"]


def test_enabled_in_all_handles(small):
    with rchan.open("small") as other:
        other.enabled = False
        assert not small.enabled
        assert not small.write(b"x", 0)
        small.enabled = True
        assert other.enabled
        assert other.write(b"x", 0)


def test_exist_ok(small):
    with rchan.create("small", subbuf_size=32, n_subbufs=4, exist_ok=True) as joined:
        assert not joined.creator
        assert joined.n_buffers == 4
    with rchan.create("new", subbuf_size=32, exist_ok=True) as made:
        assert made.creator
    with pytest.raises(rchan.GeometryError, match=r"n_subbufs=4.*asked for.*n_subbufs=5"):
        rchan.create("small", subbuf_size=32, n_subbufs=5, exist_ok=True)
    assert len(small.producers()) == 1


def test_close_lets_readers_finish(small):
    file = rchan.RelayFile(small.buffers[0])
    other = rchan.open("small")
    small.write(b"to the end", 0)
    small.close()
    assert file.poll() == 8
    assert file.read() == b"to the end"
    assert not other.write(b"too late", 0)
    assert other.finalized
    other.close()


def test_finalize_keeps_the_files(small, channels):
    small.write(b"x", 0)
    small.finalize()
    assert small.finalized
    assert not small.write(b"y", 0)
    assert small.stats().total.dropped_disabled == (1, 1)
    assert "small0" in names_in(channels)
    assert [found.state for found in rchan.list()] == ["finalized"]


def test_detach_leaves_the_channel(four_cpus):
    channel = rchan.create("app", subbuf_size=64, n_buffers=1)
    channel.write(b"kept", 0)
    channel.detach()
    channel.detach()
    assert channel.closed
    (found,) = rchan.list()
    assert (found.name, found.state, found.producers) == ("app", "orphaned", ())
    assert (found.subbuf_size, found.n_subbufs, found.n_buffers) == (64, 8, 1)
    with rchan.open("app") as again:
        assert rchan.RelayFile(again.buffers[0]).read() == b"kept"
    rchan.remove("app")
    assert rchan.list() == []


def test_list_shows_who_is_attached(small):
    (found,) = rchan.list()
    assert found.producers == (os.getpid(),)
    with rchan.open("small"):
        assert rchan.list()[0].producers == (os.getpid(), os.getpid())
        assert small.producers() == [os.getpid(), os.getpid()]


def test_remove(small, channels):
    small.write(b"can be read", 0)
    rchan.remove("small")
    assert names_in(channels) == []
    assert small.finalized
    assert not small.write(b"too late", 0)
    assert rchan.RelayFile(small.buffers[0]).read() == b"can be read"
    for call in (rchan.open, rchan.remove):
        with pytest.raises(rchan.ChannelNotFound):
            call("small")


def test_closing_after_removal_spares_a_new_one(small, channels):
    rchan.remove("small")
    with rchan.create("small", subbuf_size=64, n_subbufs=2) as new:
        small.close()
        assert "small.chan" in names_in(channels)
        with rchan.open("small") as found:
            assert found.subbuf_size == new.subbuf_size


def test_buffer_only(channels, four_cpus):
    with rchan.create(None, subbuf_size=64, n_buffers=4) as channel:
        assert (channel.name, channel.path, names_in(channels)) == (None, None, [])
        channel.write(b"early", 2)
        channel.flush()
        assert channel.buffers[2].early_bytes == 5
        assert channel.buffers[2].file_size is None
        channel.late_setup_files("late")
        assert names_in(channels) == ["late.chan", "late0", "late1", "late2"]
        assert channel.buffers[2].file_size == 5
        channel.write(b"more", 2)
        with rchan.open("late") as other:
            assert rchan.RelayFile(other.buffers[2]).read() == b"earlymore"
    assert names_in(channels) == []


def test_flush_and_reset(small):
    small.write(b"x", 0)
    small.flush()
    assert [buffer.subbufs_produced for buffer in small.buffers.values()] == [1, 1]
    assert small.buffers[0].padding == (31, 0, 0, 0)
    small.reset()
    assert [buffer.subbufs_produced for buffer in small.buffers.values()] == [0, 0]
    assert small.stats().total.closes


def test_subbufs_consumed(small):
    for _ in range(4):
        small.write(b"x" * 32, 0)
    small.subbufs_consumed(0, 5)
    small.subbufs_consumed(3, 1)
    small.subbufs_consumed(99, 1)
    assert small.buffers[0].subbufs_consumed == 0
    small.subbufs_consumed(0, 2)
    assert small.buffers[0].subbufs_consumed == 2
    small.subbufs_consumed(0, 4)
    assert small.buffers[0].subbufs_consumed == 3
    with pytest.raises(rchan.WrongType):
        small.subbufs_consumed("0", 1)


def test_busy_buffers_are_named(small):
    small.write(b"x", 1)
    with small.reserve(4, 0), pytest.raises(rchan.ChannelBusy, match=r"buffer 0 .*not flushed"):
        small.flush()
    assert [buffer.subbufs_produced for buffer in small.buffers.values()] == [0, 1]


def test_reserve(small):
    with small.reserve(4, 0) as slot:
        assert slot.stored
        assert (len(slot), slot.position, slot.cpu) == (4, 0, 0)
        slot[0] = ord("a")
        slot[1:4] = b"bcd"
        assert slot[1] == ord("b")
    with pytest.raises(KeyError), small.reserve(4, 0) as slot:
        raise KeyError
    slot = small.reserve(8, 0)
    memoryview(slot)[:2] = b"ef"
    slot.commit(2)
    small.reserve(8, 0).abort()
    assert rchan.RelayFile(small.buffers[0]).read() == b"abcdef"
    assert small.stats().total.written == (2, 6)


def test_too_big_is_told_once_at_close(small):
    for length in (40, 50):
        small.write(b"x" * length, 0)
    with rchan.open("small") as other, warnings.catch_warnings():
        warnings.simplefilter("error")
        other.close()
    with pytest.warns(rchan.RchanWarning, match="50 bytes") as told:
        small.close()
    assert len(told) == 1
    assert told[0].filename == __file__


def test_private_data_and_repr(four_cpus):
    mine = object()
    with rchan.create("app", subbuf_size=64, n_subbufs=2, private_data=mine) as channel:
        assert channel.private_data is mine
        assert channel.callbacks is None
        assert repr(channel).startswith("<rchan.Channel 'app': ")
        channel.private_data = 5
        assert rchan.open("app", private_data="other").private_data == "other"
    assert repr(channel) == "<rchan.Channel closed>"


def test_copies_are_new_handles(small):
    again = copy.copy(small)
    assert again is not small
    again.write(b"x", 0)
    again.close()
    assert small.stats().total.written.records == 1


def test_handles_are_let_go(four_cpus, open_files):
    channel = rchan.create("app", subbuf_size=64)
    other = rchan.open("app")
    ends = [weakref.ref(other), weakref.ref(other.attachment), weakref.ref(other.buffers[0])]
    del other
    gc.collect()
    assert [end() for end in ends] == [None, None, None]
    assert len(channel.producers()) == 1
    channel.close()
    del channel
    gc.collect()


def test_global_buffer(four_cpus, channels):
    class Global(rchan.Callbacks):
        def create_buf_file(self, filename, parent, mode, buf, is_global):
            is_global.value = True
            return super().create_buf_file(filename, parent, mode, buf, is_global)

    with rchan.create("app", subbuf_size=64, callbacks=Global()) as channel:
        assert names_in(channels) == ["app.chan", "app0"]
        for cpu in range(4):
            channel.write(b"%d" % cpu, cpu)
        assert rchan.RelayFile(channel.buffers[3]).read() == b"0123"
