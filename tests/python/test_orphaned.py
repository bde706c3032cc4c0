"""A channel whose producers are all gone: it says so, is read to its end, and can be removed."""

import gc
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

import pytest
from forking import forked, kill

import rchan

GATE, FINALIZED = 128, b"\x02"  # core/layout.h


def _create(pipe: Connection, count: int, reserve: bool) -> None:
    channel = rchan.create("orphan", subbuf_size=64, n_subbufs=64, n_buffers=1)
    for number in range(count):
        channel.write(b"%7d\n" % number)
    slot = channel.reserve(16) if reserve else None
    pipe.send(os.getpid())
    pipe.recv()
    del slot


def _write(pipe: Connection) -> None:
    with rchan.open("orphan") as channel:
        channel.write(b"%7d\n" % -1)
        pipe.send(os.getpid())
        pipe.recv()


class Process:
    def __init__(self, target, *args):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=target, args=(far, *args), daemon=True)
        self.process.start()
        self.pid = self.pipe.recv()

    def kill(self):
        self.process.kill()
        self.process.join()


@pytest.mark.parametrize("reserve", [False, True])
def test_a_killed_producers_channel_is_read_to_its_end(channels, reserve):
    count = 50
    producer = Process(_create, count, reserve)
    with rchan.open("orphan") as channel:
        assert not channel.orphaned
        other = Process(_write)
        producer.kill()
        assert not channel.orphaned
        other.kill()
        assert channel.orphaned
        assert not channel.finalized
        channel.finalize()
        with rchan.open_file(channels / "orphan0", blocking=True) as file:
            assert channel.orphaned  # a second hold of this same process
            lines = file.read().splitlines()
            assert file.read() == b""
        if not reserve:
            assert [int(line) for line in lines] == [*range(count), -1]
        else:  # the other found the only buffer taken
            assert [int(line) for line in lines][:count] == [*range(count)]
        channel.flush()  # records count as consumed with the end of their sub-buffer
        assert lines
        with rchan.open_file(channels / "orphan0") as file:
            assert file.read() == b""
        total = channel.stats().total
        assert total.readable == (0, 0)
        assert total.attempted.records == total.consumed.records + total.dropped_contended.records
    rchan.remove("orphan")
    assert os.listdir(channels) == []


def test_the_only_process_sees_itself_alone(four_cpus, channels):
    with rchan.create("mine") as channel, rchan.open("mine") as again:
        assert channel.orphaned
        assert again.orphaned
        child = os.fork()
        if not child:
            os._exit(0 if not channel.orphaned else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert channel.orphaned


def test_an_inherited_handle_keeps_it_from_being_orphaned(four_cpus):
    here, there = multiprocessing.Pipe()
    with rchan.create("mine") as channel:
        child = os.fork()
        if not child:
            here.close()
            there.send(None)
            there.poll(60)
            os._exit(0)
        here.recv()
        assert not channel.orphaned
        here.send(None)
        os.waitpid(child, 0)
        gc.collect()
        assert channel.orphaned


def test_orphaned_of_a_closed_handle(four_cpus):
    channel = rchan.create("mine")
    channel.close()
    with pytest.raises(rchan.ChannelClosed):
        assert channel.orphaned


def test_readers_of_other_processes_are_no_producers(four_cpus):
    """Two recorders of one channel do not keep each other waiting for ever."""
    with rchan.create("mine", subbuf_size=64, n_buffers=1) as channel:

        def read():
            reader = channel.reader()
            assert reader.take() is None

        with forked(lambda: channel.write(b"one")) as producer, forked(read) as reading:
            assert channel.producers() == [os.getpid(), producer]
            assert not channel.orphaned
            kill(producer)
            assert channel.orphaned
            kill(reading)


@pytest.mark.parametrize(
    "read",
    [
        lambda channel: channel.reader().take(),
        lambda channel: channel.tap(timeout=0),
        lambda channel: channel.snapshot(),
        lambda channel: rchan.RelayFile(channel.buffers[0]).read(),
        lambda channel: rchan.RelayFile(channel.buffers[0]).readinto(bytearray(8)),
        lambda channel: rchan.RelayFile(channel.buffers[0]).poll(1),
        lambda channel: channel.buffers[0].take(),
    ],
    ids=["reader", "tap", "snapshot", "read", "readinto", "poll", "take"],
)
def test_reading_in_any_way_makes_a_handle_a_readers(four_cpus, read):
    with rchan.create("mine", subbuf_size=64, n_buffers=1) as channel:
        assert channel.producers() == [os.getpid()]
        read(channel)
        assert channel.producers() == []
        assert channel.write(b"but now it writes")
        read(channel)
        assert channel.producers() == [os.getpid()]


def test_a_tap_says_that_the_channel_is_orphaned(four_cpus):
    with rchan.create("mine", subbuf_size=64, n_buffers=1) as channel:

        def produce():
            for number in range(12):
                channel.write(b"%7d\n" % number)

        with forked(produce) as pid:
            tap = channel.tap(timeout=0, until_orphaned=True)
            assert len(next(tap)) == 64
            assert list(tap) == []
            assert tap.ended_by == "timeout"
            kill(pid)
            assert [bytes(copy.data)[-2:-1] for copy in tap] == [b"1"], "the unfinished rest"
            assert tap.ended_by == "orphaned"
            assert list(tap) == []
            assert tap.ended_by == "orphaned"


def test_a_sleeping_tap_notices_that_its_producers_died(four_cpus):
    with rchan.create("mine", subbuf_size=64, n_buffers=1) as channel:
        with forked(lambda: channel.write(b"last words")) as pid:
            tap = channel.tap(until_orphaned=True)
            os.kill(pid, signal.SIGKILL)
            assert [bytes(copy.data) for copy in tap] == [b"last words"]
        assert tap.ended_by == "orphaned"


@pytest.mark.parametrize("reading", ["reader", "tap", "file"])
def test_a_finalizer_who_was_killed_half_way(four_cpus, channels, reading):
    """The gate is shut, the buffers are not marked, and nobody was woken."""
    with rchan.create("mine", subbuf_size=64, n_buffers=2) as channel:
        channel.write(b"the rest", 1)
        with (channels / "mine.chan").open("r+b") as control:
            control.seek(GATE)
            control.write(FINALIZED)
        assert channel.finalized
        assert channel.buffers[1].finalized
        if reading == "file":
            with rchan.open_file(channels / "mine1", blocking=True) as file:
                assert (file.read(100), file.read(100)) == (b"the rest", b"")
        else:
            source = getattr(channel, reading)()
            assert [bytes(sub.data) for sub in source] == [b"the rest"]
            assert source.ended_by == "finalized"
