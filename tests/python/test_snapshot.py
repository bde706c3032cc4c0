"""Snapshots: everything that was there at one moment, and exactly what could not be had."""

import pytest
from tap_writer import BYTES, numbers, write, writing

import rchan

MODES = pytest.mark.parametrize("overwrite", [False, True], ids=["no-overwrite", "overwrite"])


def make(overwrite: bool = False, **given: object) -> rchan.Channel:
    """Four sub-buffers of 4 records in a buffer."""
    options = {"subbuf_size": 4 * BYTES, "n_subbufs": 4, "n_buffers": 1}
    return rchan.create("app", overwrite=overwrite, **(options | given))  # type: ignore[arg-type]


@MODES
def test_all_that_is_there_and_the_unfinished(overwrite):
    with make(overwrite) as channel:
        write(channel, 0, 14)
        before = channel.stats()
        snapshot = channel.snapshot()
        assert numbers(snapshot.data()) == list(range(14))
        assert [copy.finished for copy in snapshot] == [True, True, True, False]
        assert snapshot.records == 14
        assert snapshot.size == 14 * BYTES
        assert snapshot.missed == (0, 0, 0)
        assert snapshot.books == before == channel.stats()
        assert [copy.seq for copy in snapshot[1:3]] == [1, 2]


def test_an_empty_channel():
    with make() as channel:
        snapshot = channel.snapshot()
        assert len(snapshot) == 0
        assert snapshot.data() == b""
        assert snapshot.missed == (0, 0, 0)


def test_what_was_consumed_is_there_unless_asked_otherwise():
    with make() as channel:
        write(channel, 0, 14)
        channel.subbufs_consumed(0, 2)
        assert numbers(channel.snapshot().data()) == list(range(14))
        assert numbers(channel.snapshot("unread").data()) == list(range(8, 14))


def test_a_flight_recorder_missed_what_was_overwritten():
    with make(overwrite=True) as channel:
        write(channel, 0, 103)
        snapshot = channel.snapshot("unread")
        assert numbers(snapshot.data()) == list(range(88, 103))
        assert snapshot.missed == (22, 88, 88 * BYTES)
        assert snapshot.missed.records == snapshot.books.total.overwritten.records
        assert snapshot.books.total.closes


def test_the_oldest_first_over_all_buffers(four_cpus):
    with make(n_buffers=4) as channel:
        for number in range(12):
            write(channel, number * 4, number * 4 + 4, number % 3)
        snapshot = channel.snapshot()
        assert numbers(snapshot.data()) == list(range(48))
        assert [copy.cpu for copy in snapshot] == [0, 1, 2] * 4
        assert numbers(snapshot.data(1))[:5] == [4, 5, 6, 7, 16]
        assert set(snapshot.missed_by_cpu) == {0, 1, 2}


def check_cut(snapshot: rchan.Snapshot) -> None:
    """With what was missed, the records up to the cut are all there; and in order."""
    found = numbers(snapshot.data())
    assert found == sorted(found)
    assert len(found) == snapshot.records
    stats = snapshot.books[0]
    assert stats.written.records == (found[-1] + 1 if found else 0) or snapshot.missed.records
    expected = None
    for copy in snapshot:
        first = numbers(copy.data)[0]
        if expected is not None:
            assert first == expected + copy.missed[1]
        expected = first + copy.records


def test_beside_a_writer_at_full_speed():
    with make(overwrite=True, subbuf_size=64 * BYTES, n_subbufs=8) as channel:
        taken = []
        with writing(channel, 200_000) as process:
            while process.is_alive():
                taken.append(channel.snapshot())
                total = taken[-1].books.total
                assert total.closes
                unread = channel.snapshot("unread")
                # From the first record on: nobody consumes.
                assert unread.records + unread.missed.records == unread.books[0].written.records
                numbers(unread.data())
        for snapshot in taken:
            check_cut(snapshot)
        assert numbers(channel.snapshot().data())[-1] == 199_999


def test_into_memory_of_ones_own():
    with make() as channel:
        write(channel, 0, 10)
        memory = bytearray(12 * BYTES)
        snapshot = channel.snapshot(into=memory)
        assert numbers(snapshot.data()) == list(range(10))
        assert memory[: 10 * BYTES] == snapshot.data()
        with pytest.raises(BufferError):
            memory.clear()
        small = channel.snapshot(into=bytearray(5 * BYTES))
        assert numbers(small.data()) == list(range(10))
        del snapshot
        memory.clear()


def test_a_large_one_outlives_its_channel():
    with make(subbuf_size=8192 * BYTES, n_subbufs=12) as channel:
        write(channel, 0, 90_000)
        snapshot = channel.snapshot()
    first = snapshot[0].data
    del channel
    assert numbers(snapshot.data()) == list(range(90_000))
    del snapshot
    assert numbers(first) == list(range(8192))


def test_memory_of_a_dropped_one_serves_the_next_and_a_living_ones_does_not():
    with rchan.create("big", subbuf_size=1 << 20, n_subbufs=4, n_buffers=1) as channel:
        contents = []
        kept = []
        for number in range(6):
            channel.reset()
            for subbuf in range(4):
                channel.write(bytes([number, subbuf]) * (1 << 19))
            expected = b"".join(bytes([number, subbuf]) * (1 << 19) for subbuf in range(4))
            snapshot = channel.snapshot()
            assert snapshot.data() == expected
            if number % 2:
                kept.append(snapshot)
                contents.append(expected)
            del snapshot  # the even ones: gone
        assert [each.data() for each in kept] == contents


def test_of_a_finalized_channel():
    with make() as channel:
        write(channel, 0, 6)
        channel.finalize()
        assert numbers(channel.snapshot().data()) == list(range(6))


def test_after_a_reset_nothing_is_there():
    with make() as channel:
        write(channel, 0, 6)
        channel.reset()
        snapshot = channel.snapshot()
        assert len(snapshot) == 0
        assert snapshot.missed == (0, 0, 0)
        assert snapshot.books.total.discarded.records == 6


@pytest.mark.parametrize(
    "given", [{"start": "now"}, {"start": None}, {"into": b"read-only"}, {"into": 7}]
)
def test_bad_input(given):
    with make() as channel, pytest.raises(rchan.WrongType):
        channel.snapshot(**given)


def test_a_closed_channel():
    channel = make()
    channel.close()
    with pytest.raises(rchan.ChannelClosed):
        channel.snapshot()
