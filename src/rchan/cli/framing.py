"""A stream of bytes cut into records: by lines, by length prefixes, or into blocks. Pure."""

from collections.abc import Iterator
from io import BytesIO
from typing import Final, Protocol

_NUL: Final = b"\0"
# name -> bytes of the prefix, byte order
PREFIXES: Final = {
    "u8": (1, "little"),
    "u16le": (2, "little"),
    "u16be": (2, "big"),
    "u32le": (4, "little"),
    "u32be": (4, "big"),
    "u64le": (8, "little"),
    "u64be": (8, "big"),
}


class Framing(Protocol):
    """What cuts the stream."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """More of the stream; the records that are whole now."""

    def end(self) -> list[bytes]:
        """The stream has ended; the last record, if there is one."""

    def remarks(self) -> list[str]:
        """What was not as it should be, in words."""

    def too_long(self) -> list[int]:
        """Lengths of records that no sub-buffer can hold, since the last call."""

    @property
    def broken(self) -> bool:
        """Is the input something else than it was said to be?"""

    @property
    def cut(self) -> int:
        """Records that had to be stored in pieces."""


class Lines:
    """A record is a line with its newline. One longer than `limit` bytes is stored in pieces."""

    broken = False

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._in_pieces = False  # the rest goes on with a line of which pieces are out already
        self._lines = 0
        self._binary_at = 0
        self.cut = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        lines = BytesIO(self._rest + chunk).readlines()
        if not self._binary_at and _NUL in chunk:
            self._binary_at = 1 + self._lines + next(n for n, x in enumerate(lines) if _NUL in x)
        self._rest = b"" if not lines or lines[-1].endswith(b"\n") else lines.pop()
        self._lines += len(lines)
        if lines and (self._in_pieces or max(map(len, lines)) > self._limit):
            lines = [piece for line in lines for piece in self._pieces(line)]
        if len(self._rest) > self._limit:
            lines += self._whole_pieces()
        return lines

    def end(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return [*self._pieces(rest)] if rest else []

    def remarks(self) -> list[str]:
        words = []
        if self.cut:
            words.append(f"{_lines(self.cut)} longer than a sub-buffer ({self._limit:,} bytes)")
            words[-1] += " stored in pieces"
        if self._binary_at:
            words.append(
                f"the input is not text (a NUL byte in line {self._binary_at:,}): stored as it "
                "is; --blocks and --prefixed are for binary data"
            )
        return words

    def too_long(self) -> list[int]:
        return []

    def _pieces(self, line: bytes) -> Iterator[bytes]:
        if not self._in_pieces and len(line) > self._limit:
            self.cut += 1
        self._in_pieces = False
        for at in range(0, len(line), self._limit):
            yield line[at : at + self._limit]

    def _whole_pieces(self) -> list[bytes]:
        if not self._in_pieces:
            self.cut += 1
        self._in_pieces = True
        whole = len(self._rest) // self._limit * self._limit
        rest, self._rest = self._rest[:whole], self._rest[whole:]
        return [rest[at : at + self._limit] for at in range(0, whole, self._limit)]


def _lines(count: int) -> str:
    return f"{count:,} line{'s' if count != 1 else ''}"


class Blocks:
    """A record is a block of `size` bytes; the last one may be shorter."""

    broken = False
    cut = 0

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        data = self._rest + chunk if self._rest else chunk
        whole = len(data) // self._size * self._size
        self._rest = data[whole:]
        return [data[at : at + self._size] for at in range(0, whole, self._size)]

    def end(self) -> list[bytes]:
        return [self._rest] if self._rest else []

    def remarks(self) -> list[str]:
        return []

    def too_long(self) -> list[int]:
        return []


class Prefixed:
    """A record follows its length. `keep`: the prefix is stored with it."""

    cut = 0

    def __init__(self, prefix: str, limit: int, keep: bool = True) -> None:
        self._width, self._order = PREFIXES[prefix]
        self._limit = limit
        self._keep = keep
        self._rest = b""
        self._skip = 0  # bytes of a record that is too long for the channel
        self._too_long: list[int] = []
        self._n_too_long = 0
        self._needs = 0  # bytes of the record that the rest begins
        self.broken = False

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._skip:
            chunk, self._skip = chunk[self._skip :], max(0, self._skip - len(chunk))
        data = self._rest + chunk if self._rest else chunk
        records: list[bytes] = []
        at, width, self._needs = 0, self._width, 0
        while len(data) - at >= width:
            length = int.from_bytes(data[at : at + width], self._order)  # type: ignore[arg-type]
            begin, end = at if self._keep else at + width, at + width + length
            if end - begin > self._limit:
                self._too_long.append(end - begin)
                self._n_too_long += 1
                self._skip = max(0, end - len(data))
                at = min(end, len(data))
                continue
            if end > len(data):
                self._needs = end - at
                break
            records.append(data[begin:end])
            at = end
        self._rest = data[at:]
        return records

    def end(self) -> list[bytes]:
        self.broken = bool(self._rest or self._skip)
        return []

    def remarks(self) -> list[str]:
        words = []
        if self._n_too_long:
            words.append(
                f"{self._n_too_long:,} records longer than a sub-buffer ({self._limit:,} bytes) "
                "dropped: are the prefixes of another kind?"
            )
        if self.broken and self._skip:
            words.append(f"the input ends inside a record, {self._skip:,} bytes before its end")
        elif self.broken:
            needs = self._needs or self._width
            words.append(
                f"the input ends inside a record: {len(self._rest):,} of {needs:,} bytes, "
                "which are not stored"
            )
        return words

    def too_long(self) -> list[int]:
        lengths, self._too_long = self._too_long, []
        return lengths
