"""The rival in Python: for each number of records read, logs them and prints the ns of one; its
agent (Debian: python3-lttngust) gives each to LTTng-UST."""

from __future__ import annotations

import logging
import sys
import time

DEBIAN = "/usr/lib/python3/dist-packages"  # pure Python: also for an interpreter of one's own


def serve() -> None:
    logger = logging.getLogger("rchan-bench")
    logger.setLevel(logging.INFO)
    for line in sys.stdin:
        count = int(line)
        start = time.thread_time_ns()
        for number in range(count):
            logger.info("req %d took %f", number, 0.25)
        taken = (time.thread_time_ns() - start) / count
        print(int(bool(logging.getLogger().handlers)), taken, flush=True)


if __name__ == "__main__":
    sys.path.append(DEBIAN)
    import lttngust  # noqa: F401 - it begins by being imported

    serve()
