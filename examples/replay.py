"""Replay a recording: the same events again, with the same gaps between them, or faster.

    rchan run -o DIR -- python app.py     or: rchan record --create …, rchan.recorder.record
    python replay.py DIR [SPEED]

Without DIR it makes a small recording first. To test what reads events, replay yesterday's.
"""

import sys
import tempfile
import time
from pathlib import Path

import rchan
from rchan import events
from rchan.events import ctf


def make_recording(directory: Path) -> None:
    """Ten events, ten milliseconds apart."""
    with rchan.Tracer("source", n_buffers=1) as trace:
        beat = trace.event("beat", number=int, load=float)
        for number in range(10):
            beat(number, number / 10)
            time.sleep(0.01)
        ctf.write_trace(trace.channel, directory)
    rchan.remove("source")


def replay(directory: Path, speed: float) -> None:
    """Each event at its time, since the first one, divided by speed."""
    began = first = 0
    with events.read(directory) as reading:
        for event in reading:
            if not first:
                first, began = event.time_ns, time.time_ns()
            wait = (event.time_ns - first) / speed - (time.time_ns() - began)
            time.sleep(max(0.0, wait / 1e9))
            print(f"+{(event.time_ns - first) / 1e6:9.3f} ms  {event.name} {event.fields}")
        print("missing:", reading.report.lines() or "nothing")


def main() -> None:
    """Of the recording that is named, or one of our own."""
    if len(sys.argv) > 1:
        replay(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
        return
    with tempfile.TemporaryDirectory() as directory:
        make_recording(Path(directory))
        replay(Path(directory), speed=10.0)


if __name__ == "__main__":
    main()
