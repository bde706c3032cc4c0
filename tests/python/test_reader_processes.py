"""Readers in several processes: each sub-buffer goes to exactly one, and none is lost by a kill."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from forking import forked, kill
from subbufs import numbers_of

import rchan


@pytest.fixture(params=[False, True], ids=["no-overwrite", "overwrite"])
def channel(request, four_cpus):
    with rchan.create(
        "app", subbuf_size=32, n_subbufs=8, n_buffers=1, overwrite=request.param
    ) as channel:
        for number in range(4):
            channel.write(b"%030d" % number)
        channel.flush()
        yield channel


def test_a_reader_killed_between_take_and_give_back(channel):
    kept = []

    def take():
        reader = channel.reader()
        reader.give_back(reader.take())
        kept.append(reader.take())

    reader = channel.reader(timeout=0)
    with forked(take) as pid:
        assert list(reader) == [], "it is in another's hand"
        kill(pid)
    assert numbers_of(reader) == [1, 2, 3]
    assert channel.stats().total.closes


def test_a_loop_killed_in_the_middle(channel):
    def loop():
        for sub in channel.reader():
            if sub.seq == 2:
                kept.append(sub)
                os.write(say, b"2")
                signal.pause()

    kept = []
    told, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        loop()
        os._exit(1)
    assert os.read(told, 1) == b"2"
    kill(pid)
    os.close(told)
    os.close(say)
    assert numbers_of(channel.reader(timeout=0)) == [2, 3]


def test_a_fork_does_not_share_what_is_held(channel):
    reader = channel.reader(timeout=0)
    sub = reader.take()

    def child():
        assert bytes(sub) == b"%030d" % 0
        assert not sub.release(), "it is the parent's"
        assert reader.take() is None
        assert list(channel.reader(timeout=0)) == []

    with forked(child):
        assert sub.held
        reader.give_back(sub)
    assert numbers_of(reader) == [1, 2, 3]


def test_a_fork_in_a_loop(channel):
    seen = []
    for sub in channel.reader(timeout=0):
        pid = os.fork()
        if pid == 0:
            os._exit(0)  # the child's copy of the loop gives nothing back
        os.waitpid(pid, 0)
        assert sub.held
        seen += numbers_of([sub])
    assert seen == [0, 1, 2, 3]


READ = """
import json, sys, rchan
with rchan.open("shared") as channel:
    print("ready", flush=True)
    sys.stdin.readline()
    mine = [bytes(sub).decode().split() for sub in channel.reader()]
    print(json.dumps(mine))
"""


@pytest.mark.parametrize("overwrite", [False, True])
def test_each_subbuf_goes_to_exactly_one(four_cpus, overwrite):
    with rchan.create("shared", subbuf_size=256, n_subbufs=64, n_buffers=2) as channel:
        readers = [
            subprocess.Popen(
                [sys.executable, "-c", READ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for reader in readers:
            assert reader.stdout.readline() == "ready\n"
            reader.stdin.write("go\n")
            reader.stdin.flush()
        written = []
        for number in range(20000):
            if channel.write(b"%d " % number, number % 2):
                written.append(number)
        channel.finalize()
        parts = [json.loads(reader.communicate()[0]) for reader in readers]
        assert all(reader.returncode == 0 for reader in readers)
        read = [int(number) for part in parts for sub in part for number in sub]
        total = channel.stats().total
        assert total.closes
        assert len(read) == len(set(read)) == total.consumed.records
        assert set(read) <= set(written)
        assert len(written) - len(read) == total.overwritten.records
        assert overwrite or len(read) == len(written)


def test_the_creators_close_lets_others_read_to_the_end(four_cpus):
    told, say = os.pipe()
    with rchan.create("ends", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        other = rchan.open("ends")
        channel.write(b"first")
    os.close(told)
    os.close(say)
    reader = other.reader()
    assert [bytes(sub) for sub in reader] == [b"first"]
    assert reader.ended_by == "finalized"
    other.close()


def test_a_sleeping_reader_is_woken(four_cpus):
    with rchan.create("wakes", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        found = []
        reading = threading.Thread(target=lambda: found.extend(map(bytes, channel.reader())))
        reading.start()
        for number in range(50):
            while not channel.write(b"%030d" % number):
                pass
        channel.finalize()
        reading.join()
        assert [int(each) for each in found] == list(range(50))


def test_a_killed_producer_orphans_the_channel(four_cpus):
    with rchan.create("left", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:

        def produce():
            channel.write(b"last words")

        with forked(produce) as pid:
            reader = channel.reader(until_orphaned=True)
            assert reader.take() is None
            assert reader.ended_by == "timeout"
            kill(pid)
            assert [bytes(sub) for sub in reader] == [b"last words"]
            assert reader.ended_by == "orphaned"


def test_nothing_torn_while_writers_overwrite(four_cpus):
    count, size = 150_000, 64
    with rchan.create(
        "races", subbuf_size=64 * 1024, n_subbufs=2, n_buffers=1, overwrite=True
    ) as channel:
        attached, say = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(say, b"x")
            for number in range(count):
                channel.write(number.to_bytes(8, "little") * (size // 8))
            os._exit(0)
        os.read(attached, 1)
        os.close(attached)
        os.close(say)
        last, read, lost = -1, 0, rchan.Lost()
        for sub in channel.reader(until_orphaned=True):
            data = bytes(sub)
            words = memoryview(data).cast("Q").tolist()
            first = words[0]
            expected = [first + place // 8 for place in range(len(words))]
            assert words == expected, "whole, and in order"
            lost = lost.plus(sub.lost)
            assert first > last
            read += sub.records
            last = words[-1]
        os.waitpid(pid, 0)
        assert last == count - 1
        assert read + lost.overwritten.records == count
        assert lost.total == lost.overwritten
        assert channel.stats().total.consumed.records == read
