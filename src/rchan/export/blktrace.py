"""blktrace's binary: trace.blktrace.CPU, of events named and described as the kernel's are.

The events are those of the kernel's block tracepoints (block_bio_queue, block_rq_issue, …) with the
fields dev (the kernel's dev_t: major << 20 | minor), sector, nr_sector (512 bytes each), rwbs
("WS"), and where there is one, error and comm. docs/howto/exports.md says which.
"""

from pathlib import Path
from struct import Struct
from typing import Any, Final

from rchan.errors import Unsupported
from rchan.events import EventReader, EventRecord

_RECORD: Final = Struct("=IIQQIIIIIHH")
_MAGIC: Final = 0x65617407
_SECTOR: Final = 512
_WALL: Final = Struct("=II")
_NS: Final = 1_000_000_000
_CPUS: Final = 4096  # files at most, whatever a damaged event says
_BLOCK: Final = 1 << 20
_PROCESS, _TIMESTAMP = 0, 1
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
    files = _Files(directory)
    start: int | None = None
    named: set[int] = set()
    for event in events:
        if event.name not in ACTIONS or not _is_block_event(event):
            continue
        if start is None:
            start = event.time_ns
        if files.is_new(event.cpu):
            wall = _WALL.pack(start // _NS % 2**32, start % _NS)
            files.add(event.cpu, _notify(_TIMESTAMP, event), wall)
        comm = event.fields.get("comm")
        if event.pid not in named and isinstance(comm, str):
            named.add(event.pid)
            name = comm.encode()[:15].ljust(16, b"\0")
            files.add(event.cpu, _notify(_PROCESS, event), name)
        files.add(event.cpu, _record(event, max(0, event.time_ns - start)))
    files.close()


class _Files:
    """One for each CPU; only one of them is open at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting: dict[int, bytearray] = {}
        self._sequence = 0

    def is_new(self, cpu: int) -> bool:
        """Has it nothing yet?"""
        return cpu % _CPUS not in self._waiting

    def add(self, cpu: int, about: tuple[int, ...], data: bytes = b"") -> None:
        """about: a record without magic, sequence number and length of what follows."""
        waiting = self._waiting.setdefault(cpu % _CPUS, bytearray())
        self._sequence += 1
        waiting += _RECORD.pack(_MAGIC, self._sequence % 2**32, *about, len(data)) + data
        if len(waiting) >= _BLOCK:
            self._store(cpu % _CPUS)

    def _store(self, cpu: int) -> None:
        with (self._directory / f"trace.blktrace.{cpu}").open("ab") as file:
            file.write(self._waiting.get(cpu, b""))
        if cpu in self._waiting:
            self._waiting[cpu].clear()

    def close(self) -> None:
        """Store the rest. All numbers have a file: blkparse ends at the first without one."""
        for cpu in range(max(self._waiting, default=0) + 1):
            self._store(cpu)


def _is_block_event(event: EventRecord) -> bool:
    return all(isinstance(event.fields.get(name), kind) for name, kind in _FIELDS.items())


def _notify(kind: int, event: EventRecord) -> tuple[int, ...]:
    return (0, 0, 0, kind | _NOTIFY << _CATEGORY, event.pid, 0, event.cpu, 0)


def _record(event: EventRecord, time_ns: int) -> tuple[int, ...]:
    fields: dict[str, Any] = event.fields
    action, category = ACTIONS[event.name]
    for letter in fields["rwbs"]:
        category |= _RWBS.get(letter, 0)
    error = fields.get("error", 0)
    return (
        *(time_ns, fields["sector"] % 2**64, fields["nr_sector"] * _SECTOR % 2**32),
        *(action | category << _CATEGORY, event.pid, fields["dev"] % 2**32, event.cpu),
        error % 2**16 if isinstance(error, int) else 0,
    )
