"""A stream file of a trace: its packets, one after the other, whatever is damaged between them."""

from collections.abc import Iterator
from pathlib import Path
from sys import byteorder
from tempfile import TemporaryFile
from typing import Any, Final
from uuid import UUID

from rchan import zstd
from rchan.events.packet import BITS, MAGIC, PACKET_HEADER

_BLOCK: Final = 1 << 20
_MOST: Final = 1 << 32  # bytes of a packet: no sub-buffer is bigger


def _opened(path: Path) -> Any:
    """The file; of a compressed one, what is in it, in a file without a name."""
    file = path.open("rb", buffering=0)
    if not path.name.endswith(zstd.SUFFIX):
        return file
    with file:
        plain: Any = TemporaryFile(buffering=0)  # noqa: SIM115
        try:
            zstd.copy_decompressed(file, plain)
            plain.seek(0)
        except BaseException:
            plain.close()
            raise
    return plain


class StreamFile:
    """Reads the packets of a file that may hold anything, and may grow or shrink meanwhile."""

    def __init__(self, path: Path, uuid: UUID) -> None:
        """uuid: of the trace. Raises OSError, Unsupported (compressed, and there is no zstd)."""
        self.skipped = 0
        """Bytes that belong to no packet and were not given out either."""
        self.misplaced = 0
        """Packets that say that they go on behind the next one, or behind the file's end."""
        self._file = _opened(path)
        self._mark = MAGIC.to_bytes(4, byteorder) + bytes(4) + uuid.bytes
        self._block = bytearray(_BLOCK)
        self._at = 0
        self._end = 0  # of what was read into the block

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __del__(self) -> None:
        self.close()

    def blocks(self) -> Iterator[list[memoryview]]:
        """Some packets at a time; what is no packet, too, for the decoder to say what is wrong.

        They are views of memory that is used again for the next ones.
        """
        while self._fill(PACKET_HEADER.size):
            yield self._packets()
        if self._have():
            yield [memoryview(self._block)[self._at : self._end]]

    def _packets(self) -> list[memoryview]:
        found = [self._next()]
        while self._have() >= PACKET_HEADER.size and self._whole():
            found.append(self._next())
        return found

    def _whole(self) -> bool:
        """Is the next packet in memory?"""
        size = self._size()
        return size is not None and size <= self._have()

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
        left = size if size <= self._have() else self._left()
        if size > left:
            following = self._find_next()
            self.misplaced += following < left
            return self._cut(min(following, left))
        self._fill(size)
        return self._cut(min(size, self._have()))

    def _cut(self, size: int, most: int = _MOST) -> memoryview:
        """The next `size` bytes; of more than `most` the first, the rest is skipped."""
        kept = min(size, most)
        self._fill(kept)
        found = memoryview(self._block)[self._at : min(self._at + kept, self._end)]
        self._at += len(found)
        self._skip(size - len(found))
        return found

    def _skip(self, size: int) -> None:
        if size > 0:
            self.skipped += size
            rest = self._have()
            if size > rest:
                self._file.seek(size - rest, 1)
            self._at += min(size, rest)

    def _left(self) -> int:
        """Bytes from `_at` to the end of the file, now."""
        here = self._file.tell()
        end: int = self._file.seek(0, 2)
        self._file.seek(here)
        return int(max(0, end - here)) + self._have()

    def _find_next(self) -> int:
        """Bytes from `_at` to the next packet of this trace, or to the end of the file."""
        here = self._file.tell()
        window, start = bytes(self._block[self._at : self._end]), 0
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
        if self._have() >= size:
            return True
        rest = self._block[self._at : self._end]
        if size > len(self._block):
            size = min(size, self._left())  # no more memory than there is in the file
            self._block = bytearray(max(_BLOCK, size))
        self._block[: len(rest)] = rest
        self._at, self._end = 0, len(rest)
        with memoryview(self._block) as block:
            while self._end < size:
                with block[self._end :] as room:
                    more = self._file.readinto(room)
                if not more:
                    break
                self._end += more
        return self._have() >= size

    def _have(self) -> int:
        """Bytes in memory from `_at` on."""
        return self._end - self._at
