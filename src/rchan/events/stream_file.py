"""A stream file of a trace: its packets, one after the other, whatever is damaged between them."""

from collections.abc import Iterator
from pathlib import Path
from sys import byteorder
from typing import Final
from uuid import UUID

from rchan.events.packet import BITS, MAGIC, PACKET_HEADER

_BLOCK: Final = 1 << 20
_MOST: Final = 1 << 32  # bytes of a packet: no sub-buffer is bigger


class StreamFile:
    """Reads the packets of a file that may hold anything, and may grow or shrink meanwhile."""

    def __init__(self, path: Path, uuid: UUID) -> None:
        """uuid: of the trace. Raises OSError."""
        self.skipped = 0
        """Bytes that belong to no packet and were not given out either."""
        self.misplaced = 0
        """Packets that say that they go on behind the next one, or behind the file's end."""
        self._file = path.open("rb", buffering=0)
        self._mark = MAGIC.to_bytes(4, byteorder) + bytes(4) + uuid.bytes
        self._block = b""
        self._at = 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __del__(self) -> None:
        self.close()

    def blocks(self) -> Iterator[list[memoryview]]:
        """Some packets at a time; what is no packet, too, for the decoder to say what is wrong."""
        while self._fill(PACKET_HEADER.size):
            yield self._packets()
        if self._block[self._at :]:
            yield [memoryview(self._block)[self._at :]]

    def _packets(self) -> list[memoryview]:
        found = [self._next()]
        while len(self._block) - self._at >= PACKET_HEADER.size and self._whole():
            found.append(self._next())
        return found

    def _whole(self) -> bool:
        """Is the next packet in memory?"""
        size = self._size()
        return size is not None and size <= len(self._block) - self._at

    def _size(self) -> int | None:
        """Bytes of the packet at `_at`; None: there is none."""
        magic, stream, *rest = PACKET_HEADER.unpack_from(self._block, self._at)
        bits = int(rest[4])
        if magic != MAGIC or stream or bits % BITS:
            return None
        size = bits // BITS
        return size if size >= PACKET_HEADER.size else None

    def _next(self) -> memoryview:
        size = self._size()
        if size is None:
            return self._cut(self._find_next(), most=_BLOCK)
        left = self._left()
        if size > left:
            following = self._find_next()
            self.misplaced += following < left
            return self._cut(min(following, left))
        self._fill(size)
        return self._cut(min(size, len(self._block) - self._at))

    def _cut(self, size: int, most: int = _MOST) -> memoryview:
        """The next `size` bytes; of more than `most` the first, the rest is skipped."""
        kept = min(size, most)
        self._fill(kept)
        found = memoryview(self._block)[self._at : self._at + kept]
        self._at += len(found)
        self._skip(size - len(found))
        return found

    def _skip(self, size: int) -> None:
        if size > 0:
            self.skipped += size
            rest = len(self._block) - self._at
            if size > rest:
                self._file.seek(size - rest, 1)
            self._at = min(self._at + size, len(self._block))

    def _left(self) -> int:
        """Bytes from `_at` to the end of the file, now."""
        here = self._file.tell()
        end = self._file.seek(0, 2)
        self._file.seek(here)
        return max(0, end - here) + len(self._block) - self._at

    def _find_next(self) -> int:
        """Bytes from `_at` to the next packet of this trace, or to the end of the file."""
        here = self._file.tell()
        window, start = self._block[self._at :], 0
        place = window.find(self._mark, 1)
        while place < 0:
            more = self._file.read(_BLOCK)
            if not more:
                place = len(window)
                break
            keep = len(self._mark) - 1
            start += max(0, len(window) - keep)
            window = window[-keep:] + more
            place = window.find(self._mark, 0 if start else 1)
        self._file.seek(here)
        return start + place

    def _fill(self, size: int) -> bool:
        """Have so many bytes from `_at` on in memory, if the file has them."""
        have = len(self._block) - self._at
        if have >= size:
            return True
        parts = [self._block[self._at :]]
        while have < size:
            more = self._file.read(max(_BLOCK, size - have))
            if not more:
                break
            parts.append(more)
            have += len(more)
        self._block, self._at = b"".join(parts), 0
        return have >= size
