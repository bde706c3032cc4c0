"""Common Trace Format: the packets as they are."""

from pathlib import Path

from rchan.channel import Channel
from rchan.errors import WrongType
from rchan.events import Report
from rchan.events.ctf import write_trace
from rchan.events.reading import read
from rchan.reader import Reader
from rchan.tap import Tap


def write(source: object, directory: Path) -> Report:
    """Write the trace directory. source: a Channel, Reader or Tap. Raises WrongType."""
    if isinstance(source, Channel):
        write_trace(source, directory)
    elif isinstance(source, Reader | Tap) and isinstance(source._channel, Channel):
        write_trace(source._channel, directory, source)
    elif isinstance(source, str | Path):
        raise WrongType(f"{str(source)!r} is a trace directory of this format already: copy it")
    else:
        raise WrongType(
            f"CTF is written from a Channel, Reader or Tap, not a {type(source).__name__}"
        )
    with read(directory, names=()) as written:
        list(written)
        return written.report
