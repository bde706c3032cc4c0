"""A program that writes the lines 'WORKER SEQ' to $RCHAN_CHANNEL, each until it is stored.

record_writer.py WORKER COUNT TELL_AT ACKS: ends after COUNT records or at SIGTERM or SIGINT
(then with status 7); says 'reached' when TELL_AT are stored, and at the end how many; the file
ACKS (if given) holds that number, in 8 bytes, at any time.
"""

import mmap
import os
import signal
import sys
from pathlib import Path

import rchan

told: list[int] = []


def main(worker: int, count: int, tell_at: int, acks: memoryview) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: told.append(got))
    seq = 0
    with rchan.open(os.environ["RCHAN_CHANNEL"], os.environ.get("RCHAN_PARENT")) as channel:
        while seq < count and not told:
            if not channel.write(b"%d %d\n" % (worker, seq)):
                os.sched_yield()
                continue
            seq += 1
            acks[:] = seq.to_bytes(8, "little")
            if seq == tell_at:
                print("reached", flush=True)
    print(seq, flush=True)
    return 7 if told else 0


def mapped(path: str) -> memoryview:
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 8))


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:4]]
    kept = mapped(sys.argv[4]) if len(sys.argv) > 4 else memoryview(bytearray(8))
    sys.exit(main(numbers[0], numbers[1], numbers[2], kept))
