"""Parquet: NAME.parquet for each event type."""

from pathlib import Path
from typing import Any

from rchan.events import EventReader
from rchan.export.columns import write_files


def _open(path: str, schema: Any) -> Any:
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415  (after batches() said if it is there)

    return ParquetWriter(path, schema)


def write(events: EventReader, directory: Path) -> None:
    """Batch after batch: each is a row group."""
    write_files(events, directory, ".parquet", _open)
