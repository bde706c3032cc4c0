"""What sending a record costs its producer, by way of transport: in bursts, and without a pause.

    python benchmarks/producing.py [--rounds 5] [--sizes 64 512 4096] [--json FILE]

A burst is of 100 records, and nobody reads before it is over: no waiting is in it. Without a pause
("sustained"), another process reads as fast as it can, and a producer that has to wait does so in
the measured time; rchan's never waits, and what it dropped stands beside it. Ratios are rchan's
time to the rival's: 0.1 is ten times as fast."""

from __future__ import annotations

import statistics
import sys
import tempfile

import transports
import transports_pypi
from contests import available, bursts, sustained
from ratios import summary
from report import Report
from transports import Transport

CONTESTS: dict[str, type[Transport]] = {
    "rchan, overwrite": transports.Overwriting,
    "rchan, repeated when full": transports.Patient,
    "multiprocessing.Queue": transports.Queue,
    "SimpleQueue": transports.SimpleQueue,
    "multiprocessing.Pipe": transports.Connection,
    "os.pipe": transports.Pipe,
    "unix socket": transports.UnixSocket,
    "POSIX message queue": transports_pypi.MessageQueue,
    "pyzmq": transports_pypi.Zmq,
    "faster-fifo": transports_pypi.FasterFifo,
    "iceoryx2": transports_pypi.Iceoryx2,
    "shared_memory and Lock": transports.SharedRing,
    "buffered file": transports.File,
    "deque, two threads": transports.Deque,
}
OWN = "rchan"
SECONDS = 0.04  # of a run without a pause, if it costs what a burst costs


def measure(report: Report, directory: str, size: int, rounds: int) -> None:
    """A section for the bursts, one for the sustained runs."""
    entered = {OWN: transports.Channel, **available(report, CONTESTS, directory, size)}
    burst: dict[str, list[float]] = {name: [] for name in entered}
    without: dict[str, list[float]] = {name: [] for name in entered}
    lost: dict[str, str] = {}
    for _ in range(rounds):
        for name, make in entered.items():
            burst[name].append(bursts(make(directory, size), 10))
            count = int(SECONDS * 1e9 / max(100.0, statistics.median(burst[name])))
            ns, told = sustained(make(directory, size), max(2000, count))
            lost[name] = told if told.startswith("lost") else "nothing lost"
            without[name].append(ns)
    for title, times in (("burst", burst), ("sustained", without)):
        rows = [
            summary(
                f"rchan / {name}",
                list(zip(times[name], times[OWN], strict=True)),
                None,
                f"rchan {lost[OWN]}; {name}: {lost[name]}" if title == "sustained" else "",
            )
            for name in entered
            if name != OWN
        ]
        report.add(f"A record of {size} bytes, {title}", "the rival", rows)


def main() -> int:
    report = Report("producing", __doc__)
    parser = report.parser(rounds=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 512, 4096])
    options = report.begin(parser)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        for size in options.sizes:
            measure(report, directory, size, options.rounds)
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
