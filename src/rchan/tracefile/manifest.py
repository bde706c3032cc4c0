"""The manifest of a recording: geometry, clock, times, files, losses, and the closed books."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from errno import EINVAL
from json import dumps, loads
from os import O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, fstat, getpid
from os import open as os_open
from pathlib import Path
from stat import S_ISREG
from time import monotonic_ns, time_ns
from typing import Any, Final, Literal

from rchan.stats import Count, Stats
from rchan.tracefile.errors import RecordingDamaged, RecordingNotFound
from rchan.tracefile.shape import check

FORMAT: Final = "rchan recording"
VERSION: Final = 2
OWN: Final = ".rchan"  # the directory beside the streams for all that is not a stream
MANIFEST: Final = "manifest.json"
_LONGEST: Final = 256 << 20  # bytes of a manifest: far above that of 4,096 buffers

_NOTHING: Final = Count()

State = Literal["recording", "complete", "failed"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on two clocks: CLOCK_REALTIME and CLOCK_MONOTONIC, in nanoseconds."""

    realtime_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls) -> "Moment":
        """This one."""
        return cls(time_ns(), monotonic_ns())

    @property
    def offset_ns(self) -> int:
        """What to add to a monotonic time to get the real one."""
        return self.realtime_ns - self.monotonic_ns


@dataclass(frozen=True, slots=True)
class Geometry:
    """The recorded channel: sizes in bytes, and its clock (of every time stamp in it)."""

    subbuf_size: int
    n_subbufs: int
    n_buffers: int
    overwrite: bool
    clock: str
    byte_order: str
    created: Moment
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the sub-buffers lie in the streams."""

    checksum: str | None = "crc32c"
    compression: str | None = None  # "zstd": one frame for each sub-buffer
    padding: Literal["removed", "kept"] = "removed"


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One stream file: sub-buffers of one buffer, one after the other."""

    file: str
    buffer: int
    chunk: int = 0  # rotation: 0 is the first file of its buffer
    bytes: int = 0  # of records: without padding, before compression
    subbufs: int = 0
    records: int = 0
    first_seq: int | None = None
    last_seq: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    #: bytes before the first and behind the last sub-buffer: empty packets, of events
    opening: int = 0
    closing: int = 0

    @property
    def index(self) -> str:
        """Its index, as a path below the recording's directory."""
        return f"{OWN}/{self.file}.index"


@dataclass(frozen=True, slots=True)
class RecordedBuffer:
    """One buffer: its books, what is missing, and what a ring of files has let go again."""

    buffer: int
    #: nobody had read anything of it before, so what was lost earlier is this recording's loss
    from_birth: bool
    #: number of the first sub-buffer that was recorded, whatever became of its file
    first_seq: int | None = None
    #: what was lost before the recording: overwritten, discarded, and each cause of drops
    before: Mapping[str, Count] = field(default_factory=dict)
    #: cause -> records and bytes that are missing from the recording
    lost: Mapping[str, Count] = field(default_factory=dict)
    #: recorded, but in files that were removed to make room for newer ones
    expired: Count = _NOTHING
    expired_subbufs: int = 0
    expired_files: int = 0
    #: the buffer's books since it came into being, as chan.stats() gives them
    books: Stats = field(default_factory=Stats)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the recorder: stalled, resumed, rotated, …"""

    at: Moment
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Recording:
    """What a manifest says. `state` is "recording" while (or if for ever: killed) in progress."""

    name: str
    directory: str
    channel: str | None
    channel_directory: str
    geometry: Geometry
    state: State
    start: Moment
    encoding: Encoding = field(default_factory=Encoding)
    end: Moment | None = None
    reason: str | None = None
    error: str | None = None
    #: buffers whose unfinished sub-buffer could not be had: a writer was stopped in it
    unfinished: tuple[int, ...] = ()
    buffers: tuple[RecordedBuffer, ...] = ()
    files: tuple[RecordedFile, ...] = ()
    events: tuple[Event, ...] = ()
    #: of a merged recording: where its sub-buffers come from, by `source` in the index
    sources: tuple[str, ...] = ()
    recorder_pid: int = field(default_factory=getpid)

    @property
    def manifest(self) -> Path:
        """The path of the manifest."""
        return Path(self.directory, OWN, MANIFEST)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the stream files, by buffer and age."""
        return tuple(Path(self.directory, file.file) for file in self.files)

    @property
    def seconds(self) -> float:
        """From start to end; 0.0 without an end."""
        return (self.end.monotonic_ns - self.start.monotonic_ns) / 1e9 if self.end else 0.0

    @property
    def expired(self) -> Count:
        """Recorded, and removed again to make room for newer ones."""
        return _sum(buffer.expired for buffer in self.buffers)

    @property
    def records(self) -> int:
        """Recorded, those that expired since not counted."""
        return sum(file.records for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes recorded, without padding, those that expired since not counted."""
        return sum(file.bytes for file in self.files)

    @property
    def subbufs(self) -> int:
        """Sub-buffers recorded, those that expired since not counted."""
        return sum(file.subbufs for file in self.files)

    @property
    def lost(self) -> dict[str, Count]:
        """Cause -> what is missing, in all buffers together."""
        total: dict[str, Count] = {}
        for buffer in self.buffers:
            for cause, count in buffer.lost.items():
                total[cause] = total.get(cause, Count()).plus(count)
        return total

    @property
    def books(self) -> Stats:
        """The channel's books, all buffers together."""
        total = Stats()
        for buffer in self.buffers:
            total = total.plus(buffer.books)
        return total

    def summary(self) -> dict[str, Any]:
        """The recording without its files one by one, as JSON values."""
        return {
            "name": self.name,
            "channel": self.channel,
            "directory": self.directory,
            "manifest": str(self.manifest),
            "state": self.state,
            "reason": self.reason,
            "error": self.error,
            "seconds": self.seconds,
            "files": [file.file for file in self.files],
            "unfinished": list(self.unfinished),
            **self._total(),
        }

    def to_json(self) -> str:
        """The manifest's text."""
        return dumps(self._values(), indent=1) + "\n"

    def _values(self) -> dict[str, Any]:
        values = asdict(self)
        del values["directory"]  # a recording may be moved
        values["buffers"] = [_buffer_values(buffer) for buffer in self.buffers]
        return {"format": FORMAT, "version": VERSION, **values, "total": self._total()}

    def _total(self) -> dict[str, Any]:
        return {
            "subbufs": self.subbufs,
            "records": self.records,
            "bytes": self.bytes,
            "expired": self.expired._asdict(),
            "lost": {cause: count._asdict() for cause, count in self.lost.items()},
            "books": self.books.as_dict(),
        }


def _sum(counts: Iterable[Count]) -> Count:
    total = Count()
    for count in counts:
        total = total.plus(count)
    return total


def _buffer_values(buffer: RecordedBuffer) -> dict[str, Any]:
    return {
        **asdict(buffer),
        "before": {cause: count._asdict() for cause, count in buffer.before.items()},
        "lost": {cause: count._asdict() for cause, count in buffer.lost.items()},
        "expired": buffer.expired._asdict(),
        "books": buffer.books.as_dict(),
    }


def load(directory: str | Path) -> Recording:
    """Read the manifest of one recorded channel (a directory with `.rchan/manifest.json`).

    Raises RecordingNotFound, RecordingDamaged (not a manifest, or of another version).
    """
    path = Path(directory, OWN, MANIFEST)
    try:
        text = _read(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RecordingNotFound(f"there is no recording in {str(directory)!r}") from error
    except OSError as error:
        raise RecordingDamaged(f"{path}: {error.strerror or error}") from error
    return from_json(text, str(directory))


def _read(path: Path) -> bytes:
    """The bytes of a regular file: a FIFO there would never end."""
    fd = os_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    with open(fd, "rb") as file:
        found = fstat(fd)
        if not S_ISREG(found.st_mode) or found.st_size > _LONGEST:
            raise OSError(EINVAL, "no regular file of a manifest's size")
        return file.read(_LONGEST)


def from_json(text: bytes, directory: str) -> Recording:
    """The recording of a manifest's text. Raises RecordingDamaged."""
    where = Path(directory, OWN, MANIFEST)
    try:
        values = loads(text)
        found = values.pop("format"), values.pop("version")
        if found != (FORMAT, VERSION):
            raise RecordingDamaged(f"{where}: not a manifest of version {VERSION}, but {found}")
        return _checked(_from_values(directory, values))
    except RecordingDamaged:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordingDamaged(f"{where}: not a manifest: {error!r}") from error


def _checked(recording: Recording) -> Recording:
    """The same, if all that is asked of it can be answered, and its files are beside it."""
    check(recording)
    for file in recording.files:
        name = file.file
        if name in ("", "..") or "\0" in name or Path(name).name != name:
            raise ValueError(f"{name!r} is not the name of a file beside the manifest")
    dumps(recording._values())
    recording.summary()
    return recording


def _from_values(directory: str, values: dict[str, Any]) -> Recording:
    with suppress(KeyError):
        del values["total"]
    geometry = values.pop("geometry")
    created = Moment(**geometry.pop("created"))
    end = values.pop("end")
    events = (Event(Moment(**event.pop("at")), **event) for event in values.pop("events"))
    return Recording(
        directory=directory,
        geometry=Geometry(created=created, **geometry),
        encoding=Encoding(**values.pop("encoding")),
        start=Moment(**values.pop("start")),
        end=Moment(**end) if end else None,
        buffers=tuple(_buffer(buffer) for buffer in values.pop("buffers")),
        files=tuple(RecordedFile(**file) for file in values.pop("files")),
        events=tuple(events),
        sources=tuple(values.pop("sources")),
        unfinished=tuple(values.pop("unfinished")),
        **values,
    )


def _buffer(values: dict[str, Any]) -> RecordedBuffer:
    counts: dict[str, Any] = {
        name: {cause: Count(**count) for cause, count in values.pop(name).items()}
        for name in ("before", "lost")
    }
    expired, books = Count(**values.pop("expired")), _stats(values.pop("books"))
    return RecordedBuffer(**counts, expired=expired, books=books, **values)


def _stats(values: dict[str, Any]) -> Stats:
    known: dict[str, Any] = {}
    for field_ in fields(Stats):
        value = values[field_.name]
        known[field_.name] = Count(**value) if isinstance(value, dict) else value
    return Stats(**known)
