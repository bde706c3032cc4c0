"""`async for` over a tap: the same as `for`, on a doorbell, without holding up the event loop."""

import asyncio
import os
import threading

import pytest
from tap_writer import BYTES, numbers, write

import rchan

WATCHDOG = 60  # seconds


@pytest.fixture
def channel(four_cpus):
    options = {"subbuf_size": 4 * BYTES, "n_subbufs": 4, "n_buffers": 1}
    with rchan.create("app", overwrite=True, **options) as channel:
        yield channel


async def collect(tap):
    return [number async for copy in tap for number in numbers(copy.data)]


def test_it_reads_along_to_the_end(channel):
    async def main():
        taps = [asyncio.create_task(collect(channel.tap())) for _ in range(3)]
        for number in range(18):
            write(channel, number, number + 1)
            await asyncio.sleep(0)
        channel.finalize()
        return await asyncio.gather(*taps)

    assert asyncio.run(main()) == [list(range(18))] * 3


def test_it_sleeps_on_a_bell_and_in_no_thread(channel, channels, monkeypatch):
    monkeypatch.setattr("rchan.tap.LOOK_AGAIN", 1000.0)

    async def main():
        with channel.tap() as tap:
            tapping = asyncio.create_task(collect(tap))
            while not [name for name in os.listdir(channels) if name.endswith(".bell")]:
                await asyncio.sleep(0)
            assert threading.active_count() == 1
            write(channel, 0, 5)
            while tap.positions != {0: 1}:
                await asyncio.sleep(0)
            channel.finalize()
            return await tapping

    assert asyncio.run(asyncio.wait_for(main(), WATCHDOG)) == [0, 1, 2, 3, 4]
    assert not [name for name in os.listdir(channels) if name.endswith(".bell")]


def test_a_cancelled_wait_misses_nothing(channel):
    async def main():
        tap = channel.tap()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(collect(tap), 0.01)
        write(channel, 0, 6)
        channel.finalize()
        return await collect(tap)

    assert asyncio.run(main()) == list(range(6))


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_timeout(channel, timeout):
    async def main():
        write(channel, 0, 5)
        tap = channel.tap(timeout=timeout)
        assert await collect(tap) == [0, 1, 2, 3]
        write(channel, 5, 9)
        assert await collect(tap) == [4, 5, 6, 7]

    asyncio.run(main())


def test_a_buffer_that_comes_later_is_heard(four_cpus):
    async def main(channel):
        tapping = asyncio.create_task(collect(channel.tap()))
        await asyncio.sleep(0.002)
        channel.prepare_cpu(2)
        write(channel, 0, 3, 2)
        channel.finalize()
        return await tapping

    with rchan.create("app", subbuf_size=4 * BYTES, n_buffers=4) as channel:
        assert asyncio.run(main(channel)) == [0, 1, 2]


def test_a_tap_that_is_left_ends_its_loop(channel):
    async def main():
        with channel.tap() as tap:
            tapping = asyncio.create_task(collect(tap))
            await asyncio.sleep(0.002)
        return await tapping

    assert asyncio.run(asyncio.wait_for(main(), WATCHDOG)) == []


def test_a_closed_channel(channel):
    async def main():
        tapping = asyncio.create_task(collect(channel.tap()))
        await asyncio.sleep(0.002)
        channel.close()
        with pytest.raises(rchan.ChannelClosed):
            await tapping

    asyncio.run(main())
