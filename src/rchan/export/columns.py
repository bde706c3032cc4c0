"""What Arrow IPC and Parquet have in common: a directory with one file for each event type."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rchan.events import EventReader

_LONGEST = 200


def write_files(
    events: EventReader, directory: Path, suffix: str, open_file: Callable[[str, Any], Any]
) -> None:
    """open_file: makes a writer (with write_batch, a context manager) of a path and a schema."""
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        for name, batch in events.batches():
            if name not in writers:
                path = str(directory / file_name(name, len(writers), suffix))
                writers[name] = stack.enter_context(open_file(path, batch.schema))
            writers[name].write_batch(batch)


def file_name(event: str, number: int, suffix: str) -> str:
    """What cannot stand in a file's name is quoted as in a URL; a long one is cut and numbered."""
    quoted = quote(event, safe=" :,()[]{}@#+=")
    if len(quoted) > _LONGEST or quoted.startswith("."):
        quoted = f"{number}-{quoted[:_LONGEST]}"
    return quoted + suffix
