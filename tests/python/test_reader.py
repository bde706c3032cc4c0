"""Channel.reader(): what it hands out, takes back, puts down, and says was lost."""

from itertools import islice

import pytest
from subbufs import fill, numbers_of

import rchan
from rchan import Count, Lost

pytestmark = pytest.mark.filterwarnings("ignore::rchan.RchanWarning")  # records too big, meant so


def test_what_a_subbuf_tells(one):
    before = rchan._core.now_ns()
    for _ in range(3):
        one.write(b"ten bytes.")
    one.flush()
    sub = one.reader().take()
    assert (sub.cpu, sub.seq, sub.length, sub.records, len(sub)) == (0, 0, 30, 3, 30)
    assert before <= sub.first_ns <= sub.last_ns <= rchan._core.now_ns()
    assert bytes(sub) == b"ten bytes." * 3
    assert not sub.lost
    assert sub.held
    assert not sub.late
    assert "sub-buffer 0 of CPU 0" in repr(sub)


def test_data_is_the_mapping_and_read_only(one):
    fill(one, [1])
    one.flush()
    sub = one.reader().take()
    with sub.data as data:
        assert data.readonly
        with pytest.raises(TypeError):
            data[0] = 1
        one.buffers[0].subbuf(0)[0:1] = b"!"
        assert data[0:1].tobytes() == b"!", "no copy"


def test_a_loop_gives_back_when_it_goes_on(one):
    fill(one, range(3))
    one.flush()
    seen = []
    for sub in one.reader(timeout=0):
        assert one.buffers[0].subbufs_consumed == len(seen)
        seen += numbers_of([sub])
    assert seen == [0, 1, 2]
    assert one.buffers[0].subbufs_consumed == 3


def test_break_puts_down(one):
    fill(one, range(3))
    one.flush()
    reader = one.reader(timeout=0)
    for sub in reader:
        if sub.seq == 1:
            break
    assert not sub.held
    assert one.buffers[0].subbufs_consumed == 1
    assert numbers_of(one.reader(timeout=0)) == [1, 2]


def test_an_exception_puts_down(one):
    fill(one, range(2))
    one.flush()
    with pytest.raises(ZeroDivisionError):
        for _ in one.reader(timeout=0):
            raise ZeroDivisionError
    assert numbers_of(one.reader(timeout=0)) == [0, 1]


def test_release_inside_a_loop(one):
    fill(one, range(2))
    one.flush()
    for sub in one.reader(timeout=0):
        assert sub.release()
        assert not sub.release()
        with pytest.raises(rchan.NotHeld, match="data is gone"):
            _ = sub.data
    assert one.buffers[0].subbufs_consumed == 2


def test_close_puts_down_and_ends(one):
    fill(one, range(2))
    one.flush()
    reader = one.reader()
    for sub in reader:
        reader.close()
        assert not sub.held
    assert reader.ended_by == "closed"
    assert numbers_of(one.reader(timeout=0)) == [0, 1]
    reader.close()


def test_a_closed_reader(one):
    with one.reader() as reader:
        pass
    assert reader.closed
    for call in (reader.take, reader.unreported, reader.__enter__, lambda: iter(reader)):
        with pytest.raises(rchan.ChannelClosed, match="reader is closed"):
            call()


def test_a_closed_channel(one):
    reader = one.reader()
    one.close()
    with pytest.raises(rchan.ChannelClosed):
        reader.take()
    with pytest.raises(rchan.ChannelClosed):
        list(reader)


def test_take_and_give_back(small):
    fill(small, [1, 2], cpu=0)
    fill(small, [3], cpu=1)
    small.flush()
    reader = small.reader()
    first, second = reader.take(), reader.take()
    assert (first.cpu, second.cpu) == (0, 1)
    assert reader.take() is None, "of each buffer one can be in the hand"
    reader.give_back(first)
    third = reader.take()
    assert numbers_of([third, second]) == [2, 3]
    with pytest.raises(rchan.NotHeld, match="given back or put down before"):
        reader.give_back(first)
    with pytest.raises(rchan.NotHeld, match="not this reader's"):
        small.reader().give_back(second)
    with pytest.raises(rchan.WrongType):
        reader.give_back(small.buffers[0])
    assert third.held
    assert second.held


def test_dropped_is_put_down(one):
    fill(one, [7])
    one.flush()
    reader = one.reader()
    sub = reader.take()
    del sub
    again = reader.take()
    assert numbers_of([again]) == [7]
    del reader
    assert again.held, "it does not need its reader"


def test_a_living_view(one):
    fill(one, range(2))
    one.flush()
    reader = one.reader(timeout=0)
    kept = []
    with pytest.raises(BufferError, match="a view of sub-buffer 0 of CPU 0 still lives"):
        for sub in reader:
            kept.append(sub.data[5:9])
    assert sub.held
    with pytest.raises(BufferError, match="still lives"):
        reader.give_back(sub)
    with pytest.raises(BufferError, match="still lives"):
        sub.put_down()
    kept.pop().release()
    reader.give_back(sub)
    assert numbers_of(reader) == [1]


def test_close_with_a_living_view(one):
    fill(one, [5])
    one.flush()
    with one.reader() as reader:
        sub = reader.take()
        view = sub.data
    assert bytes(view) == b"%030d" % 5
    del sub, view
    assert numbers_of(one.reader(timeout=0)) == [5]


def test_in_overwrite_mode_it_is_a_copy(flight):
    fill(flight, range(3))
    flight.flush()
    for sub in flight.reader(timeout=0):
        view = sub.data
        assert view.readonly
        fill(flight, range(100, 110))
        assert int(bytes(view)) == sub.seq, "what is written meanwhile does not change it"
        break


class Overtaken:
    """A buffer that is written to just after a sub-buffer was taken from it, so many times."""

    def __init__(self, buffer, act, times):
        self.buffer, self.act, self.times = buffer, act, times

    def __getattr__(self, name):
        return getattr(self.buffer, name)

    def _take_as(self, kind, before):
        found = self.buffer._take_as(kind, before)
        if self.times:
            self.times -= 1
            self.act()
        return found


def test_overwritten_between_taking_and_copying(flight):
    """What is handed out is what was written under that number, not what replaced it."""
    fill(flight, range(5))
    written = iter(range(5, 1000))
    reader = flight.reader()
    source = reader._sources[0]
    source.buffer = Overtaken(source.buffer, lambda: fill(flight, [next(written)] * 5), 3)
    found = [(sub.seq, int(bytes(sub)), sub.lost.overwritten.records) for sub in islice(reader, 3)]
    assert found == [(16, 7, 16), (17, 7, 0), (18, 7, 0)]


def test_overtaken_for_ever_gives_nothing_and_does_not_hang(flight):
    fill(flight, range(5))
    reader = flight.reader(timeout=0)
    source = reader._sources[0]
    source.buffer = Overtaken(source.buffer, lambda: fill(flight, range(5)), 1000)
    assert list(reader) == []
    assert reader.ended_by == "timeout"
    source.buffer.times = 0
    assert len(list(reader)) == 3


def test_losses_in_overwrite_mode(flight):
    fill(flight, range(10))
    flight.flush()
    told, read = Lost(), 0
    for sub in flight.reader(timeout=0):
        told = told.plus(sub.lost)
        read += sub.records
        if sub.seq == 8:
            fill(flight, range(10, 20))  # also over the one in the hand: it was read, not lost
            assert sub.release()
    total = flight.stats().total
    assert told == Lost(overwritten=total.overwritten)
    assert told.overwritten.records > 10
    assert total.closes
    assert total.consumed.records == read
    assert read + told.overwritten.records + total.readable.records == 20


def test_losses_by_cause(one):
    too_big, full, disabled = b"b" * 33, b"f" * 20, b"d" * 7
    one.write(too_big)  # sub-buffer 0 began before: told by 1
    fill(one, range(4))
    one.write(full)  # all four are finished: told by 4
    one.write(full)
    reader = one.reader(timeout=0)
    losses = []
    for sub in reader:
        losses.append(sub.lost)
    one.enabled = False
    one.write(disabled)
    one.enabled = True
    fill(one, [4])
    one.flush()
    for sub in reader:
        losses.append(sub.lost)
    assert losses[0] == losses[2] == losses[3] == Lost()
    assert losses[1] == Lost(too_big=Count(1, 33))
    assert losses[4] == Lost(full=Count(2, 40), disabled=Count(1, 7))
    assert losses[4].total == (3, 47)
    assert losses[4]
    assert not losses[0]
    said = "Lost(full=Count(records=2, bytes=40), disabled=Count(records=1, bytes=7))"
    assert repr(losses[4]) == said  # only what is missing


def test_put_down_tells_again(one):
    one.write(b"b" * 33)
    fill(one, range(2))
    one.flush()
    reader = one.reader()
    reader.give_back(reader.take())
    sub = reader.take()
    assert sub.lost.too_big == (1, 33)
    sub.put_down()
    assert reader.take().lost.too_big == (1, 33)


def test_what_no_subbuf_has_told(one):
    fill(one, range(2))
    one.flush()
    reader = one.reader(timeout=0)
    list(reader)
    one.write(b"b" * 33)
    assert reader.unreported() == {0: Lost(too_big=Count(1, 33))}


def test_lost_to_contention(one):
    slot = one.reserve(8)
    assert not one.write(b"nowhere")
    slot.commit()
    fill(one, [1])
    one.flush()
    first, second = [sub.lost for sub in one.reader(timeout=0)]
    assert first == Lost()
    assert second == Lost(contended=Count(1, 7))
