"""tracefile: recordings, read again; also unfinished, cut and damaged ones.

with rchan.tracefile.open("run1") as trace:
    for sub in trace:
        sub.cpu, sub.seq, sub.data, sub.lost
    print(trace.problems)
"""

from rchan.tracefile.errors import RecordingDamaged, RecordingNotFound
from rchan.tracefile.manifest import Recording, load
from rchan.tracefile.recorded import RecordedChannel, RecordedSubbuf
from rchan.tracefile.stream import Problem, RecordedStream
from rchan.tracefile.trace import Report, Trace, open, verify

__all__ = [
    "Problem",
    "RecordedChannel",
    "RecordedStream",
    "RecordedSubbuf",
    "Recording",
    "RecordingDamaged",
    "RecordingNotFound",
    "Report",
    "Trace",
    "load",
    "open",
    "verify",
]
