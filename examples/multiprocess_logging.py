"""The logs of several processes, in one place and in the order of time.

    python multiprocess_logging.py

`rchan.LogHandler` writes log records into shared memory: no lock between the processes, no file, no
listener thread. Whoever opens the channel by its name reads them, from any process.
"""

import logging
import multiprocessing

import rchan
from rchan import events
from rchan.clients.message import line_of

log = logging.getLogger("shop")


def work(number: int) -> None:
    """In a child: it has the handler already, whatever the start method."""
    for order in range(3):
        log.info("worker %d took order %d", number, order)
    try:
        raise ValueError(f"worker {number} does not like order 3")
    except ValueError:
        log.exception("order %d failed", 3)


def main() -> None:
    """Log from four processes, then read what they said."""
    rchan.remove("shop", missing_ok=True)  # of a run that was killed
    handler = rchan.LogHandler("shop", overwrite=True)  # creates the channel, or joins it
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    workers = [multiprocessing.Process(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    with events.read(handler.tracer.channel) as reading:  # what is there now; nothing is consumed
        for event in reading:
            print(f"{event.time:%H:%M:%S.%f} {event.pid:7} {line_of(event.fields)}")
        print("lost:", reading.report.lines() or "nothing")

    handler.close()
    rchan.remove("shop")  # a channel stays until it is removed


if __name__ == "__main__":
    main()
