"""Log events, when they are read: their message, and records as `logging` has them."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from rchan.clients.template import fill_in, unescaped

_PREFIX: Final = "log:"


def is_log(name: str) -> bool:
    """Is an event of this name a log record?"""
    return name.startswith(_PREFIX)


def message_of(fields: Mapping[str, Any]) -> str:
    """The message of a log event, formatted now. fields: name -> value."""
    if "template" in fields:
        return fill_in(unescaped(str(fields["template"])), fields)
    return str(fields.get("message", ""))


def extra_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The extra attributes of its record; those that were not plain values, by their repr."""
    return {
        name.removeprefix("extra_").removesuffix("_repr"): value
        for name, value in fields.items()
        if name.startswith("extra_")
    }


def line_of(fields: Mapping[str, Any]) -> str:
    """As people know it: `LEVEL:logger:message`, and the traceback below it."""
    level = fields.get("level_name") or fields.get("level", "")
    text = f"{level}:{unescaped(str(fields.get('logger', '')))}:{message_of(fields)}"
    below = (fields.get("error"), fields.get("traceback"), fields.get("stack"))
    return "\n".join([text, *(str(part) for part in below if part)])


def to_record(
    fields: Mapping[str, Any], *, realtime_ns: int = 0, pid: int = 0, tid: int = 0
) -> logging.LogRecord:
    """A LogRecord, to be given to any handler: `logging.getLogger(record.name).handle(record)`.

    fields: of a log event. realtime_ns: when it was written, nanoseconds since 1970. pid, tid: of
    the process and thread that wrote it.
    """
    level = fields.get("level", 0)
    label = fields.get("level_name") or unescaped(str(level))
    record = logging.makeLogRecord(
        {
            "name": unescaped(str(fields.get("logger", ""))),
            "levelno": level_number(level),
            "levelname": label,
            "pathname": unescaped(str(fields.get("file", ""))),
            "lineno": fields.get("line", 0),
            "funcName": unescaped(str(fields.get("function", ""))),
            "msg": message_of(fields),
            "exc_text": fields.get("traceback") or None,
            "stack_info": fields.get("stack") or None,
            "threadName": fields.get("thread"),
            "thread": tid,
            "process": pid,
            **extra_of(fields),
        }
    )
    record.filename = record.pathname.rpartition("/")[2]
    record.module = record.filename.removesuffix(".py")
    if realtime_ns:
        record.created = realtime_ns / 1e9
        record.msecs = realtime_ns // 1_000_000 % 1000 + 0.0
    return record


def level_number(level: object) -> int:
    """What a level is worth, of its number or name; 0: a name that is unknown here."""
    if isinstance(level, int):
        return level
    label = unescaped(str(level))
    known = logging.getLevelNamesMapping().get(label)
    if known is not None:
        return known
    number = label.removeprefix("Level ").removeprefix("LEVEL ")
    return int(number) if number.lstrip("-").isdigit() else 0
