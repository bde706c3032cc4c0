"""Stats: where every record went, by cause; the books close at any time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from rchan import _core


class Count(NamedTuple):
    """How many records, and how many bytes they have."""

    records: int = 0
    bytes: int = 0

    def plus(self, other: "Count") -> "Count":
        """The sum of this and other."""
        return Count(self.records + other.records, self.bytes + other.bytes)


_NONE = Count()


def repr_without_zeros(figures: Any) -> str:
    """The repr of a dataclass without what is 0, which is what it has by default."""
    values = {field.name: getattr(figures, field.name) for field in fields(figures)}
    said = [f"{name}={value!r}" for name, value in values.items() if value not in (0, _NONE)]
    return f"{type(figures).__name__}({', '.join(said)})"


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """The books of one buffer, or of several together (relay_stats and more).

    Bytes include the room that subbuf_start reserved for headers; those are no records.
    """

    attempted: Count = _NONE
    """Everything that writers tried to write."""
    written: Count = _NONE
    """Stored, whatever became of it later."""
    readable: Count = _NONE
    """There now, and not yet read."""
    consumed: Count = _NONE
    """Read."""
    overwritten: Count = _NONE
    """Lost in overwrite mode: newer records took their place before they were read."""
    discarded: Count = _NONE
    """Unread when `reset` threw them away."""
    dropped_full: Count = _NONE
    """Never stored: the buffer was full."""
    dropped_too_big: Count = _NONE
    """Never stored: longer than a sub-buffer (less its header)."""
    dropped_disabled: Count = _NONE
    """Never stored: the channel was disabled or finalized."""
    dropped_contended: Count = _NONE
    """Never stored: all buffers were held by others for too long."""
    subbufs_produced: int = 0
    """Sub-buffers finished."""
    subbufs_consumed: int = 0
    """Sub-buffers read, or skipped."""

    def __repr__(self) -> str:
        return repr_without_zeros(self)

    @property
    def dropped(self) -> Count:
        """Never stored, for whatever cause."""
        return (
            self.dropped_full.plus(self.dropped_too_big)
            .plus(self.dropped_disabled)
            .plus(self.dropped_contended)
        )

    @property
    def lost(self) -> Count:
        """Never to be read, for whatever cause: dropped, overwritten or discarded."""
        return self.dropped.plus(self.overwritten).plus(self.discarded)

    @property
    def closes(self) -> bool:
        """Does attempted equal readable + consumed + everything lost?"""
        return self.attempted == self.readable.plus(self.consumed).plus(self.lost)

    def as_dict(self) -> dict[str, object]:
        """Every number, ready for JSON: a cause -> {"records": …, "bytes": …}."""
        numbers: dict[str, object] = {
            name: value._asdict() if isinstance(value, Count) else value
            for name, value in ((f.name, getattr(self, f.name)) for f in fields(self))
        }
        return numbers | {"dropped": self.dropped._asdict(), "lost": self.lost._asdict()}

    def plus(self, other: "Stats") -> "Stats":
        """The books of this and other together."""
        sums: dict[str, Count | int] = {}
        for field in fields(self):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            sums[field.name] = mine.plus(its) if isinstance(mine, Count) else mine + its
        return Stats(**sums)  # type: ignore[arg-type]


def buffer_stats(buffer: _core.Buffer) -> Stats:
    """The books of one buffer, as they stand."""
    return stats_of(buffer.books())


def stats_of(books: _core.Books) -> Stats:
    """The numbers of one buffer, by cause."""
    written = Count(books.written_records, books.written_bytes)
    full = Count(books.dropped_full_records, books.dropped_full_bytes)
    too_big = Count(books.dropped_too_big_records, books.dropped_too_big_bytes)
    disabled = Count(books.dropped_disabled_records, books.dropped_disabled_bytes)
    contended = Count(books.dropped_contended_records, books.dropped_contended_bytes)
    return Stats(
        attempted=written.plus(full).plus(too_big).plus(disabled).plus(contended),
        written=written,
        readable=Count(books.readable_records, books.readable_bytes),
        consumed=Count(books.consumed_records, books.consumed_bytes),
        overwritten=Count(books.overwritten_records, books.overwritten_bytes),
        discarded=Count(books.discarded_records, books.discarded_bytes),
        dropped_full=full,
        dropped_too_big=too_big,
        dropped_disabled=disabled,
        dropped_contended=contended,
        subbufs_produced=books.subbufs_produced,
        subbufs_consumed=books.subbufs_consumed,
    )


@dataclass(frozen=True, slots=True)
class ChannelStats(Mapping[int, Stats]):
    """The books of a channel: of each buffer that exists (`stats[0]`), and of all together."""

    total: Stats
    buffers: dict[int, Stats]

    def __getitem__(self, index: int) -> Stats:
        return self.buffers[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self.buffers)

    def __len__(self) -> int:
        return len(self.buffers)

    def as_dict(self) -> dict[str, object]:
        """Every number, ready for JSON."""
        buffers = {str(index): stats.as_dict() for index, stats in self.buffers.items()}
        return {"total": self.total.as_dict(), "buffers": buffers}


def channel_stats(buffers: Mapping[int, _core.Buffer]) -> ChannelStats:
    """The books of these buffers, and their sum."""
    each = {index: buffer_stats(buffer) for index, buffer in buffers.items()}
    total = Stats()
    for stats in each.values():
        total = total.plus(stats)
    return ChannelStats(total, each)
