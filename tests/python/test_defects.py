"""Each defect of the original (SPEC, D1 to D12, 2005, 2025), by a test that the original fails."""

import gc
import os
import select
import threading

import pytest

import rchan
from rchan import cpus, relay


def pieces(file: rchan.RelayFile, size: int) -> list[bytes]:
    """What reads of this size give until nothing is there."""
    return list(iter(lambda: file.read(size), b""))


@pytest.mark.parametrize("size", [1, 3, 32, 1000])
def test_d1_read_goes_over_empty_subbufs_once(small, size):
    file = rchan.RelayFile(small.buffers[0])
    small.flush()
    small.write(b"first", 0)
    small.flush()
    small.flush()
    assert b"".join(pieces(file, size)) == b"first"
    small.write(b"second", 0)
    assert b"".join(pieces(file, size)) == b"second"
    small.flush()
    assert pieces(file, size) == []
    assert small.buffers[0].subbufs_consumed == small.buffers[0].subbufs_produced == 4
    assert small.write(b"third", 0), "what was read is free"


def test_d2_subbufs_consumed_in_the_middle_of_a_read(small):
    file = rchan.RelayFile(small.buffers[0])
    small.write(b"a" * 32, 0)
    small.write(b"bcdefghi", 0)
    assert file.read(5) == b"aaaaa"
    small.subbufs_consumed(0, 1)
    assert file.read(100) == b"bcdefghi"


def test_d3_splice_after_an_empty_subbuf_loses_nothing(small):
    file = rchan.RelayFile(small.buffers[0])
    small.flush()
    small.write(b"next", 0)
    small.flush()
    source, into = os.pipe()
    assert file.splice(into, 100, nonblock=True) == 4
    assert os.read(source, 100) == b"next"
    assert small.buffers[0].subbufs_consumed == 2
    os.close(source)
    os.close(into)


def test_d4_splice_is_bounded_by_what_is_finished(small):
    file = rchan.RelayFile(small.buffers[0])
    small.write(b"finished", 0)
    small.flush()
    small.write(b"not yet", 0)
    source, into = os.pipe()
    assert file.splice(into, 10_000) == 8
    for _ in range(10):
        assert file.splice(into, 10_000) == 0
        with pytest.raises(BlockingIOError):
            file.splice(into, 10_000, nonblock=True)
    assert os.read(source, 10_000) == b"finished"
    os.close(source)
    os.close(into)


def test_d5_what_is_in_a_pipe_never_changes(four_cpus):
    source, into = os.pipe()
    with rchan.create("over", subbuf_size=32, n_subbufs=2, overwrite=True) as channel:
        file = rchan.RelayFile(channel.buffers[0])
        channel.write(b"old" * 10, 0)
        channel.flush()
        assert file.splice(into, 100) == 30
        for _ in range(8):
            channel.write(b"N" * 32, 0)
        file.close()
    assert os.read(source, 100) == b"old" * 10
    os.close(source)
    os.close(into)


class FailsOn(rchan.Callbacks):
    """Creation of the file that ends in this digit fails."""

    def __init__(self, digit):
        self.digit = digit
        self.asked = []

    def create_buf_file(self, filename, parent, mode, buf, is_global):
        self.asked.append(filename)
        if filename is not None and filename.endswith(self.digit):
            return None
        return super().create_buf_file(filename, parent, mode, buf, is_global)


def test_d6_failed_creation_leaves_nothing(channels, open_files):
    client = FailsOn("2")
    with cpus.injected(range(3), range(3)):
        with pytest.raises(rchan.CallbackFailed):
            rchan.create("app", subbuf_size=64, n_subbufs=2, n_buffers=3, callbacks=client)
        assert client.asked == ["app0", "app1", "app2"]
        assert list(channels.iterdir()) == []
        client.digit = "-"
        with rchan.create("app", subbuf_size=64, n_subbufs=2, n_buffers=3, callbacks=client) as app:
            assert sorted(app.buffers) == [0, 1, 2]
            assert app.write(b"x", 0)
            assert rchan.RelayFile(app.buffers[0]).read() == b"x"
    gc.collect()


@pytest.mark.parametrize("length", [251, 255, 300])
def test_d7_long_names_are_an_error(channels, length):
    with pytest.raises(rchan.BadName, match="room for"):
        rchan.create("x" * length)
    assert list(channels.iterdir()) == []


def test_d8_failed_late_setup_changes_nothing(small, channels):
    with pytest.raises(rchan.ChannelExists):
        small.late_setup_files("other")
    assert small.name == "small"
    small.prepare_cpu(2)
    assert sorted(file.name for file in channels.iterdir()) == [
        "small.chan", "small0", "small1", "small2",
    ]  # fmt: skip


def test_d8_half_failed_late_setup_can_be_repeated(channels):
    client = FailsOn("1")
    with cpus.injected(range(2), range(2)):
        early = rchan.create(None, subbuf_size=64, n_subbufs=2, n_buffers=2, callbacks=client)
        with early:
            assert early.write(b"early", 1)
            with pytest.raises(rchan.CallbackFailed):
                early.late_setup_files("late")
            assert early.name is None
            assert [name for name in channels.iterdir() if name.name[0] != "."] == []
            client.digit = "-"
            early.late_setup_files("late")
            assert {file.name for file in channels.iterdir()} == {"late.chan", "late0", "late1"}
            assert rchan.open_file(channels / "late1").read() == b"early"


def test_d9_late_setup_reaches_offline_cpus(channels):
    with cpus.injected(range(4), (0, 1, 2)):
        early = rchan.create(None, subbuf_size=64, n_subbufs=2, n_buffers=4)
    with early, cpus.injected(range(4), (0,)):
        early.write(b"from an offline cpu", 2)
        early.late_setup_files("late")
        assert rchan.open_file(channels / "late2").read() == b"from an offline cpu"


@pytest.mark.parametrize("end", ["close", "reset"])
def test_d10_sleepers_are_told(small, end):
    buffer = small.buffers[0]
    epoch = buffer._sleeper_add()
    getattr(small, end)()
    assert buffer._wake_epoch != epoch


def test_d10_a_sleeping_thread_wakes_at_close(small):
    file = rchan.RelayFile(small.buffers[0])
    masks = []
    sleeper = threading.Thread(target=lambda: masks.append(file.poll(None)))
    sleeper.start()
    small.close()
    sleeper.join(60)
    assert masks == [select.POLLERR]


@pytest.mark.parametrize("length", [33, 2**31, 2**32 - 16, 2**32, 2**62])
def test_d11_lengths_cannot_overflow(small, length):
    small.write(b"x" * 20, 0)
    with small.reserve(length, 0) as slot:
        assert not slot.stored
    assert small.buffers[0].offset == 20
    assert small.stats().total.dropped_too_big.records == 1
    assert small.last_toobig == length


class ReservesFirst(rchan.Callbacks):
    """A faulty client: reserves its header before it looks whether the buffer is full."""

    def __init__(self):
        self.granted = []

    def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
        granted = buf.subbuf_start_reserve(8)
        self.granted.append(granted)
        if granted:
            subbuf[:8] = b"HEADHEAD"
        return not buf.full


def test_d12_no_header_over_unread_data(four_cpus):
    client = ReservesFirst()
    with rchan.create("head", subbuf_size=32, n_subbufs=2, n_buffers=1, callbacks=client) as chan:
        for record in (b"A" * 24, b"B" * 24):
            assert chan.write(record, 0)
        assert not chan.write(b"C" * 24, 0)
        assert client.granted == [True, True, False]
        everything = rchan.RelayFile(chan.buffers[0]).read()
        assert everything == b"HEADHEAD" + b"A" * 24 + b"HEADHEAD" + b"B" * 24


def test_2005_size_is_checked(small):
    assert not small.write(b"x" * 33, 0)
    assert small.buffers[0].subbufs_produced == 0
    assert small.stats().total.dropped_too_big == (1, 33)


def test_2005_the_first_record_after_full_is_kept(small):
    file = rchan.RelayFile(small.buffers[0])
    for _ in range(4):
        assert small.write(b"x" * 32, 0)
    assert not small.write(b"dropped", 0)
    file.read(32)
    assert small.write(b"the first one", 0)
    assert file.read(1000) == b"x" * 96 + b"the first one"


class Told(rchan.Callbacks):
    def __init__(self):
        self.delivered = []

    def deliver(self, buf, subbuf_idx, subbuf):
        self.delivered.append((subbuf_idx, bytes(subbuf)[:4]))


def test_2005_deliver_is_told_once(four_cpus):
    client = Told()
    with rchan.create("told", subbuf_size=8, n_subbufs=2, n_buffers=1, callbacks=client) as chan:
        with chan.reserve(4, 0) as slot:
            slot[:] = b"aaaa"
        assert client.delivered == []
        assert chan.write(b"bbbbbbbb", 0)
        assert client.delivered == [(0, b"aaaa")]
        for _ in range(3):
            assert not chan.write(b"c", 0)
            chan.flush()
        assert client.delivered == [(0, b"aaaa"), (1, b"bbbb")]


def test_2025_relay_stats_has_all_buffers_and_both_flags(small):
    for cpu in (0, 1):
        for _ in range(6):
            small.write(b"x" * 32, cpu)
        small.write(b"x" * 40, cpu)
    both = relay.RELAY_STATS_BUF_FULL | relay.RELAY_STATS_WRT_BIG
    with cpus.injected(range(4), (0,)):
        assert relay.relay_stats(small, relay.RELAY_STATS_BUF_FULL) == 4
        assert relay.relay_stats(small, relay.RELAY_STATS_WRT_BIG) == 2
        assert relay.relay_stats(small, both) == 6
    with pytest.warns(rchan.RchanWarning):
        small.close()


def test_all_is_here():
    named = {name.split("_")[1] for name in globals() if name.startswith("test_d")}
    assert named == {f"d{number}" for number in range(1, 13)}
