"""RotatingSink: one buffer's sub-buffers in a row of files, of which the newest are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from errno import EFBIG
from time import monotonic

from rchan import _core
from rchan.recorder.errors import RecordingFailed
from rchan.recorder.files import FULL, FileSink
from rchan.recorder.sinks import LIMIT, Sink
from rchan.stats import Count
from rchan.tracefile.index import Entry
from rchan.tracefile.manifest import RecordedFile


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a buffer's next file begins, and how many of them are kept. None: no such limit."""

    size: int | None = None
    """Bytes of a file; one sub-buffer fits in any case."""
    seconds: float | None = None
    """Age of a file."""
    subbufs: int | None = None
    """Sub-buffers in a file."""
    keep: int | None = None
    """Files of a buffer; the oldest are removed: a flight recorder on disk."""


class RotatingSink(Sink):
    """Files one after another. open_file: makes file number n, going on after that entry. opening:
    what a new file begins with, given how the newest sub-buffer before it began.

    rotation: when a new one begins. chunk: number of the first. older: that are there already.

    changed: called when a file was added or is about to be removed; remove: removes one. files:
    that are there already, the oldest first; the last of them is gone on with.
    """

    def __init__(
        self,
        open_file: Callable[[int, Entry | None], FileSink],
        rotation: Rotation | None = None,
        *,
        opening: Callable[[bytes], bytes] = lambda head: b"",
        changed: Callable[[], None] = lambda: None,
        remove: Callable[[RecordedFile], None] = lambda file: None,
        older: tuple[RecordedFile, ...] = (),
        chunk: int = 0,
        after: Entry | None = None,
        first: Entry | None = None,
    ) -> None:
        super().__init__()
        self.expired = Count()
        self.expired_subbufs = 0
        self.expired_files = 0
        self._rotation = rotation or Rotation()
        self._open_file = open_file
        self._changed = changed
        self._remove = remove
        self._older = list(older)
        self._opening = opening
        self._current = open_file(chunk, after)
        self._current.begin(b"" if older else opening(b""))
        self._begun = monotonic()
        self._first = first
        self._head_before = b""  # of the file before

    @property
    def files(self) -> list[RecordedFile]:
        """All that are there, the oldest first."""
        return [*self._older, self._current.facts()]

    @property
    def first(self) -> Entry | None:
        """The oldest entry that was ever made here, if it is known."""
        if self._first is None and not self._older:
            self._first = self._current.first
        return self._first

    @property
    def last(self) -> Entry | None:
        """The newest entry of the current file."""
        return self._current.last

    def drain(self, buffer: _core.Buffer, most: int) -> int:
        """As of every sink; begins new files on the way."""
        while most:
            room = self._room(most, buffer)
            before = self._current.subbufs
            result = self._some(buffer, room) if room else FULL
            if result == FULL:
                self._next_file()
            elif result != LIMIT or room == most:
                return result
            most -= min(most, self._current.subbufs - before) if result == LIMIT else 0
        return LIMIT

    def _room(self, most: int, buffer: _core.Buffer) -> int:
        """How many may go into the current file; `most` as well if there is nothing to take."""
        limit = self._rotation.subbufs
        if limit is None or buffer.subbufs_produced == buffer.subbufs_consumed:
            return most
        return min(most, max(0, limit - self._current.count))

    def _some(self, buffer: _core.Buffer, most: int) -> int:
        file = self._current
        before = file.subbufs, file.records, file.bytes
        try:
            return file.drain(buffer, most)
        except RecordingFailed as error:
            if error.errno != EFBIG or not file.count:
                raise
            return FULL  # as large as the file system or a limit of the process lets files be
        finally:
            self.subbufs += file.subbufs - before[0]
            self.records += file.records - before[1]
            self.bytes += file.bytes - before[2]

    def head(self) -> bytes:
        """How the newest sub-buffer begins; nothing: there is none. Raises RecordingFailed."""
        return self._current.head() or self._head_before

    def conclude(self, data: bytes) -> None:
        """As of FileSink."""
        self._current.conclude(data)

    def tick(self, now: float) -> None:
        """Begin a new file if this one is old enough and not empty. now: seconds, monotonic."""
        seconds = self._rotation.seconds
        if seconds is not None and now - self._begun >= seconds:
            self.rotate()

    def rotate(self) -> None:
        """Begin a new file, unless this one is empty."""
        if self._current.count:
            self._next_file()
        else:
            self._begun = monotonic()

    def _next_file(self) -> None:
        old, self._first = self._current, self.first
        self._head_before = old.head()
        fresh = self._open_file(old.name.chunk + 1, old.last)
        fresh.begin(self._opening(self._head_before))
        old.close()
        self._older.append(old.facts())
        self._current, self._begun = fresh, monotonic()
        self.trim(True)

    def trim(self, changed: bool = False) -> None:
        """Remove what is too old. changed: there is something new as well."""
        gone = self._expire()
        if gone or changed:
            self._changed()  # the manifest forgets a file before it goes
        for file in gone:
            self._remove(file)

    def _expire(self) -> list[RecordedFile]:
        keep = self._rotation.keep
        if keep is None or len(self._older) < keep:
            return []
        cut = len(self._older) + 1 - max(1, keep)
        gone, self._older = self._older[:cut], self._older[cut:]
        for file in gone:
            self.expired = self.expired.plus(Count(file.records, file.bytes))
            self.expired_subbufs += file.subbufs
            self.expired_files += 1
        return gone

    def sync(self) -> None:
        """fsync the current file."""
        self._current.sync()

    def close(self) -> None:
        """Close the current file."""
        self._current.close()
