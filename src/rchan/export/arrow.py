"""Arrow IPC (Feather 2): NAME.arrow for each event type."""

from pathlib import Path
from typing import Any

from rchan.events import EventReader
from rchan.export.columns import write_files


def _open(path: str, schema: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415  (after batches() said if it is there)

    # An enum's labels may become more: numbers that have none.
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    return pa.ipc.new_file(path, schema, options=options)


def write(events: EventReader, directory: Path) -> None:
    """Batch after batch."""
    write_files(events, directory, ".arrow", _open)
