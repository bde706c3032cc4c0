"""A bell stays known to the event loop between two sleeps, and goes with its reader or loop."""

import asyncio
import gc
import os
import threading

import pytest

import rchan

WATCHDOG = 60  # seconds


@pytest.fixture
def channel(four_cpus):
    with rchan.create("app", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        yield channel


@pytest.fixture
def bells(channels):
    return lambda: [name for name in os.listdir(channels) if name.endswith(".bell")]


def fill(channel, number):
    channel.write(b"%030d" % number)
    channel.flush()


async def asleep(reader):
    """A task that waits for one sub-buffer, once it sleeps."""

    async def one():
        async for sub in reader:
            number = int(bytes(sub))
            sub.release()  # read, though the loop is left
            return number
        return None

    task = asyncio.create_task(one())
    while reader._listener._place is None or reader._listener._place.waiter is None:
        await asyncio.sleep(0)
    return task


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, WATCHDOG))


class Counting:
    """How often a descriptor is made known to a loop, and how often it wakes the loop."""

    def __init__(self, loop):
        self.added, self.called = 0, 0
        add = loop.add_reader

        def add_reader(descriptor, callback):
            def counted():
                self.called += 1
                callback()

            self.added += 1
            add(descriptor, counted)

        loop.add_reader = add_reader


def test_many_sleeps_are_one_registration(channel, monkeypatch):
    monkeypatch.setattr("rchan.reader.LOOK_AGAIN", 1000.0)

    async def main():
        counting = Counting(asyncio.get_running_loop())
        with channel.reader() as reader:
            for number in range(10):
                task = await asleep(reader)
                fill(channel, number)
                assert await task == number
        return counting.added, counting.called

    assert run(main()) == (1, 10)


def test_a_bell_rung_while_nobody_sleeps_does_not_keep_the_loop_awake(channel):
    async def main():
        counting = Counting(asyncio.get_running_loop())
        with channel.reader() as reader:
            task = await asleep(reader)
            fill(channel, 0)
            await task
            reader._listener._rearmed()  # as if it was about to sleep
            for number in range(1, 4):
                fill(channel, number)
            for _ in range(20):
                await asyncio.sleep(0)
        return counting.called

    assert run(main()) == 2


def test_a_reader_that_nobody_holds_leaves_the_loop(channel, bells):
    async def main():
        loop = asyncio.get_running_loop()
        reader = channel.reader()
        task = await asleep(reader)
        fill(channel, 0)
        await task
        descriptor = reader._listener._bell.fileno()
        assert len(bells()) == 1
        del task, reader
        gc.collect()
        return bells(), loop.remove_reader(descriptor)

    assert run(main()) == ([], False)


def test_a_cancelled_sleep_leaves_the_bell_where_it_is(channel, bells):
    async def main():
        with channel.reader() as reader:
            task = await asleep(reader)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            place = reader._listener._place
            task = await asleep(reader)
            fill(channel, 7)
            assert await task == 7
            assert reader._listener._place is place
        return bells()

    assert run(main()) == []


def test_a_reader_closed_by_another_thread_leaves_the_loop(channel, bells):
    async def main():
        reader = channel.reader()
        task = await asleep(reader)
        fill(channel, 0)
        await task
        descriptor = reader._listener._bell.fileno()
        await asyncio.to_thread(reader.close)
        while bells():
            await asyncio.sleep(0)
        return asyncio.get_running_loop().remove_reader(descriptor)

    assert run(main()) is False


def test_from_one_living_loop_to_another(channel, bells):
    """Each in a thread; the first forgets the bell."""
    reader, moved, over = channel.reader(), threading.Event(), threading.Event()
    seen = []

    async def first():
        task = await asleep(reader)
        fill(channel, 0)
        seen.append(await task)
        descriptor = reader._listener._bell.fileno()
        moved.set()
        while not over.is_set():
            await asyncio.sleep(0.001)
        return asyncio.get_running_loop().remove_reader(descriptor)

    async def second():
        task = await asleep(reader)
        fill(channel, 1)
        seen.append(await task)
        while len(bells()) > 1:
            await asyncio.sleep(0.001)

    left = []
    thread = threading.Thread(target=lambda: left.append(run(first())))
    thread.start()
    assert moved.wait(WATCHDOG)
    run(second())
    over.set()
    thread.join()
    assert (seen, left, len(bells())) == ([0, 1], [False], 1)
    reader.close()
    assert bells() == []


def test_a_child_leaves_the_parents_loop_alone(channel):
    """The loop's epoll instance is shared after a fork."""

    async def main():
        with channel.reader() as reader:
            task = await asleep(reader)
            fill(channel, 0)
            await task
            child = os.fork()
            if child == 0:
                reader.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            task = await asleep(reader)
            fill(channel, 1)
            return await task

    assert run(main()) == 1
