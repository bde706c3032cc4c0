"""Records of other processes in an asyncio program, with a batch as soon as there is one.

    python asyncio_consumer.py

`async for` waits on a descriptor in the event loop: no thread, no polling, and other tasks go on.
"""

import asyncio
import multiprocessing
import os
import time

import rchan

MESSAGES = 5


def produce(channel: rchan.Channel) -> None:
    """In a child."""
    for number in range(MESSAGES):
        channel.write(b"process %d says %d\n" % (os.getpid(), number))
        time.sleep(0.03)


async def consume(channel: rchan.Channel) -> int:
    """Until the channel is finalized, and everything in it was read."""
    lines = 0
    async for sub in channel.reader(flush_interval=0.1):  # a record waits no longer than that
        for line in bytes(sub).splitlines():
            print("CPU", sub.cpu, line.decode())
            lines += 1
    return lines


async def tick() -> None:
    """Something else that the program does."""
    while True:
        await asyncio.sleep(0.05)
        print("(the event loop is free)")


async def main() -> None:
    """Start two producers, read until they are done."""
    rchan.remove("news", missing_ok=True)  # of a run that was killed
    with rchan.create("news") as channel:
        workers = [multiprocessing.Process(target=produce, args=(channel,)) for _ in range(2)]
        for worker in workers:
            worker.start()
        consumer = asyncio.create_task(consume(channel))
        ticker = asyncio.create_task(tick())
        for worker in workers:
            await asyncio.to_thread(worker.join)
        channel.finalize()  # nobody writes any more: the loop ends at the last record
        print(await consumer, "messages")
        ticker.cancel()


if __name__ == "__main__":
    asyncio.run(main())
