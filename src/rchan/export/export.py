"""export: a source of events into a file or directory of some format."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from rchan.channel import Channel
from rchan.errors import ChannelExists, WrongType
from rchan.events import Report
from rchan.events.reading import read, unwatched
from rchan.reader import Reader
from rchan.snapshot import Snapshot
from rchan.tap import Tap

Source = Channel | Snapshot | Reader | Tap | str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Format:
    """One format: the module of its name has `write`."""

    name: str
    about: str
    directory: bool = False
    """It is a directory of files; else one file."""


FORMATS: Final = {
    found.name: found
    for found in (
        Format("ctf", "Common Trace Format 1.8, for babeltrace2 and Trace Compass", True),
        Format("perfetto", "Perfetto, for ui.perfetto.dev (needs rchan[perfetto])"),
        Format("chrome", "Chrome trace JSON, for chrome://tracing, Perfetto and Speedscope"),
        Format("jsonl", "JSON lines: one object an event"),
        Format("arrow", "Arrow IPC, one file an event type (needs rchan[arrow])", True),
        Format("parquet", "Parquet, one file an event type (needs rchan[arrow])", True),
        Format("text", "lines for people"),
        Format("blktrace", "blktrace binary of block events, for blkparse and btt", True),
    )
}


def export(
    source: Source,
    format: str,
    path: str | PathLike[str],
    *,
    progress: Callable[[int], None] = unwatched,
) -> Report:
    """Write the events of a source in another format.

    source: as of `rchan.events.read`. format: one of FORMATS. path: of the new file or directory;
    "-" is standard output, for the formats of one file. A directory may be there if it is empty.
    progress: called now and then with the bytes of packets read so far (twice for CTF of a path).

    Returns what was read, skipped and lost. Raises WrongType, ChannelExists (path is there),
    Unsupported (a package is missing), what `rchan.events.read` raises, OSError. If it raises,
    nothing is left at path.
    """
    found = FORMATS.get(format)
    if found is None:
        raise WrongType(f"there is no format {format!r}: it is one of {', '.join(FORMATS)}")
    writer = import_module(f"rchan.export.{format}")
    if str(path) == "-":
        if found.directory:
            raise WrongType(f"{format} is a directory of files: give the path of a new one")
        with read(source) as events:
            events._watch(progress)
            writer.write(events, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return events.report
    where = Path(path)
    if where.exists() and not (found.directory and where.is_dir() and not any(where.iterdir())):
        raise ChannelExists(f"{str(where)!r} is there already: give the path of a new one")
    try:
        return _write(writer, found, source, where, progress)
    except BaseException:
        with suppress(OSError):
            if where.is_dir():
                rmtree(where)
            else:
                where.unlink()
        raise


def _write(
    writer: Any, format: Format, source: Source, where: Path, progress: Callable[[int], None]
) -> Report:
    if format.name == "ctf":
        report: Report = writer.write(source, where, progress)
        return report
    with read(source) as events:
        events._watch(progress)
        if format.directory:
            where.mkdir(parents=True, exist_ok=True)
            writer.write(events, where)
        else:
            with where.open("xb") as file:
                writer.write(events, file)
        return events.report
