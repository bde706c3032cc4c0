"""A flight recorder: the last moments before an exception, in a file.

    python flight_recorder.py [FILE]

The channel is in overwrite mode: it always has the newest records, and never more than its size.
So a program can write down everything it does, at some twenty nanoseconds a record, and look at it
only if something went wrong. From outside, at any time: `rchan snapshot flight -o FILE`.
"""

import sys
from pathlib import Path

import rchan


def step(number: int) -> float:
    """What the program does; at some point it fails."""
    return 1 / (99_990 - number)


def main(file: Path) -> None:
    """Work until it fails; then keep what led to it."""
    rchan.remove("flight", missing_ok=True)  # of a run that was killed
    # 16 KiB in all, so that there is something to lose; the default is 2 MiB for each CPU.
    with rchan.create(
        "flight", subbuf_size=4096, n_subbufs=4, n_buffers=1, overwrite=True
    ) as flight:
        write = flight.write
        try:
            for number in range(100_000):
                write(b"step %d\n" % number)
                step(number)
        except Exception as error:
            snapshot = flight.snapshot()  # other threads and processes write on meanwhile
            file.write_bytes(snapshot.data())
            print(f"{error!r}: the last {snapshot.records} steps are in {file}")
            print("the very last:", snapshot.data().splitlines()[-1].decode())
        books = flight.stats().total
        print(f"{books.attempted.records} records written, {books.overwritten.records} overwritten")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "flight.log"))
