"""A buffer's file as a descriptor that select, poll, epoll, selectors and asyncio wait on."""

import asyncio
import gc
import multiprocessing
import os
import select
import selectors
import signal
import threading

import pytest

import rchan

WATCHDOG = 60  # seconds; a wake-up that was lost ends the test with a failure


@pytest.fixture
def file(small):
    with rchan.RelayFile(small.buffers[0]) as file:
        yield file


def finish(channel, data=b"x", cpu=0):
    assert channel.write(data, cpu)
    channel.flush()


def ready(file, timeout=0.0):
    return bool(select.select([file], [], [], timeout)[0])


def test_readable_exactly_while_something_is_announced(small, file):
    assert not ready(file)
    small.write(b"unfinished", 0)
    assert not ready(file)
    small.flush()
    assert ready(file) and ready(file)
    assert file.poll() and ready(file)
    assert file.read() == b"unfinished"
    assert not ready(file)


def test_it_stays_readable_while_a_finished_subbuf_is_left(small, file):
    file.fileno()
    for _ in range(3):
        finish(small, b"abc")
    for left in (b"abc", b"abc"):
        assert file.read(3) == left
        assert ready(file)
    assert file.readinto(bytearray(3)) == 3
    file.poll()
    assert not ready(file)


def test_what_was_there_before_fileno_is_told(small, file):
    finish(small)
    assert ready(file)


@pytest.mark.parametrize("end", ["finalize", "close"])
def test_the_end_is_told_and_stays(small, file, end):
    assert not ready(file)
    finish(small, b"last")
    getattr(small, end)()
    assert file.read() == b"last"
    for _ in range(3):
        assert ready(file)
        assert file.poll() == select.POLLERR


def test_fileno_after_the_channel_was_closed(small, file):
    finish(small, b"last")
    small.close()
    assert ready(file)
    assert file.read() == b"last"
    assert ready(file)


def test_reset_wakes(small, file):
    file.fileno()
    small.reset()
    assert ready(file)
    assert file.poll() == 0
    assert not ready(file)


def test_another_buffer_may_ring_but_poll_clears(small, file):
    file.fileno()
    finish(small, b"of cpu 1", 1)
    assert file.poll() == 0 or file.read() == b""
    while file.poll():
        file.read()
    assert not ready(file)


def test_poll(small, file):
    waiter = select.poll()
    waiter.register(file, select.POLLIN)
    assert waiter.poll(0) == []
    finish(small)
    assert waiter.poll(0) == [(file.fileno(), select.POLLIN)]


def test_epoll_level(small, file):
    with select.epoll() as waiter:
        waiter.register(file, select.EPOLLIN)
        for _ in range(5):
            assert waiter.poll(0) == []
            finish(small)
            assert waiter.poll(0) == waiter.poll(0) == [(file.fileno(), select.EPOLLIN)]
            file.read()


def test_epoll_edge(small, file):
    with select.epoll() as waiter:
        waiter.register(file, select.EPOLLIN | select.EPOLLET)
        for _ in range(5):
            finish(small)
            assert len(waiter.poll(0)) == 1
            assert waiter.poll(0) == []
            while file.read():
                pass
            waiter.poll(0)


def test_selectors(small):
    with selectors.DefaultSelector() as selector:
        files = [rchan.RelayFile(small.buffers[cpu]) for cpu in (0, 1)]
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        finish(small, b"one", 1)
        ready_files = [key.fileobj for key, _ in selector.select(0)]
        assert files[1] in ready_files
        assert files[1].read() == b"one"
        for file in files:
            selector.unregister(file)
            file.close()


def test_asyncio(small, file):
    async def collect(wanted):
        loop, got, done = asyncio.get_running_loop(), bytearray(), asyncio.Event()

        def take():
            got.extend(file.read())
            if len(got) == wanted:
                done.set()

        loop.add_reader(file, take)
        writer = threading.Thread(target=lambda: [finish(small, b"record!!") for _ in range(3)])
        writer.start()
        await asyncio.wait_for(done.wait(), WATCHDOG)
        writer.join()
        loop.remove_reader(file)
        return bytes(got)

    assert asyncio.run(collect(24)) == b"record!!" * 3


def test_its_bell_goes_with_it(small, channels, open_files):
    with rchan.open_file(channels / "small0") as file:
        before = set(os.listdir(channels))
        descriptor = file.fileno()
        (bell,) = set(os.listdir(channels)) - before
        assert bell == "small.0.bell"
        assert file.fileno() == descriptor
        assert (channels / bell).stat().st_mode & 0o777 == 0o600
    assert set(os.listdir(channels)) == before
    other = rchan.RelayFile(small.buffers[0])
    other.fileno()
    del other
    gc.collect()
    assert set(os.listdir(channels)) == before


def test_a_buffer_only_channel_has_no_descriptor(four_cpus):
    with rchan.create(None, subbuf_size=64, n_buffers=1) as channel:
        file = rchan.RelayFile(channel.buffers[0])
        with pytest.raises(rchan.Unsupported, match="late_setup_files"):
            file.fileno()


def test_after_close(file):
    file.fileno()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.fileno()


def test_ten_readers_of_one_channel_are_all_woken(small):
    bells = [small._bell() for _ in range(10)]
    assert len({bell.fileno() for bell in bells}) == 10
    for bell in bells:
        bell.rearm()
    finish(small)
    assert select.select(bells, [], [], 0)[0] == bells
    for bell in bells:
        bell.rearm()
    assert select.select(bells, [], [], 0)[0] == []
    for bell in bells:
        with bell:
            pass
        assert bell.closed
        with pytest.raises(rchan.ChannelClosed):
            bell.rearm()


def test_a_forked_copy_is_void_and_asks_for_its_own(small, channels, file):
    file.fileno()
    child = os.fork()
    if not child:
        code = 1
        try:
            mine = file.fileno()
            finish(small, b"from the child")
            code = 0 if select.select([mine], [], [], 0)[0] and file.poll() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ready(file)
    assert file.read() == b"from the child"
    finish(small)
    assert ready(file)


def _wait_for_ever(parent, pipe):
    file = rchan.open_file(os.path.join(parent, "small0"))
    file.fileno()
    pipe.send(None)
    signal.pause()


def test_a_killed_reader_leaves_nothing(small, channels):
    context = multiprocessing.get_context("fork")
    near, far = context.Pipe()
    reader = context.Process(target=_wait_for_ever, args=(str(channels), far))
    reader.start()
    near.recv()
    assert "small.0.bell" in os.listdir(channels)
    reader.kill()
    reader.join()
    finish(small)
    assert "small.0.bell" not in os.listdir(channels)


def _read_by_epoll(parent, count, pipe):
    """Every record, waiting with epoll; the number that it missed."""
    with rchan.open_file(os.path.join(parent, "storm0")) as file, select.epoll() as waiter:
        waiter.register(file, select.EPOLLIN)
        pipe.send(None)
        got = 0
        while got < count:
            if not waiter.poll(WATCHDOG):
                break
            got += len(file.read()) // 8
            pipe.send(got)
        pipe.send(None)


def test_no_wakeup_is_lost_between_processes(four_cpus, channels):
    """Ping-pong in bursts: after each the reader runs dry, so that every wake-up counts."""
    bursts, burst = 300, 3
    context = multiprocessing.get_context("fork")
    with rchan.create("storm", subbuf_size=64, n_subbufs=64, n_buffers=1) as channel:
        near, far = context.Pipe()
        reader = context.Process(
            target=_read_by_epoll, args=(str(channels), bursts * burst, far), daemon=True
        )
        reader.start()
        near.recv()
        for number in range(1, bursts + 1):
            for _ in range(burst):
                finish(channel, b"8 bytes.")
            got = 0
            while got is not None and got < number * burst:
                assert near.poll(WATCHDOG), "a wake-up was lost"
                got = near.recv()
            assert got is not None, "a wake-up was lost"
        reader.join(WATCHDOG)
        assert reader.exitcode == 0
