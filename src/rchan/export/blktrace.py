"""blktrace's binary: trace.blktrace.CPU, of events named and described as the kernel's are.

The events are those of the kernel's block tracepoints (block_bio_queue, block_rq_issue, …) with the
fields dev (the kernel's dev_t: major << 20 | minor), sector, nr_sector (512 bytes each), rwbs
("WS"), and where there is one, error and comm. docs/exports.md says which.
"""

from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final

from rchan.errors import Unsupported
from rchan.events import EventReader, EventRecord

_RECORD: Final = Struct("=IIQQIIIIIHH")
_MAGIC: Final = 0x65617407
_SECTOR: Final = 512
_CATEGORY: Final = 16  # bits that an action is wide
_QUEUE, _REQUEUE, _ISSUE, _COMPLETE, _NOTIFY = 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 10
ACTIONS: Final = {
    "block_bio_queue": (1, _QUEUE),
    "block_bio_backmerge": (2, _QUEUE),
    "block_bio_frontmerge": (3, _QUEUE),
    "block_getrq": (4, _QUEUE),
    "block_rq_requeue": (6, _REQUEUE),
    "block_rq_issue": (7, _ISSUE),
    "block_rq_complete": (8, _COMPLETE),
    "block_bio_complete": (8, _COMPLETE),
    "block_rq_insert": (11, _QUEUE),
    "block_bio_bounce": (14, 0),
}
"""Event -> action and category."""
_RWBS: Final = {
    "R": 1 << 0,
    "W": 1 << 1,
    "F": 1 << 2,
    "S": 1 << 3,
    "A": 1 << 11,
    "M": 1 << 12,
    "D": (1 << 13) | (1 << 1),
}
_FIELDS: Final = {"dev": int, "sector": int, "nr_sector": int, "rwbs": str}


def write(events: EventReader, directory: Path) -> None:
    """Raises Unsupported: there is no block event among the types."""
    kinds = {schema.name for schema in events.schemas.values()} & set(ACTIONS)
    if not kinds:
        raise Unsupported(
            f"there are no block events: a type named {', '.join(ACTIONS)} with the fields "
            f"{', '.join(_FIELDS)}"
        )
    files: dict[int, BinaryIO] = {}
    try:
        _write(events, directory, files)
        for cpu in range(max(files, default=0)):  # blkparse ends at the first number without a file
            (directory / f"trace.blktrace.{cpu}").touch()
    finally:
        for file in files.values():
            file.close()


def _write(events: EventReader, directory: Path, files: dict[int, BinaryIO]) -> None:
    start: int | None = None
    named: set[int] = set()
    sequence = 0
    for event in events:
        if event.name not in ACTIONS or not _is_block_event(event):
            continue
        if start is None:
            start = event.time_ns
        if event.cpu not in files:
            files[event.cpu] = (directory / f"trace.blktrace.{event.cpu}").open("xb")
            sequence += 1
            wall = Struct("=II").pack(start // 10**9 % 2**32, start % 10**9)
            files[event.cpu].write(_notify(sequence, 1, event, wall))
        comm = event.fields.get("comm")
        if event.pid not in named and isinstance(comm, str):
            named.add(event.pid)
            sequence += 1
            name = comm.encode()[:15].ljust(16, b"\0")
            files[event.cpu].write(_notify(sequence, 0, event, name))
        sequence += 1
        files[event.cpu].write(_record(sequence, event, max(0, event.time_ns - start)))


def _is_block_event(event: EventRecord) -> bool:
    return all(isinstance(event.fields.get(name), kind) for name, kind in _FIELDS.items())


def _notify(sequence: int, kind: int, event: EventRecord, data: bytes) -> bytes:
    action = kind | _NOTIFY << _CATEGORY
    who = (event.pid, 0, event.cpu, 0, len(data))
    return _RECORD.pack(_MAGIC, sequence % 2**32, 0, 0, 0, action, *who) + data


def _record(sequence: int, event: EventRecord, time_ns: int) -> bytes:
    fields: dict[str, Any] = event.fields
    action, category = ACTIONS[event.name]
    for letter in fields["rwbs"]:
        category |= _RWBS.get(letter, 0)
    size = fields["nr_sector"] * _SECTOR % 2**32
    error = fields.get("error", 0)
    return _RECORD.pack(
        *(_MAGIC, sequence % 2**32, time_ns, fields["sector"] % 2**64, size),
        *(action | category << _CATEGORY, event.pid, fields["dev"] % 2**32, event.cpu),
        *(error % 2**16 if isinstance(error, int) else 0, 0),
    )
