"""The index of a recorded stream: 64 bytes, then one entry of 176 bytes for each sub-buffer.

docs/reference/recording-format.md describes it; core/stream.h writes the same entries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, Protocol, overload

from rchan._core import DROP_CAUSES, crc32c
from rchan.stats import Count

MAGIC: Final = b"RCHANIDX"
VERSION: Final = 1
CHECKED: Final = 1  # flags: data_crc says something
HEADER_SIZE: Final = 64
ENTRY_SIZE: Final = 176
_HEADER: Final = Struct("<8s6I2Q12xI")
_ENTRY: Final = Struct("<19Q6I")
_CRC: Final = Struct("<I")
_CAUSES: Final = len(DROP_CAUSES)
assert (_HEADER.size, _ENTRY.size) == (HEADER_SIZE, ENTRY_SIZE)


class Entry(NamedTuple):
    """One sub-buffer: what it is, where it lies, and all that was lost in its buffer before it."""

    seq: int
    offset: int
    length: int
    stored: int
    skipped: int
    records: int
    before_records: int
    first_ns: int
    last_ns: int
    overwritten: Count
    drops: tuple[Count, ...]  # by cause, in the order of DROP_CAUSES
    resets: int
    buffer: int
    source: int
    flags: int
    data_crc: int

    @property
    def checked(self) -> bool:
        """Is there a checksum of the data?"""
        return bool(self.flags & CHECKED)

    @property
    def place(self) -> tuple[int, int]:
        """Its place among the sub-buffers of its buffer: resets, then number."""
        return self.resets, self.seq

    def lost(self) -> tuple[Count, ...]:
        """Overwritten, then the drops by cause: since the channel was created."""
        return (self.overwritten, *self.drops)

    def pack(self) -> bytes:
        """The entry's bytes, with their checksum."""
        drops = self.drops
        numbers = (
            *self[:9],
            *self.overwritten,
            *(d.records for d in drops),
            *(d.bytes for d in drops),
        )
        body = _ENTRY.pack(*numbers, *self[11:16], 0)[:-4]
        return body + _CRC.pack(crc32c(body))


def unpack(data: bytes) -> Entry | None:
    """The entry of these bytes; None: they are none, or damaged."""
    if len(data) != ENTRY_SIZE or _CRC.unpack_from(data, ENTRY_SIZE - 4)[0] != crc32c(data[:-4]):
        return None
    value = _ENTRY.unpack(data)
    drops = zip(value[11 : 11 + _CAUSES], value[11 + _CAUSES : 11 + 2 * _CAUSES], strict=True)
    tail = value[11 + 2 * _CAUSES : -1]
    overwritten, losses = Count(*value[9:11]), tuple(Count(*drop) for drop in drops)
    return Entry._make((*value[:9], overwritten, losses, *tail))


@dataclass(frozen=True, slots=True)
class Header:
    """Whose index it is: buffer, number of the file, and when the channel was created."""

    buffer: int
    chunk: int
    created_ns: tuple[int, int]  # realtime, monotonic

    def pack(self) -> bytes:
        """The header's bytes, with their checksum."""
        body = _HEADER.pack(
            MAGIC, VERSION, HEADER_SIZE, ENTRY_SIZE, self.buffer, self.chunk, 0, *self.created_ns, 0
        )[:-4]
        return body + _CRC.pack(crc32c(body))


def unpack_header(data: bytes) -> Header | None:
    """The header of an index; None: it is none, damaged, or of another version."""
    if len(data) < HEADER_SIZE:
        return None
    magic, version, header, entry, buffer, chunk, _flags, *created, crc = _HEADER.unpack_from(data)
    fine = (magic, version, header, entry) == (MAGIC, VERSION, HEADER_SIZE, ENTRY_SIZE)
    if not fine or crc != crc32c(data[: HEADER_SIZE - 4]):
        return None
    return Header(buffer, chunk, (created[0], created[1]))


class Bytes(Protocol):
    """What an index is read from."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: slice, /) -> bytes: ...


class Index(Sequence[Entry | None]):
    """The entries of an index's bytes, read when asked for; None: a damaged one."""

    def __init__(self, data: Bytes) -> None:
        """data: the whole index; half an entry at its end is left out (see `rest`)."""
        self._data = data
        body = max(0, len(data) - HEADER_SIZE)
        self._count, self.rest = divmod(body, ENTRY_SIZE)
        self.header = unpack_header(bytes(data[:HEADER_SIZE]))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Entry | None: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry | None]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry | None] | None:
        if isinstance(at, slice):
            return [self._entry(number) for number in range(*at.indices(self._count))]
        number = at + self._count if at < 0 else at
        if not 0 <= number < self._count:
            raise IndexError(f"the index has {self._count} entries, not {at}")
        return self._entry(number)

    def _entry(self, number: int) -> Entry | None:
        start = HEADER_SIZE + number * ENTRY_SIZE
        return unpack(bytes(self._data[start : start + ENTRY_SIZE]))

    def whole(self) -> Iterator[Entry]:
        """The entries that are not damaged, in order."""
        return (entry for number in range(self._count) if (entry := self._entry(number)))

    def last(self) -> tuple[int, Entry] | None:
        """The newest entry that is not damaged, and its number."""
        for number in range(self._count - 1, -1, -1):
            entry = self._entry(number)
            if entry is not None:
                return number, entry
        return None
