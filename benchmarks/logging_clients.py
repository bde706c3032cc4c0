"""Cost of `logger.info("req %d took %f", …)`: LogHandler against other handlers and loggers.

    python benchmarks/logging_clients.py [--rounds 9] [--loops 20000] [--json FILE]

CPU time of the thread that logs. Beside each: what was lost. Rivals from PyPI (extra `bench`):
loguru, picologging, structlog; from Debian: python3-lttngust.
The standard library's own are measured as it is, without what LogHandler changes in it."""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lttng
import rchan
import rivals
from ratios import Result, Timer, compare
from report import Report

TEMPLATE = "req %d took %f"
Log = Callable[..., Any]


class Counting:
    """Times a call, and knows how many there were."""

    def __init__(self, log: Log, loops: int, *, structured: bool = False) -> None:
        self.log, self.loops, self.structured, self.calls = log, loops, structured, 0

    def __call__(self) -> float:
        log, self.calls = self.log, self.calls + self.loops
        start = time.thread_time_ns()
        if self.structured:
            for number in range(self.loops):
                log("req", number=number, took=0.25)
        else:
            for number in range(self.loops):
                log(TEMPLATE, number, 0.25)
        return (time.thread_time_ns() - start) / self.loops


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("bench", logging.INFO)
    logger.addHandler(handler)
    return logger


STOCK = logging.Logger._log


def as_it_was(timer: Timer) -> Timer:
    """With the standard library's own records and loggers, also after a LogHandler was made."""

    def once() -> float:
        records, quick = logging.getLogRecordFactory(), logging.Logger._log
        logging.setLogRecordFactory(logging.LogRecord)
        logging.Logger._log = STOCK  # type: ignore[method-assign]
        try:
            return timer()
        finally:
            logging.setLogRecordFactory(records)
            logging.Logger._log = quick  # type: ignore[method-assign]

    return once


@contextmanager
def stdlib(handler: logging.Handler, loops: int) -> Iterator[Timer]:
    yield as_it_was(Counting(logger_of(handler).info, loops))
    handler.close()


def _drain(records: Any) -> None:
    while records.get() is not None:
        pass


@contextmanager
def queue_handler(loops: int) -> Iterator[Timer]:
    """The records go to another process, as in the standard library's cookbook."""
    records: Any = multiprocessing.get_context("fork").Queue()
    listener = multiprocessing.get_context("fork").Process(target=_drain, args=(records,))
    listener.start()
    try:
        with stdlib(logging.handlers.QueueHandler(records), loops) as timer:
            yield timer
    finally:
        records.put(None)
        listener.join()


@contextmanager
def loguru(path: Path, loops: int) -> Iterator[Timer]:
    logger = rivals.load("loguru").logger
    logger.remove()
    logger.add(path, format="{time} {level} {message}", enqueue=False)

    def log(template: str, number: int, took: float) -> None:
        logger.info("req {} took {}", number, took)  # noqa: PLE1205

    yield Counting(log, loops)
    logger.remove()


@contextmanager
def picologging(path: Path, loops: int) -> Iterator[Timer]:
    module = rivals.load("picologging")
    logger = module.Logger("bench", module.INFO)
    handler = module.FileHandler(str(path))
    logger.addHandler(handler)
    yield Counting(logger.info, loops)
    handler.close()


@contextmanager
def structlog(processors: list[Any], factory: Any, loops: int) -> Iterator[Timer]:
    module = rivals.load("structlog")
    logger = module.wrap_logger(factory, processors=processors, cache_logger_on_first_use=True)
    yield Counting(logger.bind().info, loops, structured=True)


def structlog_json(path: Path, loops: int) -> Any:
    module = rivals.load("structlog")
    stamp = module.processors.TimeStamper(fmt="iso")
    writer = module.WriteLogger(path.open("w"))
    return structlog([stamp, module.processors.JSONRenderer()], writer, loops)


def structlog_rchan(trace: rchan.Tracer, loops: int) -> Any:
    rivals.load("structlog")
    from rchan.clients.structlog import Processor  # noqa: PLC0415

    return structlog([Processor(trace, last=True)], None, loops)


def available(
    report: Report, stack: ExitStack, named: dict[str, Callable[[], Any]]
) -> dict[str, Timer]:
    found = {}
    for name, make in named.items():
        try:
            found[name] = stack.enter_context(make())
        except rivals.Absent as error:
            report.lacks(name, error)
    return found


def measure(
    report: Report, options: argparse.Namespace, tmp: Path, trace: rchan.Tracer
) -> dict[str, list[Result]]:
    rounds, loops = options.rounds, options.loops
    with ExitStack() as stack:
        ours = rchan.LogHandler(trace)
        mine = Counting(logger_of(ours).info, loops)
        shared = logger_of(rchan.LogHandler(trace))
        shared.addHandler(logging.NullHandler())  # somebody else gets each record, too
        recorded = Counting(shared.info, loops)
        file = stack.enter_context(stdlib(logging.FileHandler(tmp / "stdlib.log"), loops))
        null = stack.enter_context(stdlib(logging.NullHandler(), loops))
        others = available(
            report,
            stack,
            {
                "QueueHandler, mp.Queue": lambda: queue_handler(loops),
                "loguru to a file": lambda: loguru(tmp / "loguru.log", loops),
                "picologging to a file": lambda: picologging(tmp / "pico.log", loops),
                "structlog, JSON to a file": lambda: structlog_json(tmp / "struct.log", loops),
                "lttngust": lambda: lttng.logging_timer(loops),
                "structlog, rchan's Processor": lambda: structlog_rchan(trace, loops),
            },
        )
        against_file: dict[str, tuple[Timer, float | None]] = {
            "LogHandler": (mine, 0.35),
            "LogHandler, records made": (recorded, None),
            "NullHandler": (null, None),
            **{name: (timer, None) for name, timer in others.items()},
        }
        for timer, _ in against_file.values():
            timer()
        return {
            "A log record": compare(file, against_file, rounds),
            "Against making the record alone": compare(
                null,
                {"LogHandler": (mine, 1.3), "LogHandler, records made": (recorded, 1.3)},
                rounds,
            ),
        }


def main() -> int:
    report = Report("logging_clients", __doc__)
    parser = report.parser(rounds=9)
    parser.add_argument("--loops", type=int, default=20_000, help="records timed at a time")
    options = report.begin(parser)
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as parent,
        tempfile.TemporaryDirectory() as tmp,
        rchan.Tracer("logs", parent, overwrite=True) as trace,
    ):
        found = measure(report, options, Path(tmp), trace)
        bases = ("FileHandler of the standard library", "NullHandler of the standard library")
        for (title, results), base in zip(found.items(), bases, strict=True):
            report.add(title, base, results)
        total = trace.channel.stats().total
        report.note(
            f"rchan: {total.attempted.records:,} events, {total.dropped.records:,} dropped; "
            "lttngust overwrites, too; the others lose none: they wait"
        )
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
