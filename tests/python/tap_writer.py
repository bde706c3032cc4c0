"""A writer process whose records say whether they are whole, and which they are."""

import contextlib
import multiprocessing
import struct
from collections.abc import Iterator

import rchan

RECORD = struct.Struct("<QQ16sQ")  # number, its complement, filling, number
BYTES = RECORD.size

# As text: a spawned process need not find this module.
WRITE = """
import struct
pack = struct.Struct("<QQ16sQ").pack
mask = 2**64 - 1
ready.set()
for number in range(first, first + count):
    channel.write(pack(number, number ^ mask, bytes([number & 255]) * 16, number), cpu)
"""


def numbers(data: object) -> list[int]:
    """The numbers of these records, each of which is whole."""
    found = []
    for number, complement, filling, again in RECORD.iter_unpack(data):  # type: ignore[call-overload]
        assert complement == number ^ (2**64 - 1)
        assert again == number
        assert filling == bytes([number & 255]) * 16
        found.append(number)
    return found


def write(channel: rchan.Channel, first: int, end: int, cpu: int = 0) -> int:
    """Write these numbers from here; how many were stored."""
    stored = 0
    for number in range(first, end):
        filling = bytes([number & 255]) * 16
        stored += channel.write(RECORD.pack(number, number ^ (2**64 - 1), filling, number), cpu)
    return stored


@contextlib.contextmanager
def writing(
    channel: rchan.Channel, count: int, cpu: int = 0
) -> Iterator[multiprocessing.process.BaseProcess]:
    """Another process writes numbers 0 to count - 1 meanwhile; at the end it is through."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    names = {"channel": channel, "first": 0, "count": count, "cpu": cpu, "ready": ready}
    process = context.Process(target=exec, args=(WRITE, names))
    process.start()
    ready.wait()
    try:
        yield process
    finally:
        process.join()
