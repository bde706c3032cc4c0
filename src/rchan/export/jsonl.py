"""JSON lines: {"event": …, "time_ns": …, "cpu": …, "pid": …, "tid": …, "fields": {…}}."""

from json import dumps
from typing import BinaryIO

from rchan.events import EventReader, EventRecord
from rchan.export.plain import plain_fields


def line(event: EventRecord) -> str:
    """One event, without a newline."""
    found = event.to_dict() | {"fields": plain_fields(event.fields)}
    return dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def write(events: EventReader, file: BinaryIO) -> None:
    """One line an event."""
    for event in events:
        file.write(line(event).encode() + b"\n")
