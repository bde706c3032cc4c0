"""A channel whose producers are all gone: it says so, is read to its end, and can be removed."""

import gc
import multiprocessing
import os
from multiprocessing.connection import Connection

import pytest

import rchan


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
            there.poll(30)
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
