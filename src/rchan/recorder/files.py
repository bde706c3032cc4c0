"""FileSink: one buffer's sub-buffers in one file, and their index beside it."""

from contextlib import suppress
from dataclasses import dataclass, replace
from errno import EIO
from os import close, fstat, fsync, ftruncate, pread, pwrite, strerror
from typing import Final

from rchan import _core
from rchan.recorder.errors import RecordingFailed
from rchan.recorder.place import Place
from rchan.recorder.sinks import BUSY, Sink
from rchan.stats import Count
from rchan.tracefile.index import CHECKED, ENTRY_SIZE, HEADER_SIZE, Entry, Header, Index, unpack
from rchan.tracefile.manifest import OWN, RecordedFile
from rchan.zstd import compressor, decompress

FULL: Final = _core.DRAINED_FULL  # the next sub-buffer belongs into another file
_HEAD: Final = 256  # bytes: longer than the header of any packet
_ALLOCATE: Final = 64 << 20  # bytes of a file that are allocated at a time, at most


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How sub-buffers are stored in files."""

    checksum: bool = True
    """A CRC-32C of every sub-buffer."""
    keep_padding: bool = False
    """Each sub-buffer takes subbuf_size bytes, zeros at its end; False: only what it has."""
    compression: str | None = None
    """"zstd": each sub-buffer is a frame of its own."""
    level: int = 3
    """Of the compression."""
    ctf2: bool = False
    """Of a channel of events: CTF 2 metadata as well, in `.metadata.ctf2`."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """Whose file it is: its buffer, and its number since the recording began."""

    stem: str
    buffer: int
    chunk: int
    suffix: str = ""

    @property
    def file(self) -> str:
        """`app.0`, `app.0.000001`, …"""
        number = f".{self.chunk:06}" if self.chunk else ""
        return f"{self.stem}.{self.buffer}{number}{self.suffix}"


class FileSink(Sink):
    """A stream file and its index. A file that is there already is gone on with.

    place: the recording's directory. name: of the file. subbuf_size: bytes, of the channel.
    options: of the files. limit: bytes of the file, 0: any number. created_ns: of the channel, for
    the index. position: (resets, number) of the sub-buffer that the channel would give next: what
    lies before it must not be given up, whatever its checksum says. Raises RecordingFailed.
    """

    def __init__(
        self,
        place: Place,
        name: StreamName,
        subbuf_size: int,
        created_ns: tuple[int, int],
        options: FileOptions | None = None,
        limit: int = 0,
        position: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.name = name
        self.path = place.path / name.file
        self._first: Entry | None = None
        self._last: Entry | None = None
        self._before = RecordedFile(name.file, name.buffer, name.chunk)
        self._data_fd = self._index_fd = -1
        self._complete = False
        self._opening = b""
        self._closing = 0
        options = options or FileOptions()
        try:
            with_own = place.below(OWN, make=True)
            try:
                # The index first: a stream without an index never comes into being.
                self._index_fd = with_own.open(f"{name.file}.index")
            finally:
                with_own.close()
            self._data_fd = place.open(name.file)
            self._stream = _core.Stream(self._data_fd, self._index_fd)
            self._take_up(Header(name.buffer, name.chunk, created_ns), position)
        except OSError as error:
            self.close()
            if isinstance(error, RecordingFailed):
                raise
            raise RecordingFailed.because(f"cannot open {self.path}", error) from error
        self._complete = True
        self._stream.checked = options.checksum
        self._stream.stride = subbuf_size if options.keep_padding else 0
        self._stream.limit = limit
        self._stream.allocate = _ALLOCATE

    # ---- what is there already ----

    def _take_up(self, header: Header, position: tuple[int, int]) -> None:
        """Find the end of what is whole; what a killed recorder began behind it goes."""
        data = pread_all(self._index_fd)
        index = Index(data)
        if index.header is None:
            if len(data) >= HEADER_SIZE or fstat(self._data_fd).st_size:
                raise RecordingFailed(f"{self.path}: its index is damaged: record elsewhere")
            pwrite_all(self._index_fd, header.pack(), 0)
            ftruncate(self._index_fd, HEADER_SIZE)
            index = Index(header.pack())
        elif index.header != header:
            raise RecordingFailed(f"{self.path} is of another channel: record elsewhere")
        self._go_on(index, position)

    def _go_on(self, index: Index, position: tuple[int, int]) -> None:
        count = len(index)
        size = fstat(self._data_fd).st_size
        while count:
            entry = index[count - 1]
            if entry is not None and (entry.place < position or self._is_whole(entry, size)):
                break
            count -= 1
        end = size_of = records = whole = 0
        for entry in (entry for number in range(count) if (entry := index[number])):
            self._first = self._first or entry
            self._last = entry
            end = max(end, entry.offset + entry.stored)
            size_of, records, whole = size_of + entry.length, records + entry.records, whole + 1
        ftruncate(self._index_fd, HEADER_SIZE + count * ENTRY_SIZE)
        if size > end:
            ftruncate(self._data_fd, end)
        self._stream.offset, self._stream.index_offset = end, HEADER_SIZE + count * ENTRY_SIZE
        self._before = replace(self._before, bytes=size_of, subbufs=whole, records=records)
        if self._last is not None:
            self.goes_on_after(self._last)

    def _is_whole(self, entry: Entry, size: int) -> bool:
        if entry.offset + entry.stored > size:
            return False
        if not entry.checked:
            return True
        stored = pread(self._data_fd, entry.stored, entry.offset)
        return _core.crc32c(self.decode(stored, entry)) == entry.data_crc

    def decode(self, stored: bytes, entry: Entry) -> bytes:
        """The sub-buffer's bytes. stored: what is in the file for this entry of the index."""
        return stored[: entry.length]

    def goes_on_after(self, entry: Entry) -> None:
        """entry is the newest that is recorded, here or in the file before: never again."""
        self._stream.any = True
        self._stream.last_resets, self._stream.last_seq = entry.resets, entry.seq

    # ---- what it holds ----

    @property
    def last(self) -> Entry | None:
        """The newest entry, also of an earlier recorder; None: none."""
        packed = self._stream.last
        return self._last if packed is None else unpack(packed)

    @property
    def first(self) -> Entry | None:
        """The oldest entry; None: none."""
        if self._first is None and self._stream.subbufs:
            with suppress(OSError):
                self._first = unpack(pread(self._index_fd, ENTRY_SIZE, HEADER_SIZE))
        return self._first

    @property
    def stored(self) -> int:
        """Bytes in the file."""
        return self._stream.offset

    @property
    def count(self) -> int:
        """Sub-buffers in the file."""
        return self._before.subbufs + self.subbufs

    def facts(self) -> RecordedFile:
        """The file's line in the manifest."""
        first, last = self.first, self.last
        before = replace(self._before, closing=self._closing)
        if first is None or last is None:
            return before
        return replace(
            before,
            bytes=before.bytes + self.bytes,
            subbufs=before.subbufs + self.subbufs,
            records=before.records + self.records,
            first_seq=first.seq,
            last_seq=last.seq,
            first_ns=first.first_ns,
            last_ns=last.last_ns,
        )

    def head(self) -> bytes:
        """How the newest sub-buffer in the file begins, or `opening`. Raises RecordingFailed."""
        entry = self.last
        if entry is None:
            return self._opening
        try:
            return self._read(entry, _HEAD)
        except OSError as error:
            raise RecordingFailed.because(f"cannot read {self.path}", error) from error

    def _read(self, entry: Entry, most: int) -> bytes:
        return pread(self._data_fd, min(most, entry.length), entry.offset)

    # ---- taking ----

    def begin(self, opening: bytes) -> None:
        """Put something in front of the first sub-buffer that is none, if there is none yet.

        opening: its bytes. Raises RecordingFailed.
        """
        if self._stream.offset or not opening:
            return
        stored = self.encode(opening)
        self._put(stored, 0)
        self._opening = opening
        self._stream.offset = self._stream.start = len(stored)
        self._before = replace(self._before, opening=len(stored))

    def conclude(self, data: bytes) -> None:
        """Put data behind the last sub-buffer, which is none, and which no index knows.

        Who goes on with the file takes it away again. Raises RecordingFailed.
        """
        stored = self.encode(data)
        self._put(stored, self._stream.offset)
        self._closing = len(stored)

    def _put(self, data: bytes, at: int) -> None:
        try:
            pwrite_all(self._data_fd, data, at)
        except OSError as error:
            raise RecordingFailed.because(f"cannot write {self.path}", error) from error

    def encode(self, data: bytes) -> bytes:
        """What is in the file for data, the bytes of a sub-buffer."""
        return data

    def drain(self, buffer: _core.Buffer, most: int) -> int:
        """As of every sink, or FULL: the next one would end beyond the file's limit."""
        result = self._stream.drain(buffer, most)
        self._counted()
        if result in (_core.DRAINED_DATA, _core.DRAINED_INDEX):
            what = self.path if result == _core.DRAINED_DATA else f"the index of {self.path}"
            error = OSError(self._stream.os_errno or EIO, strerror(self._stream.os_errno or EIO))
            raise RecordingFailed.because(f"cannot write {what}", error)
        return result

    def _counted(self) -> None:
        stream = self._stream
        self.subbufs, self.records, self.bytes = stream.subbufs, stream.records, stream.bytes

    def store(self, sub: _core.Subbuf, data: memoryview) -> None:
        """Never called: `drain` does all of it in one go."""
        raise NotImplementedError

    def sync(self) -> None:
        """fsync the file and its index."""
        try:
            fsync(self._data_fd)
            fsync(self._index_fd)
        except OSError as error:
            raise RecordingFailed.because(f"cannot sync {self.path}", error) from error

    def close(self) -> None:
        """Give back what was allocated and not used, and what was begun of a sub-buffer."""
        if self._data_fd >= 0 and self._complete:
            self._first = self.first
            with suppress(OSError):
                ftruncate(self._data_fd, self._stream.offset + self._closing)
        for fd in (self._data_fd, self._index_fd):
            if fd >= 0:
                close(fd)
        self._data_fd = self._index_fd = -1


class ZstdFileSink(FileSink):
    """A FileSink whose sub-buffers are zstd frames; `zstdcat` of the file gives what FileSink has.

    Arguments as of `FileSink`. Raises Unsupported if there is no zstd in this Python.
    """

    def __init__(
        self,
        place: Place,
        name: StreamName,
        subbuf_size: int,
        created_ns: tuple[int, int],
        options: FileOptions | None = None,
        limit: int = 0,
        position: tuple[int, int] = (0, 0),
    ) -> None:
        self._options = options or FileOptions()
        self._compress = compressor(self._options.level)
        super().__init__(place, name, subbuf_size, created_ns, self._options, limit, position)

    def decode(self, stored: bytes, entry: Entry) -> bytes:
        """The frame's content; nothing if it is damaged."""
        return decompress(stored, entry.length)

    def _read(self, entry: Entry, most: int) -> bytes:
        return self.decode(pread(self._data_fd, entry.stored, entry.offset), entry)[:most]

    def encode(self, data: bytes) -> bytes:
        """A frame of data."""
        with memoryview(data) as view:
            return self._compress(view)

    def drain(self, buffer: _core.Buffer, most: int) -> int:
        """As of FileSink."""
        for _ in range(most):
            if self._stream.limit and self._stream.offset >= max(
                self._stream.limit, self._stream.start + 1
            ):
                return FULL
            result = Sink.drain(self, buffer, 1)
            if result != _core.DRAINED_LIMIT:
                return result
        return _core.DRAINED_LIMIT

    def _taken_before(self, sub: _core.Subbuf) -> bool:
        stream = self._stream
        return stream.any and stream.last_resets == sub.resets and sub.seq <= stream.last_seq

    def store(self, sub: _core.Subbuf, data: memoryview) -> None:
        """A frame to the file, then its entry to the index."""
        stream = self._stream
        frame = self._compress(data)
        if stream.stride > len(data):
            frame += self.encode(bytes(stream.stride - len(data)))  # a frame of its own
        entry = Entry(
            sub.seq,
            stream.offset,
            sub.length,
            len(frame),
            sub.skipped,
            sub.records,
            sub.before_records,
            sub.first_ns,
            sub.last_ns,
            Count(*sub.overwritten),
            tuple(Count(*drop) for drop in sub.drops),
            sub.resets,
            sub.cpu,
            0,
            CHECKED if stream.checked else 0,
            _core.crc32c(data) if stream.checked else 0,
        )
        self._put(frame, stream.offset)
        try:
            pwrite_all(self._index_fd, entry.pack(), stream.index_offset)
        except OSError as error:
            raise RecordingFailed.because(f"cannot write {self.path}", error) from error
        stream.offset += len(frame)
        stream.index_offset += ENTRY_SIZE
        self.goes_on_after(entry)
        self._first = self._first or entry
        self._last = entry


def pread_all(fd: int) -> bytes:
    """The whole file."""
    parts, at = [], 0
    while part := pread(fd, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def pwrite_all(fd: int, data: bytes, at: int) -> None:
    """All of it, or OSError."""
    done = 0
    while done < len(data):
        done += pwrite(fd, data[done:], at + done)


__all__ = ["BUSY", "FULL", "FileOptions", "FileSink", "StreamName", "ZstdFileSink"]
