"""`async for` over a reader: the same as `for`, without holding up the event loop."""

import asyncio

import pytest

import rchan


@pytest.fixture
def channel(four_cpus):
    with rchan.create("app", subbuf_size=32, n_subbufs=4, n_buffers=1) as channel:
        yield channel


def fill(channel, numbers):
    for number in numbers:
        channel.write(b"%030d" % number)


async def read(reader):
    return [int(bytes(sub)) async for sub in reader]


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
