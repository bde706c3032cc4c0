"""Cost of an event from Python: against an empty C call, and against others that write events.

    python benchmarks/events.py [--rounds 75] [--loops 5000] [--json FILE]

The events have an int, a float and a string of 16 characters; time, CPU, process and thread are
stamped. CPU time of the thread that writes; many short rounds: few of them are disturbed.

Rivals: LTTng-UST from C (Debian: liblttng-ust-dev, lttng-tools), viztracer and OpenTelemetry."""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import lttng
import rchan
import rivals
from ratios import Result, Timer, compare, summary
from report import Report
from rivals import Absent

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
    """CPU ns per step. A copy of the code each: the interpreter specialises it for one callee."""
    own = types.FunctionType(loop.__code__.replace(), loop.__globals__)

    def once() -> float:
        start = time.thread_time_ns()
        own(subject, repeat(None, loops))
        return (time.thread_time_ns() - start) / loops

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
    tracer = rivals.load("viztracer").VizTracer(
        tracer_entries=2 * loops, verbose=0, max_stack_depth=0
    )
    instant = timer(_instant, tracer.log_instant, 1000)

    def once() -> float:
        tracer.start()
        tracer.pause()  # no functions: only what is logged
        tracer.clear()
        tracer.start()
        start = time.thread_time_ns()
        _instant(tracer.log_instant, repeat(None, loops // 10))
        took = (time.thread_time_ns() - start) / (loops // 10)
        tracer.stop()
        return took

    instant()
    yield once


def _otel_span(call: Callable[..., Any], steps: repeat[None]) -> None:
    for _ in steps:
        call("request", attributes={"user": 42, "seconds": 0.0031, "path": PATH}).end()


@contextmanager
def opentelemetry(report: Report, loops: int) -> Iterator[Timer]:
    """Its spans go through a batch processor, as its documents say, to an exporter of nothing."""
    rivals.load("opentelemetry.sdk")
    trace = importlib.import_module("opentelemetry.sdk.trace")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    got = [0]

    class Nowhere(export.SpanExporter):  # type: ignore[misc, name-defined]
        def export(self, spans: Sequence[Any]) -> Any:
            got[0] += len(spans)
            return export.SpanExportResult.SUCCESS

    provider = trace.TracerProvider()
    provider.add_span_processor(export.BatchSpanProcessor(Nowhere()))
    start, sent, few = provider.get_tracer("bench").start_span, [0], loops // 50

    def once() -> float:
        sent[0] += few
        begin = time.thread_time_ns()
        _otel_span(start, repeat(None, few))
        return (time.thread_time_ns() - begin) / few

    once()
    logging.disable(logging.WARNING)  # it says so, once, when its queue is full
    yield once
    provider.shutdown()
    logging.disable(logging.NOTSET)
    report.note(f"OpenTelemetry: {sent[0]:,} spans, {sent[0] - got[0]:,} lost")


def against_rivals(
    report: Report, trace: rchan.Tracer, rounds: int, loops: int, build: Path
) -> list[Result]:
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
        "event / OpenTelemetry span with attributes": (lambda: opentelemetry(report, loops), None),
    }
    for name, (make, bar) in named.items():
        with ExitStack() as stack:
            try:
                rival: Timer = stack.enter_context(make())
            except Absent as error:
                report.lacks(name.partition("/")[2].strip(), error)
                continue
            pairs = [(rival(), own()) for _ in range(rounds)]
            results.append(summary(name, pairs, bar))
    return results


def main() -> int:
    report = Report("events", __doc__)
    parser = report.parser(rounds=75)
    parser.add_argument("--loops", type=int, default=5000, help="operations timed at a time")
    options = report.begin(parser)
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
        tempfile.TemporaryDirectory() as tmp,
        rchan.Tracer("events", parent, overwrite=True) as trace,
        rchan.Tracer("monotonic", parent, overwrite=True, clock="monotonic") as slow,
    ):
        counter = trace.channel._clock[0] == 2
        report.note(f"Stamps are of {'the CPU counter' if counter else 'CLOCK_MONOTONIC'}")
        rounds, loops = options.rounds, options.loops
        report.add("An event", "len(b)", one_process(trace, slow, rounds, loops))
        report.add("A span", "event, int, float, 16 characters", spans(trace, rounds, loops))
        report.add("Rivals", "theirs", against_rivals(report, trace, rounds, loops, Path(tmp)))
        lost = trace.channel.stats().total
        report.note(f"{lost.attempted.records:,} events, {lost.dropped.records:,} dropped")
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
