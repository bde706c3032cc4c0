"""Events from many processes, by every way to start one; kills; races to create and register."""

import multiprocessing
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from event_decoder import babeltrace2, event_types, packet, snapshot
from event_worker import by_name, until_killed, with_tracer

import rchan
from rchan.events import ctf

COUNT = 300


def run(context, target, arguments):
    processes = [context.Process(target=target, args=args) for args in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def by_worker(channel):
    """x of each worker's events, in time order over all buffers."""
    found = {}
    for event in sorted(snapshot(channel), key=lambda event: event.stamp):
        if event.name == "event":
            found.setdefault(event.fields["worker"], []).append(event.fields["x"])
    return found


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_all_start_methods(channels, tmp_path, method):
    context = multiprocessing.get_context(method)
    assert run(context, by_name, [(number, COUNT) for number in range(3)]) == [0, 0, 0]
    with rchan.Tracer("app") as trace:
        assert by_worker(trace.channel) == {n: list(range(COUNT)) for n in range(3)}
        names = sorted(line["name"] for line in event_types(trace.channel))
        assert names == ["event", "worker0", "worker1", "worker2"]
        lines, warnings = babeltrace2(ctf.write_trace(trace.channel, tmp_path / "trace"))
        assert len(lines) == 3 * COUNT * 2
        dropped = sum(map(int, re.findall(r"discarded (\d+) event", warnings)))
        assert dropped == trace.channel.stats().total.dropped_contended.records


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_tracer_handed_over(channels, method):
    context = multiprocessing.get_context(method)
    with rchan.Tracer("app") as trace:
        assert run(context, with_tracer, [(trace, n, 50) for n in range(2)]) == [0, 0]
        assert by_worker(trace.channel) == {n: list(range(50)) for n in range(2)}


def test_a_killed_worker_loses_nothing_it_was_told(channels, tmp_path):
    context = multiprocessing.get_context("fork")
    assert run(context, until_killed, [(COUNT,)]) == [-signal.SIGKILL]
    with rchan.Tracer("app") as trace:
        assert by_worker(trace.channel) == {7: list(range(COUNT))}
        lines, _ = babeltrace2(ctf.write_trace(trace.channel, tmp_path / "trace"))
        assert len(lines) == COUNT


def test_many_registrations_at_once(channels):
    """Threads and processes: each event type once, ids without a gap."""
    with rchan.Tracer("app", n_buffers=1) as trace:

        def register(start):
            for i in range(start, 60):
                trace.event(f"event{i % 40}", x=rchan.u8)(i % 40)

        pids = []
        for start in (0, 5):
            pid = os.fork()
            if pid == 0:
                register(start)
                os._exit(0)
            pids.append(pid)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(register, (3, 9, 17, 1)))
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
        types = event_types(trace.channel)
        assert sorted(line["name"] for line in types) == sorted(f"event{i}" for i in range(40))
        for event in snapshot(trace.channel):
            assert event.name == f"event{event.fields['x']}"


def test_a_foreign_reader_finishes_packets(channels):
    """What a process without a Tracer flushes, finishes and reads is whole."""
    with rchan.Tracer("app", n_buffers=1) as trace, rchan.open("app") as other:
        event = trace.event("event", x=int)
        event(1)
        other.flush()
        event(2)
        found = []
        for sub in other.reader(timeout=0, flush_interval=None):
            found += packet(sub.data, event_types(other))
        assert [e.fields["x"] for e in found] == [1]
        other.finalize()
        for sub in other.reader():
            found += packet(sub.data, event_types(other))
        assert [e.fields["x"] for e in found] == [1, 2]
        assert event(3) is False


def test_threads_at_once(channels):
    with rchan.Tracer("app") as trace:
        event = trace.event("event", worker=rchan.u32, x=rchan.u64)

        def work(number):
            for i in range(200):
                with trace.span("step", worker=number):
                    assert event(number, i)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert by_worker(trace.channel) == {n: list(range(200)) for n in range(4)}
        spans = [e.fields["span"] for e in snapshot(trace.channel) if e.name == "step:begin"]
        assert len(set(spans)) == len(spans) == 800


# ---- in the middle of a write ----


def test_a_value_that_closes_the_channel(trace):
    class Sly:
        def __index__(self) -> int:
            trace.channel.detach()
            return 1

    with pytest.raises(rchan.ChannelClosed):
        trace.event("outer", a=rchan.u64)(Sly())


def test_signal_handlers_that_write_while_events_are_written(trace):
    """Every half millisecond, between any two byte codes."""
    inner, outer = trace.event("inner", n=rchan.u32), trace.event("outer", n=rchan.u32)
    fates: list[bool] = []
    before = signal.signal(signal.SIGALRM, lambda *_: fates.append(inner(len(fates))))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    written = 0
    try:
        while len(fates) < 20:
            assert outer(written)
            written += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all(fates)
    total = trace.channel.stats().total
    assert total.written.records == written + len(fates)
    assert total.closes
