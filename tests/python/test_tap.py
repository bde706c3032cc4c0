"""Taps: nothing consumed, nothing torn, every gap counted exactly."""

import gc
import os
import signal
import threading

import pytest
from tap_writer import BYTES, numbers, write, writing

import rchan

MODES = pytest.mark.parametrize("overwrite", [False, True], ids=["no-overwrite", "overwrite"])


def make(overwrite: bool = False, n_subbufs: int = 4, **given: object) -> rchan.Channel:
    """One buffer of sub-buffers of 4 records."""
    options = {"subbuf_size": 4 * BYTES, "n_subbufs": n_subbufs, "n_buffers": 1}
    return rchan.create("app", overwrite=overwrite, **(options | given))  # type: ignore[arg-type]


@MODES
def test_it_reads_along_without_consuming(overwrite):
    with make(overwrite) as channel:
        write(channel, 0, 13)
        before = channel.stats()
        for _ in range(3):
            copies = list(channel.tap(timeout=0))
            assert [numbers(copy.data) for copy in copies] == [
                [0, 1, 2, 3],
                [4, 5, 6, 7],
                [8, 9, 10, 11],
            ]
            assert [copy.seq for copy in copies] == [0, 1, 2]
            assert all(copy.missed == (0, 0, 0) and copy.records == 4 for copy in copies)
        assert channel.stats() == before


@pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
def test_what_a_copy_tells():
    with make(n_subbufs=2) as channel:
        write(channel, 0, 10)  # two are dropped: full
        assert channel.write(bytes(5 * BYTES), 0) is False
        tap = channel.tap(timeout=0)
        first, second = tap
        assert first.cpu == 0
        assert first.finished
        assert not first.was_reset
        assert len(first) == first.length == 4 * BYTES
        assert bytes(first) == first.data == bytes(first.data)
        assert 0 < first.first_ns <= first.last_ns <= second.first_ns
        assert second.lost == ((0, 0),) * 4
        channel.subbufs_consumed(0, 2)
        write(channel, 20, 25)
        (third,) = tap
        assert third.lost[0] == (2, 2 * BYTES)
        assert third.lost[1] == (1, 5 * BYTES)
        assert third.drops == third.lost


def test_a_copy_is_its_own_and_read_only():
    with make(overwrite=True) as channel:
        write(channel, 0, 5)
        (copy,) = channel.tap(timeout=0)
        with pytest.raises(TypeError):
            copy.data[0] = 1  # type: ignore[index]
        write(channel, 5, 100)
    del channel
    gc.collect()
    assert numbers(copy.data) == [0, 1, 2, 3]


def test_where_it_starts():
    with make() as channel:
        write(channel, 0, 13)
        channel.subbufs_consumed(0, 2)
        starts = {
            start: channel.tap(start=start, timeout=0) for start in ("unread", "oldest", "now")
        }
        channel.flush()
        first = {start: numbers(next(tap).data)[0] for start, tap in starts.items()}
        assert first == {"unread": 8, "oldest": 4, "now": 12}  # 0 to 3 had to go for sub-buffer 4


@MODES
def test_a_full_circle_is_missed_exactly(overwrite):
    with make(overwrite) as channel:
        tap = channel.tap(timeout=0)
        for turn in range(10):
            write(channel, turn * 8, turn * 8 + 8)
            channel.subbufs_consumed(0, 2)
        channel.flush()
        copies = list(tap)
        seen = [number for copy in copies for number in numbers(copy.data)]
        assert seen == list(range(80 - len(seen), 80))
        assert copies[0].missed == (copies[0].seq, 80 - len(seen), (80 - len(seen)) * BYTES)
        assert all(copy.missed == (0, 0, 0) for copy in copies[1:])


def check_gaps(copies: list[rchan.SubbufCopy], count: int) -> int:
    """Whole records in order, each gap as long as its `missed`; how many were seen."""
    expected = seq = seen = 0
    for copy in copies:
        found = numbers(copy.data)
        expected += copy.missed[1]
        seq += copy.missed[0]
        assert found == list(range(expected, expected + copy.records))
        assert copy.seq == seq
        assert copy.missed[2] == copy.missed[1] * BYTES
        expected += len(found)
        seq += 1
        seen += len(found)
    assert expected == count
    return seen


def test_beside_a_writer_at_full_speed():
    count = 200_000
    with make(overwrite=True, subbuf_size=64 * BYTES, n_subbufs=4) as channel:
        taps = [channel.tap() for _ in range(3)]
        got: list[list[rchan.SubbufCopy]] = [[] for _ in taps]
        readers = [
            threading.Thread(target=lambda tap=tap, to=to: to.extend(tap))
            for tap, to in zip(taps, got, strict=True)
        ]
        for reader in readers:
            reader.start()
        with writing(channel, count):
            pass
        channel.finalize()
        for reader in readers:
            reader.join()
        for copies in got:
            assert check_gaps(copies, count) > 0


def test_beside_a_consumer_every_record_is_consumed_once():
    count = 50_000
    with make(subbuf_size=64 * BYTES, n_subbufs=8) as channel:
        tap = channel.tap(timeout=0)
        consumed: list[int] = []
        copies: list[rchan.SubbufCopy] = []
        with rchan.RelayFile(channel.buffers[0]) as file, writing(channel, count) as process:
            while process.is_alive() or channel.stats().total.readable.bytes:
                consumed += numbers(file.read())
                copies += tap
        channel.finalize()
        copies += tap
        total = channel.stats().total
        assert len(consumed) == total.written.records
        assert total.overwritten.records == 0
        found = [number for copy in copies for number in numbers(copy.data)]
        assert set(found) <= set(consumed)
        missed = sum(copy.missed[1] for copy in copies) + tap.rest.records
        assert len(found) + missed == total.written.records


def test_a_sleeping_tap_is_woken():
    with make() as channel:
        tap = channel.tap(timeout=60)
        got: list[rchan.SubbufCopy] = []
        reader = threading.Thread(target=lambda: got.append(next(tap)))
        reader.start()
        while channel.stats().buffers[0].subbufs_produced == 0:
            write(channel, 0, 5)
        reader.join()
        assert got[0].seq == 0


def test_it_ends_with_the_finalized_channel_and_what_was_unfinished():
    with make() as channel:
        tap = channel.tap()
        write(channel, 0, 6)
        assert numbers(next(tap).data) == [0, 1, 2, 3]
        channel.finalize()
        (last,) = tap
        assert numbers(last.data) == [4, 5]
        assert not last.finished
        assert list(tap) == []
        assert tap.rest == (0, 0, 0)
        (again, rest) = channel.tap()
        assert numbers(again.data) + numbers(rest.data) == list(range(6))


def test_it_goes_on_after_a_timeout():
    with make() as channel:
        tap = channel.tap(timeout=0.001)
        assert list(tap) == []
        write(channel, 0, 5)
        assert [copy.seq for copy in tap] == [0]
        assert list(tap) == []
        assert tap.positions == {0: 1}


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_one_subbuffer_that_is_always_overwritten(timeout):
    with make(overwrite=True, n_subbufs=1) as channel:
        tap = channel.tap(timeout=timeout)
        write(channel, 0, 10)
        assert list(tap) == []
        channel.finalize()
        (copy,) = tap
        assert numbers(copy.data) == [8, 9]
        assert copy.missed == (2, 8, 8 * BYTES)


def test_a_reset_is_told():
    with make() as channel:
        tap = channel.tap(timeout=0)
        write(channel, 0, 10)
        next(tap)
        channel.reset()
        assert list(tap) == []
        write(channel, 50, 59)
        first, second = tap
        assert numbers(first.data) == [50, 51, 52, 53]
        assert first.was_reset
        assert first.missed[1:] == (6, 6 * BYTES)
        assert not second.was_reset


def test_buffers_that_come_later_and_only_these_cpus(four_cpus):
    with rchan.create("many", subbuf_size=4 * BYTES, n_subbufs=4, n_buffers=4) as channel:
        everything = channel.tap(timeout=0, start="now")
        only = channel.tap(cpus=[3], timeout=0)
        for cpu in (1, 3):
            write(channel, 0, 5, cpu)
        assert sorted(copy.cpu for copy in everything) == [1, 3]
        assert [copy.cpu for copy in only] == [3]


def test_a_killed_writers_channel_is_read_to_its_end():
    channel = make(overwrite=True)
    pid = os.fork()
    if not pid:
        write(channel, 0, 30)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with channel:
        assert channel.orphaned
        tap = channel.tap(timeout=0)
        copies = list(tap)
        assert [number for copy in copies for number in numbers(copy.data)] == list(range(16, 28))
        assert copies[0].missed == (4, 16, 16 * BYTES)
        assert numbers(channel.snapshot()[-1].data) == [28, 29]


def test_a_removed_channel_can_be_tapped_to_its_end():
    channel = make()
    other = rchan.open("app")
    write(channel, 0, 6)
    channel.close()
    with other:
        assert [numbers(copy.data) for copy in other.tap()] == [[0, 1, 2, 3], [4, 5]]


def test_a_fork_has_a_position_of_its_own():
    with make() as channel:
        tap = channel.tap(timeout=0)
        write(channel, 0, 9)
        next(tap)
        pid = os.fork()
        if not pid:
            os._exit(0 if [copy.seq for copy in tap] == [1] else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert [copy.seq for copy in tap] == [1]


def test_threads_share_one_tap_without_a_double():
    with make(n_subbufs=64, subbuf_size=4096 * BYTES) as channel:
        write(channel, 0, 20 * 4096 + 1)
        tap = channel.buffers[0].tap("unread")
        seen: list[int] = []

        def drain() -> None:
            while (copy := tap.next()) is not None:
                seen.append(copy.seq)

        threads = [threading.Thread(target=drain) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seen) == list(range(20))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"start": "newest"}, rchan.WrongType),
        ({"start": 3}, rchan.WrongType),
        ({"cpus": [-1]}, rchan.NoSuchBuffer),
        ({"cpus": ["0"]}, rchan.WrongType),
        ({"timeout": "soon"}, rchan.WrongType),
    ],
)
def test_bad_input(given, error):
    with make() as channel, pytest.raises(error):
        next(channel.tap(**given))


def test_bad_input_to_the_binding():
    with make() as channel:
        buffer = channel.buffers[0]
        with pytest.raises(rchan.WrongType):
            buffer.tap("later")
        with pytest.raises(rchan.WrongType):
            buffer.tap("now").next(arena=b"")  # type: ignore[arg-type]
        with pytest.raises(rchan.WrongType):
            channel._wait_taps((buffer,), b"", 0)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            type(buffer.tap("now"))()


def test_a_closed_channel():
    channel = make()
    tap = channel.tap(timeout=0)
    channel.close()
    with pytest.raises(rchan.ChannelClosed):
        next(tap)
    with pytest.raises(rchan.ChannelClosed):
        channel.tap()


def test_nothing_is_kept_open(open_files):
    with make() as channel:
        write(channel, 0, 9)
        copies = list(channel.tap(timeout=0))
        snapshot = channel.snapshot()
    del channel
    assert numbers(copies[0].data) == [0, 1, 2, 3]
    assert len(snapshot) == 3
