"""Channels travel: to threads, forks, spawned processes, subinterpreters; and survive kills."""

import multiprocessing
import os
import pickle
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest
from forking import forked, kill

import rchan

# Other processes get it as text: they need not find this module.
WRITE_NUMBERS = """
for number in range(count):
    assert channel.write(b"%d %d\\n" % (cpu, number), cpu)
"""


def write_numbers(channel: rchan.Channel, cpu: int, count: int) -> tuple:
    """Target and arguments of a thread or process."""
    return exec, (WRITE_NUMBERS, {"channel": channel, "cpu": cpu, "count": count})


def read_numbers(channel: rchan.Channel) -> dict[int, list[int]]:
    """Number sequences by the CPU that their writer named."""
    found: dict[int, list[int]] = {}
    for buffer in channel.buffers.values():
        for line in rchan.RelayFile(buffer).read().splitlines():
            cpu, number = map(int, line.split())
            found.setdefault(cpu, []).append(number)
    return found


@pytest.fixture
def channel(four_cpus) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=4, n_buffers=4) as channel:
        yield channel


def test_pickle_is_by_name(channel):
    again = pickle.loads(pickle.dumps(channel))
    assert again is not channel
    assert not again.creator
    again.write(b"x", 0)
    again.close()
    assert channel.stats().total.written.records == 1


def test_what_cannot_be_pickled(four_cpus):
    with (
        rchan.create(None, subbuf_size=64) as channel,
        pytest.raises(rchan.Unsupported, match="late_setup_files"),
    ):
        pickle.dumps(channel)
    with pytest.raises(rchan.ChannelClosed):
        pickle.dumps(channel)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_processes(channel, method):
    context = multiprocessing.get_context(method)
    children = []
    for cpu in range(4):
        target, args = write_numbers(channel, cpu, 100)
        children.append(context.Process(target=target, args=args))
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert read_numbers(channel) == {cpu: list(range(100)) for cpu in range(4)}
    assert channel.stats().total.closes
    assert channel.producers() == [], "the writers are gone, and this process has only read"


def test_threads(channel):
    target, args = write_numbers(channel, 0, 200)
    threads = [threading.Thread(target=target, args=(args[0], dict(args[1]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_numbers(channel)
    assert sorted(found[0]) == sorted(list(range(200)) * 4)
    assert channel.stats().total.closes


def test_subinterpreters(channel):
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    interpreters = pytest.importorskip(name)
    code = textwrap.dedent("""
        import rchan
        with rchan.open("app") as channel:
            for number in range(100):
                assert channel.write(b"2 %d\\n" % number, 2)
        try:
            rchan.open("nobody")
        except rchan.ChannelNotFound:
            pass
    """)
    for _ in range(2):
        interpreter = interpreters.create()
        failure = interpreters.run_string(interpreter, code)
        interpreters.destroy(interpreter)
        assert failure is None
    assert read_numbers(channel) == {2: list(range(100)) * 2}


def test_writer_killed_with_a_reservation(channel):
    def reserve():
        channel.write(b"before|", 0)
        kept.append(channel.reserve(16, 0))
        kept[0][:] = b"never committed."

    kept: list[rchan.Reservation] = []
    with forked(reserve) as pid:
        assert sorted(channel.producers()) == sorted([os.getpid(), pid])
        assert channel.write(b"elsewhere", 0), "goes to the next buffer while this one is taken"
        kill(pid)
    channel.flush()  # takes over from the dead; a write would only look once in a while
    assert channel.write(b"after|", 0)
    assert rchan.RelayFile(channel.buffers[0]).read() == b"before|after|"
    assert rchan.RelayFile(channel.buffers[1]).read() == b"elsewhere"
    total = channel.stats().total
    assert total.written == (3, 22)
    assert total.closes
    assert channel.producers() == [os.getpid()]


def test_reader_killed_with_a_subbuf(channel):
    channel.write(b"read again", 0)
    channel.flush()
    kept: list[rchan.Subbuf] = []
    with forked(lambda: kept.append(channel.buffers[0].take())) as pid:
        assert channel.buffers[0].books().readable_records == 1
        with pytest.raises(BlockingIOError):
            channel.buffers[0].take()
        kill(pid)
    assert rchan.RelayFile(channel.buffers[0]).read() == b"read again"


def test_creator_killed(four_cpus):
    def create():
        mine = rchan.create("orphan", subbuf_size=64, n_buffers=1)
        mine.write(b"last words")
        kept.append(mine)

    kept: list[rchan.Channel] = []
    with forked(create) as pid:
        assert rchan.list()[0].producers == (pid,)
        kill(pid)
    (found,) = rchan.list()
    assert found.state == "orphaned"
    with rchan.open("orphan") as channel:
        assert rchan.RelayFile(channel.buffers[0]).read() == b"last words"
        assert channel.write(b"goes on")
    rchan.remove("orphan")


def test_reservations_are_not_inherited(channel):
    slot = channel.reserve(8, 0)
    slot[:] = b"parent's"

    def commit_a_copy():
        slot.commit()
        assert channel.write(b"child's own", 1)

    with forked(commit_a_copy):
        assert channel.buffers[0].offset == 0
        slot.commit()
        assert rchan.RelayFile(channel.buffers[0]).read() == b"parent's"
        assert channel.stats().total.closes


def test_closing_in_a_child_spares_the_channel(channel):
    with forked(channel.close):
        assert channel.write(b"x", 0)
        assert [found.name for found in rchan.list()] == ["app"]
        assert not channel.finalized


@pytest.mark.parametrize("error", [rchan.RchanError, *rchan.RchanError.__subclasses__()])
def test_errors_can_be_pickled(error):
    made = error("what happened")
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), again.args) == (error, "what happened", ("what happened",))
    assert getattr(again, "errno", None) == getattr(made, "errno", None)


def test_another_process_disables_and_enables(channel):
    def disable():
        channel.enabled = False

    with forked(disable):
        assert not channel.enabled
        assert not channel.write(b"lost", 0)
    assert channel.stats().total.dropped_disabled == (1, 4)

    def enable():
        channel.enabled = True

    with forked(enable):
        assert channel.write(b"kept", 0)
