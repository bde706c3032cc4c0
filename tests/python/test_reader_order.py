"""Reading in time order over CPUs."""

import random
import threading

import pytest
from subbufs import numbers_of

import rchan


@pytest.fixture
def four(four_cpus):
    with rchan.create("four", subbuf_size=32, n_subbufs=8, n_buffers=4) as channel:
        for cpu in range(4):
            channel.prepare_cpu(cpu)
        yield channel


def write(channel, cpu, number):
    """A sub-buffer of its own."""
    assert channel.write(b"%030d" % number, cpu)


def test_time_order_over_cpus(four):
    cpus = list(range(4)) * 7
    random.Random(3).shuffle(cpus)
    for number, cpu in enumerate(cpus):
        write(four, cpu, number)
    four.flush()
    assert numbers_of(four.reader(in_time_order=True, timeout=0)) == list(range(28))


def test_without_it_is_another_order(four):
    for number in range(8):
        write(four, number // 4, number)
    four.flush()
    assert numbers_of(four.reader(timeout=0)) == [0, 4, 1, 5, 2, 6, 3, 7]


def test_a_cpu_with_nothing_unread_holds_nobody_up(four):
    write(four, 0, 1)
    write(four, 0, 2)
    reader = four.reader(in_time_order=True, watermark=None)
    assert numbers_of([reader.take()]) == [1]


def test_an_unfinished_older_one_holds_the_others_back(four):
    write(four, 1, 0)  # unfinished
    write(four, 0, 1)
    write(four, 0, 2)
    reader = four.reader(in_time_order=True, watermark=None)
    assert reader.take() is None
    write(four, 1, 3)  # finishes 0
    first = reader.take()
    assert numbers_of([first]) == [0]
    reader.give_back(first)
    assert numbers_of([reader.take()]) == [1]


def test_after_the_watermark_it_is_finished_from_here(four):
    write(four, 1, 0)
    write(four, 0, 1)
    write(four, 0, 2)
    reader = four.reader(in_time_order=True, watermark=0.02)
    for number in (0, 1):
        sub = reader.take(None)
        assert (int(bytes(sub)), sub.late) == (number, False)
        reader.give_back(sub)
    assert four.stats()[0].readable.records == 1, "2 is unfinished, and holds nobody up"


def test_a_stalled_writer_is_late(four):
    write(four, 0, 1)
    four.write(b"old", 1)
    slot = four.reserve(8, 1)
    slot[:] = b" stalled"
    write(four, 0, 2)
    write(four, 0, 3)
    reader = four.reader(in_time_order=True, watermark=0, timeout=0.05)
    assert [(int(bytes(sub)), sub.late) for sub in reader] == [(1, False), (2, False)]
    slot.commit()
    four.flush()
    seen = [(bytes(sub), sub.late) for sub in reader]
    assert (b"old stalled", True) in seen


def test_the_end_needs_no_watermark(four):
    for number in range(6):
        write(four, number % 3, number)
    four.finalize()
    reader = four.reader(in_time_order=True, watermark=None)
    assert numbers_of(reader) == list(range(6))
    assert reader.ended_by == "finalized"


def test_leaving_puts_the_fronts_down(four):
    for number in range(8):
        write(four, number % 4, number)
    four.flush()
    reader = four.reader(in_time_order=True, timeout=0)
    for sub in reader:
        assert numbers_of([sub]) == [0]
        break
    assert numbers_of(four.reader(in_time_order=True, timeout=0)) == list(range(8))


def test_one_at_a_time(four):
    write(four, 0, 1)
    four.flush()
    reader = four.reader(in_time_order=True)
    sub = reader.take()
    with pytest.raises(rchan.ChannelBusy, match="is in your hand"):
        reader.take()
    reader.give_back(sub)
    assert reader.take() is None


def test_in_overwrite_mode(four_cpus):
    with rchan.create("o", subbuf_size=32, n_subbufs=4, n_buffers=2, overwrite=True) as channel:
        for number in range(20):
            write(channel, number % 2, number)
        channel.finalize()
        reader = channel.reader(in_time_order=True)
        lost, seen = rchan.Lost(), []
        for sub in reader:
            lost = lost.plus(sub.lost)
            seen += numbers_of([sub])
        assert seen == list(range(12, 20))
        assert lost.overwritten.records == 12


class Looks:
    """Counts a reader's looks, and says when it is about to sleep."""

    def __init__(self, reader):
        self.count, self.look, self.asleep = 0, reader._look, threading.Event()
        reader._look = self
        self.rest, reader._rest = reader._rest, self.rested

    def __call__(self):
        self.count += 1
        return self.look()

    def rested(self, deadline):
        if self.count > 1:
            self.asleep.set()
        return self.rest(deadline)


@pytest.mark.parametrize(
    "options", [{"cpus": [1]}, {"in_time_order": True, "watermark": None}], ids=["cpus", "order"]
)
def test_it_sleeps_although_others_have_something(four, options):
    """What it cannot have (yet) does not make it look again and again."""
    write(four, 1, 0)  # unfinished, older than what CPU 0 has finished
    write(four, 0, 1)
    write(four, 0, 2)
    reader = four.reader(**options)
    looks = Looks(reader)
    assert reader.take(timeout=0.2) is None
    assert looks.count <= 4
    found = []
    thread = threading.Thread(target=lambda: found.extend(numbers_of([reader.take(None)])))
    looks.asleep.clear()
    thread.start()
    assert looks.asleep.wait(60)
    write(four, 1, 3)  # finishes 0
    thread.join()
    assert found == [0]


def test_the_watermark_ends_a_sleep(four):
    write(four, 1, 0)
    write(four, 0, 1)
    write(four, 0, 2)
    reader = four.reader(in_time_order=True, watermark=0.05)
    looks = Looks(reader)
    assert numbers_of([reader.take(None)]) == [0]
    assert looks.count <= 8
