"""Lines for people: local time, CPU, process/thread, name, fields."""

from json import dumps
from time import localtime, strftime
from typing import Any, BinaryIO

from rchan.clients.message import is_log, line_of
from rchan.events import EventReader, EventRecord


def line(event: EventRecord) -> str:
    """One event, without a newline: no character in it moves the cursor."""
    seconds, ns = divmod(event.time_ns, 1_000_000_000)
    try:
        when = strftime("%Y-%m-%d %H:%M:%S", localtime(seconds))
    except (OverflowError, ValueError, OSError):  # of a damaged clock
        when = str(seconds)
    return f"{when}.{ns:09} [{event.cpu}] {event.pid}/{event.tid} {_what(event)}"


def _what(event: EventRecord) -> str:
    """A log record as logging's own lines have it; any other event by its fields."""
    if is_log(event.name):
        return _printable(line_of(event.fields))
    fields = "".join(f" {name}={value_text(value)}" for name, value in event.fields.items())
    return f"{_printable(event.name)}:{fields}"


def value_text(value: Any) -> str:
    """One value, as JSON where that has it."""
    if isinstance(value, str):
        return _printable(dumps(value, ensure_ascii=False))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return value.hex() if isinstance(value, bytes) else repr(value)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write(events: EventReader, file: BinaryIO) -> None:
    """One line an event."""
    for event in events:
        file.write(line(event).encode() + b"\n")
