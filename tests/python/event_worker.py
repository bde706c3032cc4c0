"""Workers of the tests of events in processes: they know the channel's name, or get the Tracer."""

import os
import signal

import rchan


def store(event, *values):
    """Until it is stored: while other writers are held up in all buffers, it is dropped."""
    while not event(*values):
        os.sched_yield()


def by_name(number: int, count: int) -> None:
    """Create or join, register, write."""
    with rchan.Tracer("app") as trace:
        event = trace.event("event", worker=rchan.u32, x=rchan.u64)
        own = trace.event(f"worker{number}", x=rchan.u64)
        for i in range(count):
            store(event, number, i)
            store(own, i)


def with_tracer(trace: rchan.Tracer, number: int, count: int) -> None:
    """What a parent hands over."""
    event = trace.event("event", worker=rchan.u32, x=rchan.u64)
    for i in range(count):
        store(event, number, i)


def until_killed(count: int) -> None:
    """Write, say how much was acknowledged, and die in the middle of it."""
    trace = rchan.Tracer("app")
    event = trace.event("event", worker=rchan.u32, x=rchan.u64)
    for i in range(count):
        assert event(7, i)
    os.kill(os.getpid(), signal.SIGKILL)
