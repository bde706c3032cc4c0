"""What benchmarks/regression.py counts the instructions of, called from Python.

regression_call.py DIRECTORY OPERATION COUNT"""

import sys
from collections.abc import Callable

import rchan


def write(channel: rchan.Channel, count: int) -> None:
    call, record = channel.write, bytes(64)
    for _ in range(count):
        call(record)


def reserve(channel: rchan.Channel, count: int) -> None:
    call, record = channel.reserve, bytes(64)
    for _ in range(count):
        with call(64) as slot:
            slot[:] = record


def event(channel: rchan.Channel, count: int) -> None:
    with rchan.Tracer("regression-events", overwrite=True, n_buffers=1) as trace:
        call = trace.event("request", user=rchan.u64, path=str, seconds=float)
        for _ in range(count):
            call(42, "/index.html", 0.25)


OPERATIONS: dict[str, Callable[[rchan.Channel, int], None]] = {
    "Channel.write, 64 B": write,
    "Channel.reserve, 64 B": reserve,
    "an event of three fields": event,
}


def main(directory: str, operation: str, count: str) -> None:
    options = {"subbuf_size": 1 << 20, "n_subbufs": 4, "overwrite": True, "n_buffers": 1}
    with rchan.create("regression", parent=directory, **options) as channel:
        OPERATIONS[operation](channel, int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
