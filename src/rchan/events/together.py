"""Several traces read as one: all channels of a recording, by time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial, reduce
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from rchan.errors import WrongType
from rchan.events.clock import Clock
from rchan.events.reading import EventReader
from rchan.events.record import EventRecord, Report
from rchan.events.schema import Schemas

if TYPE_CHECKING:
    import pyarrow


class Together(EventReader):
    """Events of several trace directories, in the order of time over all of them.

    Two channels may have an event type of the same name with other fields: that of the later
    directory is then `DIRECTORY:NAME` in `schemas`, `tables` and `batches`.
    """

    def __init__(self, paths: list[Path], names: Iterable[str] | None = None) -> None:
        """Raises WrongType (two are of the same channel), and what `rchan.events.read` raises."""
        self._parts: list[EventReader] = []
        try:
            for path in paths:
                self._parts.append(EventReader(path, names))
            _check_different(paths, self._parts)
        except BaseException:
            self.close()
            raise
        self._schemas, self._names = _all_types(paths, self._parts)
        self._rows = merge(*self._parts, key=attrgetter("time_ns"))

    def _watch(self, progress: Callable[[int], None]) -> None:
        done = [0] * len(self._parts)

        def of_part(number: int, part_done: int) -> None:
            done[number] = part_done
            progress(sum(done))

        for number, part in enumerate(self._parts):
            part._watch(partial(of_part, number))

    def __next__(self) -> EventRecord:
        return next(self._rows)

    def batches(self, rows: int = 65536) -> "Iterator[tuple[str, pyarrow.RecordBatch]]":
        """As of EventReader, one directory after the other."""
        for part, names in zip(self._parts, self._names, strict=True):
            for name, batch in part.batches(rows):
                yield names[name], batch

    def tables(self) -> "dict[str, pyarrow.Table]":
        """As of EventReader: each by time, over all directories."""
        found = super().tables()
        several = {name for names in self._names for name in names.values() if self._shared(name)}
        return {
            name: table.sort_by("time") if name in several else table
            for name, table in found.items()
        }

    def _shared(self, name: str) -> bool:
        return sum(name in names.values() for names in self._names) > 1

    @property
    def schemas(self) -> Schemas:
        """The event types of all, numbered anew."""
        return self._schemas

    @property
    def clock(self) -> Clock:
        """That of the first; each has its own, and times are right for each."""
        return self._parts[0].clock

    @property
    def report(self) -> Report:
        """Of all together."""
        return reduce(_sum, (part.report for part in self._parts))

    def close(self) -> None:
        """Close files."""
        for part in self._parts:
            part.close()


def _check_different(paths: list[Path], parts: list[EventReader]) -> None:
    seen: dict[object, Path] = {}
    for path, part in zip(paths, parts, strict=True):
        same = seen.setdefault(part.clock.uuid, path)
        if same is not path:
            raise WrongType(
                f"{str(path.parent)!r} has several traces of one channel ({same.name}, "
                f"{path.name}), which hold the same events: name one of them"
            )


def _all_types(paths: list[Path], parts: list[EventReader]) -> tuple[Schemas, list[dict[str, str]]]:
    """All event types, and what each of a part's is called among them."""
    every, names = Schemas(), []
    for path, part in zip(paths, parts, strict=True):
        called = {}
        for schema in part.schemas.values():
            there = every.by_name(schema.name)
            mine = replace(schema, id=len(every))
            if there is not None and not there.same_as(schema):
                mine = replace(mine, name=f"{path.name}:{schema.name}")
            if there is None or mine.name != schema.name:
                every.adopt(mine)
            called[schema.name] = mine.name
        names.append(called)
    return every, names


def _sum(one: Report, other: Report) -> Report:
    return Report(
        one.packets + other.packets,
        one.events + other.events,
        one.late + other.late,
        one.skipped_events + other.skipped_events,
        one.skipped_bytes + other.skipped_bytes,
        one.discarded_events + other.discarded_events,
        one.missing_packets + other.missing_packets,
        dict(Counter(one.damage) + Counter(other.damage)),
    )
