"""From sending a record to its sleeping reader having it, at 1,000 records a second.

    python benchmarks/latency.py [--rounds 5] [--records 300] [--json FILE]

Sender and reader are processes on a CPU each; 64-byte records. Values are medians of a round, the
99th percentiles stand beside them. Ratios are rchan's time to the rival's."""

from __future__ import annotations

import statistics
import sys
import tempfile

import transports
import transports_pypi
from contests import available, latencies
from ratios import summary
from report import Report
from transports import Transport

CONTESTS: dict[str, type[Transport]] = {
    "os.pipe": transports.Pipe,
    "multiprocessing.Queue": transports.Queue,
    "SimpleQueue": transports.SimpleQueue,
    "multiprocessing.Pipe": transports.Connection,
    "unix socket": transports.UnixSocket,
    "POSIX message queue": transports_pypi.MessageQueue,
    "pyzmq": transports_pypi.Zmq,
    "faster-fifo": transports_pypi.FasterFifo,
}
OWN = "rchan"
POLLED = {
    "iceoryx2": "its subscriber has no receive that waits",
    "shared_memory and Lock": "nothing that waits",
    "buffered file": "nothing that waits",
}


def main() -> int:
    report = Report("latency", __doc__)
    parser = report.parser(rounds=5)
    parser.add_argument("--records", type=int, default=300, help="in a round, one a millisecond")
    options = report.begin(parser)
    for name, why in POLLED.items():
        report.lacks(name, why)
    middle: dict[str, list[float]] = {}
    late: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        entered = {OWN: transports.WokenChannel, **available(report, CONTESTS, directory, 64)}
        for _ in range(options.rounds):
            for name, make in entered.items():
                times = sorted(latencies(make(directory, 64), options.records, 0.001))
                middle.setdefault(name, []).append(statistics.median(times) / 1000)
                late.setdefault(name, []).append(times[int(len(times) * 0.99)] / 1000)
    p99 = {name: statistics.median(each) for name, each in late.items()}
    rows = [
        summary(
            f"rchan / {name}",
            list(zip(middle[name], middle[OWN], strict=True)),
            None,
            f"99 %: {p99[OWN]:.0f} and {p99[name]:.0f} µs",
        )
        for name in entered
        if name != OWN
    ]
    report.add("Latency of a record, median", "the rival", rows, "µs")
    return report.conclude()


if __name__ == "__main__":
    sys.exit(main())
