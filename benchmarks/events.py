"""Cost of an event from Python: against an empty C call, and against others that write events.

    python benchmarks/events.py [--rounds 75] [--loops 5000] [--json FILE]

The events have an int, a float and a string of 16 characters; time, CPU, process and thread are
stamped. Many short rounds: few of them are disturbed.

Rivals: LTTng-UST from C (Debian: liblttng-ust-dev, lttng-tools), viztracer and OpenTelemetry
(extra `bench`)."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import repeat
from pathlib import Path

import environment
import lttng
import rchan
from ratios import Result, Timer, compare, summary, table
from verdict import conclude

PATH = "/index/abcdefgh1"


def _length(call: Callable[[bytes], object], steps: repeat[None]) -> None:
    data = b"x"
    for _ in steps:
        call(data)


def _nothing(call: Callable[[], object], steps: repeat[None]) -> None:
    for _ in steps:
        call()


def _three(call: Callable[[int, float, str], object], steps: repeat[None]) -> None:
    for _ in steps:
        call(42, 0.0031, PATH)


def _span(call: Callable[..., object], steps: repeat[None]) -> None:
    for _ in steps:
        with call("parse", file=PATH):  # type: ignore[attr-defined]
            pass


def _instant(call: Callable[..., object], steps: repeat[None]) -> None:
    for _ in steps:
        call("request", {"user": 42, "seconds": 0.0031, "path": PATH})


def timer(loop: Callable[..., None], subject: object, loops: int) -> Timer:
    """ns per step. A copy of the code each: the interpreter specialises it for one callee only."""
    own = types.FunctionType(loop.__code__.replace(), loop.__globals__)

    def once() -> float:
        start = time.perf_counter_ns()
        own(subject, repeat(None, loops))
        return (time.perf_counter_ns() - start) / loops

    once()
    return once


def request(trace: rchan.Tracer) -> rchan.Event:
    return trace.event("request", user=rchan.i64, seconds=rchan.f64, path=rchan.string)


def one_process(trace: rchan.Tracer, slow: rchan.Tracer, rounds: int, loops: int) -> list[Result]:
    """Against the cheapest call of a C function."""
    event, nothing = request(trace), trace.event("nothing")
    candidates: dict[str, tuple[Timer, float | None]] = {
        "event, no fields": (timer(_nothing, nothing, loops), 4.5),
        "event, no fields, emit": (timer(_nothing, nothing.emit, loops), None),
        "event, int, float, 16 characters": (timer(_three, event, loops), None),
        "the same, emit": (timer(_three, event.emit, loops), None),
        "the same, CLOCK_MONOTONIC": (timer(_three, request(slow), loops), None),
        "span with a 16-character string": (timer(_span, trace.span, loops), None),
    }
    return compare(timer(_length, len, loops), candidates, rounds)


def spans(trace: rchan.Tracer, rounds: int, loops: int) -> list[Result]:
    """A span is two events and a context manager."""
    base = timer(_three, request(trace), loops)
    return compare(base, {"span": (timer(_span, trace.span, loops), 2.5)}, rounds)


@contextmanager
def viztracer(loops: int) -> Iterator[Timer]:
    tracer = importlib.import_module("viztracer").VizTracer(
        tracer_entries=2 * loops, verbose=0, max_stack_depth=0
    )
    instant = timer(_instant, tracer.log_instant, 1000)

    def once() -> float:
        tracer.start()
        tracer.pause()  # no functions: only what is logged
        tracer.clear()
        tracer.start()
        start = time.perf_counter_ns()
        _instant(tracer.log_instant, repeat(None, loops // 10))
        took = (time.perf_counter_ns() - start) / (loops // 10)
        tracer.stop()
        return took

    instant()
    yield once


@contextmanager
def opentelemetry(loops: int) -> Iterator[Timer]:
    """A span with one attribute, recorded and exported to memory that is emptied each time."""
    trace = importlib.import_module("opentelemetry.sdk.trace")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    memory = importlib.import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    provider, kept = trace.TracerProvider(), memory.InMemorySpanExporter()
    provider.add_span_processor(export.SimpleSpanProcessor(kept))
    tracer, count = provider.get_tracer("bench"), max(1, loops // 20)

    def once() -> float:
        kept.clear()
        start = time.perf_counter_ns()
        for _ in repeat(None, count):
            with tracer.start_as_current_span("parse", attributes={"file": "a/b/c/0123456.py"}):
                pass
        return (time.perf_counter_ns() - start) / count

    once()
    yield once
    provider.shutdown()


def rivals(trace: rchan.Tracer, rounds: int, loops: int, build: Path) -> list[Result]:
    """Ours against each of theirs, in turn."""
    results: list[Result] = []
    own = timer(_three, request(trace), loops)
    contexts = ("vpid", "vtid", "cpu_id")
    named: dict[str, tuple[Callable[[], AbstractContextManager[Timer]], float | None]] = {
        "event / LTTng-UST from C": (lambda: lttng.timer(build, loops), 1.0),
        "event / the same with vpid, vtid": (
            lambda: lttng.timer(build, loops, contexts[:2]),
            None,
        ),
        "event / viztracer log_instant": (lambda: viztracer(loops), 0.5),
        "span / OpenTelemetry span": (lambda: opentelemetry(loops), 0.1),
    }
    span = timer(_span, trace.span, loops)
    for name, (make, bar) in named.items():
        with ExitStack() as stack:
            try:
                rival: Timer = stack.enter_context(make())
            except (lttng.Absent, ImportError) as error:
                print(f"absent: {name.partition('/')[2].strip()}: {error}")
                continue
            mine = span if name.startswith("span") else own
            pairs = [(rival(), mine()) for _ in range(rounds)]
            results.append(summary(name, pairs, bar))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--rounds", type=int, default=75, help="interleaved rounds (median of them)"
    )
    parser.add_argument("--loops", type=int, default=5000, help="operations timed at a time")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    environment.show()
    found: dict[str, list[Result]] = {}
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
        tempfile.TemporaryDirectory() as tmp,
        rchan.Tracer("events", parent, overwrite=True) as trace,
        rchan.Tracer("monotonic", parent, overwrite=True, clock="monotonic") as slow,
    ):
        print(
            f"  clock     {(trace.channel._clock[0] == 2 and 'CPU counter') or 'CLOCK_MONOTONIC'}\n"
        )
        rounds, loops = options.rounds, options.loops
        found["An event"] = one_process(trace, slow, rounds, loops)
        table("An event", "len(b)", found["An event"])
        found["A span"] = spans(trace, rounds, loops)
        table("A span", "event, int, float, 16 characters", found["A span"])
        found["Rivals"] = rivals(trace, rounds, loops, Path(tmp))
        table("Rivals", "theirs", found["Rivals"])
        lost = trace.channel.stats().total
        print(f"{lost.attempted.records:,} events, {lost.dropped.records:,} dropped")
        print()
    return conclude(found, options.json)


if __name__ == "__main__":
    sys.exit(main())
