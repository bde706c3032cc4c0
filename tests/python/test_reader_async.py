"""`async for` over a reader: the same as `for`, without holding up the event loop."""

import asyncio
import os
import select
import threading

import pytest
from subbufs import fill

import rchan

WATCHDOG = 60  # seconds


@pytest.fixture
def channel(four_cpus):
    with rchan.create("app", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        yield channel


async def read(reader):
    return [int(bytes(sub)) async for sub in reader]


async def first(count, reader):
    """So many, and no wait for more."""
    found = []
    async for sub in reader:
        found.append(int(bytes(sub)))
        if len(found) == count:
            sub.release()
            return found
    return found


async def asleep(reader):
    while reader._listener._place is None or reader._listener._place.waiter is None:
        await asyncio.sleep(0)


def test_it_reads_to_the_end(channel):
    async def main():
        reading = asyncio.create_task(read(channel.reader()))
        for number in range(20):
            while not channel.write(b"%030d" % number):
                await asyncio.sleep(0)
        channel.finalize()
        return await reading

    assert asyncio.run(main()) == list(range(20))


def test_the_event_loop_goes_on_meanwhile(channel):
    async def main():
        reading = asyncio.create_task(read(channel.reader()))
        turns = 0
        for _ in range(100):
            await asyncio.sleep(0)
            turns += not reading.done()
        channel.finalize()
        await reading
        return turns

    assert asyncio.run(main()) == 100


def test_no_thread_waits(channel):
    async def main():
        readings = [asyncio.create_task(read(channel.reader())) for _ in range(3)]
        await asyncio.sleep(0.01)
        threads = threading.active_count()
        channel.finalize()
        await asyncio.gather(*readings)
        return threads

    assert asyncio.run(main()) == 1


def test_it_sleeps_on_a_bell_that_goes_with_the_reader(channel, channels):
    def bells():
        return [name for name in os.listdir(channels) if name.endswith(".bell")]

    async def main():
        reader = channel.reader()
        reading = asyncio.create_task(read(reader))
        while not bells():
            await asyncio.sleep(0)
        fill(channel, range(3))
        channel.flush()
        while channel.buffers[0].subbufs_consumed < 3:
            await asyncio.sleep(0)
        assert len(bells()) == 1
        reader.close()
        assert await reading == [0, 1, 2]
        assert bells() == []

    asyncio.run(main())


def test_a_rung_bell_wakes_it_at_once(channel, monkeypatch):
    """With the look that it takes now and then out of the way."""
    monkeypatch.setattr("rchan.reader.LOOK_AGAIN", 1000.0)

    async def main():
        reading = asyncio.create_task(read(channel.reader()))
        for number in range(20):
            await asyncio.sleep(0.001)
            fill(channel, [number])
            channel.flush()
            while channel.buffers[0].subbufs_consumed <= number:
                await asyncio.sleep(0)
        channel.finalize()
        return await reading

    assert asyncio.run(asyncio.wait_for(main(), WATCHDOG)) == list(range(20))


def test_a_reader_in_several_event_loops(channel):
    reader = channel.reader()
    for number in range(3):

        async def one(number=number):
            reading = asyncio.create_task(first(1, reader))
            await asleep(reader)
            fill(channel, [number])
            channel.flush()
            return await reading

        assert asyncio.run(one()) == [number]
    reader.close()


def test_a_buffer_only_channel_is_read_without_a_bell(four_cpus):
    async def main(channel):
        reading = asyncio.create_task(read(channel.reader()))
        await asyncio.sleep(0.002)
        fill(channel, range(2))
        channel.finalize()
        return await reading

    with rchan.create(None, subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        assert asyncio.run(main(channel)) == [0, 1]


def test_a_forked_child_makes_a_bell_of_its_own(channel):
    reader = channel.reader()

    async def main(numbers):
        reading = asyncio.create_task(first(len(numbers), reader))
        await asleep(reader)
        fill(channel, numbers)
        channel.flush()
        return await reading

    assert asyncio.run(main([3])) == [3]
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if asyncio.run(main([0, 1])) == [0, 1] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(main([5])) == [5]
    reader.close()


def test_a_closed_channel(channel):
    async def main():
        reading = asyncio.create_task(read(channel.reader()))
        await asyncio.sleep(0.002)
        channel.close()
        with pytest.raises(rchan.ChannelClosed):
            await reading

    asyncio.run(main())


def test_what_a_killed_writer_owed_is_mended_after_a_moment(channel):
    """Asked for and never rung: another one's descriptor is readable once somebody has looked."""
    with rchan.RelayFile(channel.buffers[0]) as file:
        file.fileno()
        channel._defer_wakeups = True
        fill(channel, [7])
        channel.flush()
        assert not select.select([file], [], [], 0)[0]
        assert asyncio.run(read(channel.reader(cpus=[0], timeout=0))) == [7]
        assert not select.select([file], [], [], 0)[0]
        assert asyncio.run(read(channel.reader(timeout=0.02))) == []
        assert select.select([file], [], [], 0)[0]


def test_a_cancelled_wait_loses_nothing(channel):
    async def main():
        reader = channel.reader()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(reader), 0.02)
        fill(channel, range(3))
        channel.finalize()
        return await read(reader)

    assert asyncio.run(main()) == [0, 1, 2]


def test_cancelled_with_a_subbuf_in_the_hand(channel):
    async def hold(reader, holding):
        async for _ in reader:
            holding.set()
            await asyncio.Event().wait()

    async def main():
        fill(channel, range(3))
        holding = asyncio.Event()
        task = asyncio.create_task(hold(channel.reader(), holding))
        await holding.wait()
        assert channel.reader().take() is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        channel.finalize()
        return await read(channel.reader())

    assert asyncio.run(main()) == [0, 1, 2]


def test_break_puts_down(channel):
    async def main():
        fill(channel, range(3))
        held = []
        async for sub in channel.reader():
            held.append(sub)
            break
        assert not held[0].held
        return await read(channel.reader(timeout=0))

    assert asyncio.run(main()) == [0, 1]


def test_timeout_and_a_living_view(channel):
    async def main():
        fill(channel, range(3))
        reader = channel.reader(timeout=0.01)
        kept = []
        with pytest.raises(BufferError, match="still lives"):
            async for sub in reader:
                kept.append(sub.data)
        kept.clear()
        sub.put_down()
        assert await read(reader) == [0, 1]
        assert reader.ended_by == "timeout"

    asyncio.run(main())


def test_a_closed_reader(channel):
    async def main():
        reader = channel.reader()
        reading = asyncio.create_task(read(reader))
        await asyncio.sleep(0)
        reader.close()
        assert await reading == []
        with pytest.raises(rchan.ChannelClosed):
            await read(reader)

    asyncio.run(main())
