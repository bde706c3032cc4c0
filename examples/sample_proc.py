"""A sampler: /proc/stat a thousand times a second, as typed events, at a cost that can be told.

    python sample_proc.py [SECONDS]

A program that looks for short events must not make any. Reading and parsing the file costs what it
costs; to store a sample is less than a microsecond, and no disk is touched.
`rchan events sampler --follow` shows the samples in another terminal while it runs.
"""

import os
import sys
import time

import rchan
from rchan import events

PERIOD_NS = 1_000_000


def main(seconds: float) -> None:
    """Sample for so long, then say what was found."""
    rchan.remove("sampler", missing_ok=True)  # of a run that was killed
    with rchan.Tracer("sampler", overwrite=True, n_buffers=1) as trace:
        sample = trace.event("sample", running=rchan.u32, switches=rchan.u64, late_us=rchan.f64)
        stat = os.open("/proc/stat", os.O_RDONLY)
        due = time.monotonic_ns()
        for _ in range(int(seconds * 1e9) // PERIOD_NS):
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            late_us = (time.monotonic_ns() - due) / 1000
            facts = dict(line.split()[:2] for line in os.pread(stat, 65536, 0).splitlines())
            sample(int(facts[b"procs_running"]), int(facts[b"ctxt"]), late_us)
            due += PERIOD_NS
        os.close(stat)

        found = [event.fields for event in events.read(trace.channel)]
        late = sorted(fields["late_us"] for fields in found)
        switches = found[-1]["switches"] - found[0]["switches"]
        print(f"{len(found)} samples; late by {late[len(late) // 2]:.0f} us (median)")
        print(f"{switches / seconds:,.0f} context switches a second")
        print(f"at most {max(fields['running'] for fields in found)} processes at once")
    rchan.remove("sampler")  # a channel stays until it is removed


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
