"""Channel.reader(): when it ends, waits, and forces slow sub-buffers out."""

import gc
import signal
import sys

import pytest
from forking import forked
from subbufs import fill, numbers_of

import rchan
from rchan import Lost


def test_a_finalized_channel_is_read_to_the_end(small):
    fill(small, [1, 2], cpu=0)
    fill(small, [3], cpu=1)
    small.finalize()
    reader = small.reader()
    assert sorted(numbers_of(reader)) == [1, 2, 3]
    assert reader.ended_by == "finalized"
    assert small.stats().total.readable.records == 0
    assert reader.take(timeout=None) is None
    assert list(reader) == []


def test_the_rest_is_not_delivered_twice(one):
    one.write(b"read as bytes, ")
    assert rchan.RelayFile(one.buffers[0]).read() == b"read as bytes, "
    one.write(b"and not.")
    one.finalize()
    (sub,) = [(bytes(sub), sub.length) for sub in one.reader()]
    assert sub == (b"and not.", 8)


def test_a_stalled_writer_holds_up_the_end(one):
    one.write(b"before ")
    slot = one.reserve(5)
    slot[:] = b"after"
    with pytest.raises(rchan.ChannelBusy):
        one.finalize()
    reader = one.reader(timeout=0.02)
    assert list(reader) == []
    assert reader.ended_by == "timeout"
    slot.commit()
    assert [bytes(sub) for sub in reader] == [b"before after"]
    assert reader.ended_by == "finalized"


def test_timeout(one):
    fill(one, [1])
    reader = one.reader(timeout=0.02)
    assert list(reader) == []
    assert reader.ended_by == "timeout"
    fill(one, [2])
    assert numbers_of(reader) == [1]
    assert reader.take(timeout=0.01) is None
    assert reader.ended_by == "timeout"


def test_flush_interval_gets_slow_records(one):
    one.write(b"slow")
    reader = one.reader(flush_interval=0.02)
    sub = reader.take(timeout=None)
    assert bytes(sub) == b"slow"
    reader.give_back(sub)
    one.write(b"next")
    assert bytes(reader.take(timeout=None)) == b"next"


def test_flush_interval_makes_no_empty_subbufs(flight):
    fill(flight, range(4))
    produced = flight.buffers[0].subbufs_produced
    assert flight.reader(flight.buffers, flush_interval=0.001, timeout=0).take() is not None
    reader = flight.reader(flush_interval=0.004, timeout=0.05)
    while (sub := reader.take(None)).seq < produced:
        reader.give_back(sub)
    reader.give_back(sub)
    assert flight.buffers[0].subbufs_produced == produced + 1, "the one with a record in it"
    list(reader)
    assert flight.buffers[0].subbufs_produced == produced + 1
    assert flight.stats().total.overwritten.records == 0


def test_flush_interval_spares_a_buffer_with_something_to_read(one):
    """There is enough to do: what is unfinished may still fill up."""
    fill(one, [1, 2])
    reader = one.reader(flush_interval=1e-6)
    first = reader.take()
    for _ in range(20):
        assert reader.take() is None
    assert one.buffers[0].subbufs_produced == 1, "in the hand it is not read yet"
    reader.give_back(first)
    assert int(bytes(reader.take(timeout=60))) == 2


def test_flush_interval_leaves_a_full_buffer_alone(one):
    while one.write(b"%030d" % 1):
        pass
    before = one.stats().total
    reader = one.reader(flush_interval=1e-6)
    held = reader.take()
    for _ in range(20):
        assert reader.take() is None
    held.put_down()
    assert one.stats().total == before
    assert numbers_of(one.reader(timeout=0)) == [1] * 4


def test_flush_interval_never_forces_what_is_empty_or_read(one):
    reader = one.reader(flush_interval=1e-6)
    with rchan.RelayFile(one.buffers[0]) as file:
        for number in range(3):
            assert reader.take() is None
            one.write(b"%d" % number)
            assert file.read(1) == b"%d" % number
            for _ in range(5):
                assert reader.take() is None
    assert one.buffers[0].subbufs_produced == 0


def test_a_flush_that_fills_the_buffer_tells_buf_full(four_cpus):
    told = []

    class Full(rchan.Callbacks):
        def buf_full(self, buf, subbuf_idx, subbuf):
            told.append((subbuf_idx, bytes(subbuf)[:4]))

    with rchan.create("f", subbuf_size=32, n_subbufs=1, n_buffers=1, callbacks=Full()) as channel:
        for _ in range(2):
            channel.write(b"slow")
            sub = channel.reader(flush_interval=1e-6).take(timeout=60)
            assert told == [(0, b"slow")]
            assert not channel.write(b"refused")
            assert told == [(0, b"slow")], "once"
            sub.release()
            told.clear()


def test_only_some_cpus(small):
    fill(small, [1, 2], cpu=0)
    fill(small, [3, 4], cpu=1)
    small.flush()
    assert numbers_of(small.reader(cpus=[1], timeout=0)) == [3, 4]
    assert small.stats()[0].consumed.records == 0
    assert small.reader(cpus=(1,)).take(timeout=0.02) is None, "buffer 0 has something: not for us"
    assert numbers_of(small.reader(cpus={0, 1}, timeout=0)) == [1, 2]


def test_no_buffer_starves(small):
    fill(small, range(3), cpu=0)
    fill(small, range(3), cpu=1)
    small.flush()
    assert [sub.cpu for sub in small.reader(timeout=0)] == [0, 1] * 3


def test_buffers_that_come_later(small):
    reader = small.reader(timeout=0)
    fill(small, [1], cpu=3)
    small.flush()
    assert [sub.cpu for sub in reader] == [3]


def test_after_a_reset(one):
    fill(one, range(3))
    reader = one.reader(timeout=0)
    assert numbers_of(reader) == [0, 1]
    one.reset()
    fill(one, [10])
    one.flush()
    (found,) = [(sub.seq, int(bytes(sub)), sub.lost) for sub in reader]
    assert found == (0, 10, Lost())


def test_until_orphaned(one):
    with forked(lambda: fill(one, [1, 2])):
        reader = one.reader(until_orphaned=True, timeout=0.02)
        assert numbers_of(reader) == [1]
        assert reader.ended_by == "timeout"
    rest = one.reader(until_orphaned=True)
    assert numbers_of(rest) == [2]
    assert rest.ended_by == "orphaned"


def test_reading_leaves_nothing_open(one, open_files):
    with rchan.open("one") as other:
        fill(other, range(4))
        with other.reader(timeout=0) as reader:
            for _ in reader:
                pass
        del reader
    del other
    gc.collect()


def test_a_signal_handler_that_raises_ends_a_sleep_and_leaves_other_sleepers(one, channels):
    class Rung(Exception):
        pass

    def ring(number, frame):
        raise Rung

    def sleepers():
        word = (channels / "one.chan").read_bytes()[192:200]  # core/layout.h
        return int.from_bytes(word, sys.byteorder) & 0x7FFFFFFF

    other = one._sleeper_add()
    assert sleepers() == 1
    before = signal.signal(signal.SIGALRM, ring)
    try:
        for act in (lambda: one.reader().take(None), lambda: list(one.reader())):
            with pytest.raises(Rung):
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                act()
            assert sleepers() == 1
    finally:
        signal.signal(signal.SIGALRM, before)
    one._sleep(other, 0)
    assert sleepers() == 0
