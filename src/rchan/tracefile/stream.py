"""One recorded stream and its index, read as far as they are good."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, close, fstat, pread
from os import open as os_open
from pathlib import Path
from stat import S_ISREG
from typing import Final, Literal, overload

from rchan._core import crc32c
from rchan.errors import Unsupported
from rchan.tracefile.index import HEADER_SIZE, Entry, Index
from rchan.tracefile.manifest import OWN
from rchan.zstd import decompress

_SUBBUF_MAX: Final = 1 << 32  # no sub-buffer is longer, whatever an index says


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be in a recording."""

    kind: str
    """manifest, file, index, entry, truncated, checksum, unindexed, missing, gap, unfinished."""
    severity: Literal["damage", "note"]
    """note: what a recorder that was killed, or another reader, leaves behind."""
    file: str
    """The file, below the recording's directory."""
    text: str
    """A sentence for people."""
    buffer: int | None = None
    seq: int | None = None


class Bytes:
    """A file's bytes, read when asked for: one that shrinks meanwhile harms nobody."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, also for what is no regular file."""
        self._fd = os_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        found = fstat(self._fd)
        self._size = found.st_size
        if not S_ISREG(found.st_mode):
            self.close()
            raise OSError(f"{path} is no regular file")

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: slice) -> bytes: ...
    @overload
    def __getitem__(self, at: int) -> int: ...
    def __getitem__(self, at: slice | int) -> bytes | int:
        if isinstance(at, int):
            return self[at : at + 1][0]
        start, stop, _ = at.indices(self._size)
        return pread(self._fd, max(0, stop - start), start)

    def close(self) -> None:
        """A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            close(fd)


class RecordedStream:
    """A stream file of this name in a recording's directory.

    tell: called with every problem that is found; each is told once. Never raises for what is
    damaged: what cannot be read is left out, and told.
    """

    def __init__(self, directory: Path, name: str, tell: Callable[[Problem], None]) -> None:
        self.name = name
        self._told: set[Problem] = set()
        self._tell_all = tell
        self._data = self._open(directory / name)
        self._index = self._open(directory / OWN / f"{name}.index")
        self.index = Index(self._index if self._index is not None else b"")
        self.end = 0  # of the newest entry, in the file
        self.closing = 0  # bytes behind it that are no sub-buffer, as the manifest says
        if self._index is not None and self.index.header is None:
            what = "is shorter than its header" if len(self._index) < HEADER_SIZE else "is damaged"
            self.tell("index", "damage", f"the head of its index {what}")

    def _open(self, path: Path) -> Bytes | None:
        try:
            return Bytes(path)
        except OSError as error:
            self.tell("file", "damage", f"{path.name} cannot be read: {error.strerror or error}")
            return None

    def tell(
        self,
        kind: str,
        severity: Literal["damage", "note"],
        text: str,
        entry: Entry | None = None,
    ) -> None:
        """A problem of this stream, once.

        kind, severity, text: as of `Problem`. entry: of the index, if it is about one.
        """
        buffer, seq = (entry.buffer, entry.seq) if entry is not None else (None, None)
        problem = Problem(kind, severity, self.name, text, buffer, seq)
        if problem not in self._told:
            self._told.add(problem)
            self._tell_all(problem)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return 0 if self._data is None else len(self._data)

    def entries(self) -> Iterator[Entry]:
        """The index, less what is damaged in it."""
        for number in range(len(self.index)):
            entry = self.index[number]
            if entry is None:
                self.tell("entry", "damage", f"entry {number} of its index is damaged")
                continue
            self.end = max(self.end, entry.offset + entry.stored)
            yield entry
        if self.index.rest:
            self.tell(
                "entry", "note", f"its index ends with half an entry ({self.index.rest} bytes)"
            )
        if self.size not in (self.end, self.end + self.closing) and self.size > self.end:
            rest = self.size - self.end
            self.tell("unindexed", "note", f"{rest} bytes at its end are in no index")

    def data(self, entry: Entry, check: bool = True) -> bytes | None:
        """The bytes of that entry's sub-buffer; None: not there, or (check) not what they were."""
        if self._data is None:
            return None
        wanted = max(entry.stored, entry.length if not self.compressed else 0)
        if entry.length > _SUBBUF_MAX or entry.offset + entry.stored > len(self._data):
            gone = f"sub-buffer {entry.seq} of buffer {entry.buffer} is cut off"
            self.tell("truncated", "damage", gone, entry)
            return None
        stored = self._data[entry.offset : entry.offset + wanted]
        data = self._decoded(stored, entry)
        if len(data) != entry.length or (
            check and entry.checked and crc32c(data) != entry.data_crc
        ):
            bad = f"sub-buffer {entry.seq} of buffer {entry.buffer} is damaged"
            self.tell("checksum", "damage", bad, entry)
            return None
        return data

    @property
    def compressed(self) -> bool:
        """Is each sub-buffer a zstd frame?"""
        return self.name.endswith(".zst")

    def _decoded(self, stored: bytes, entry: Entry) -> bytes:
        if not self.compressed:
            return stored[: entry.length]
        try:
            return decompress(stored, entry.length)
        except Unsupported as error:
            self.tell("file", "damage", str(error))
            return b""

    def close(self) -> None:
        """A second call does nothing."""
        for file in (self._data, self._index):
            if file is not None:
                file.close()
