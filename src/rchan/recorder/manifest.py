"""NAME.json beside the recorded files: what they hold, and the channel's closed books."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from json import dumps, loads
from os import O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY, fsync, getpid, unlink, write
from os import close as os_close
from os import open as os_open
from os import replace as os_replace
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any, Literal

from rchan.recorder.errors import RecordingDamaged, RecordingFailed, RecordingNotFound
from rchan.stats import Count, Stats

FORMAT = "rchan recording"
VERSION = 1

State = Literal["recording", "complete", "failed"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on two clocks: CLOCK_REALTIME and CLOCK_MONOTONIC, in nanoseconds."""

    realtime_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls) -> "Moment":
        return cls(time_ns(), monotonic_ns())


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


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One buffer's file: its sub-buffers one after the other, without padding."""

    file: str
    buffer: int
    bytes: int = 0
    subbufs: int = 0
    records: int = 0
    first_seq: int | None = None
    last_seq: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    #: cause -> what is missing from the first recorded sub-buffer on (since the buffer came into
    #: being, if nobody has read anything of it before)
    lost: Mapping[str, Count] = field(default_factory=dict)
    #: the buffer's books since it came into being, as chan.stats() gives them
    books: Stats = field(default_factory=Stats)


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
    end: Moment | None = None
    reason: str | None = None
    error: str | None = None
    #: buffers whose unfinished sub-buffer could not be had: a writer was stopped in it
    unfinished: tuple[int, ...] = ()
    files: tuple[RecordedFile, ...] = ()
    recorder_pid: int = field(default_factory=getpid)

    @property
    def manifest(self) -> Path:
        """The path of the manifest."""
        return Path(self.directory, f"{self.name}.json")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the recorded files, by buffer."""
        return tuple(Path(self.directory, file.file) for file in self.files)

    @property
    def seconds(self) -> float:
        """From start to end; 0.0 without an end."""
        return (self.end.monotonic_ns - self.start.monotonic_ns) / 1e9 if self.end else 0.0

    @property
    def records(self) -> int:
        return sum(file.records for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def subbufs(self) -> int:
        return sum(file.subbufs for file in self.files)

    @property
    def lost(self) -> dict[str, Count]:
        """Cause -> what is missing, in all buffers together."""
        total: dict[str, Count] = {}
        for file in self.files:
            for cause, count in file.lost.items():
                total[cause] = total.get(cause, Count()).plus(count)
        return total

    @property
    def books(self) -> Stats:
        """The channel's books, all buffers together."""
        total = Stats()
        for file in self.files:
            total = total.plus(file.books)
        return total

    def summary(self) -> dict[str, Any]:
        """The recording without its files one by one, as JSON values."""
        return {
            "name": self.name,
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
        values = asdict(self)
        del values["directory"]  # a recording may be moved
        values["files"] = [_file_values(file) for file in self.files]
        whole = {"format": FORMAT, "version": VERSION, **values, "total": self._total()}
        return dumps(whole, indent=1) + "\n"

    def _total(self) -> dict[str, Any]:
        return {
            "subbufs": self.subbufs,
            "records": self.records,
            "bytes": self.bytes,
            "lost": {cause: count._asdict() for cause, count in self.lost.items()},
            "books": self.books.as_dict(),
        }


def _file_values(file: RecordedFile) -> dict[str, Any]:
    lost = {cause: count._asdict() for cause, count in file.lost.items()}
    return {**asdict(file), "lost": lost, "books": file.books.as_dict()}


def load(directory: str | Path, name: str) -> Recording:
    """Read a recording's manifest.

    Raises RecordingNotFound, RecordingDamaged (not a manifest, or of another version).
    """
    path = Path(directory, f"{name}.json")
    try:
        values = loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RecordingNotFound(f"there is no recording {str(path)!r}") from error
    except (ValueError, RecursionError) as error:
        raise RecordingDamaged(f"{path}: not a manifest: {error}") from error
    try:
        if (values.pop("format"), values.pop("version")) != (FORMAT, VERSION):
            raise RecordingDamaged(f"{path}: not a manifest of version {VERSION}")
        return _checked(_from_json(str(directory), values))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordingDamaged(f"{path}: not a manifest: {error!r}") from error


def _checked(recording: Recording) -> Recording:
    """The same, if all that is asked of it can be answered, and its files are beside it."""
    for file in recording.files:
        name = file.file
        if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
            raise ValueError(f"{name!r} is not the name of a file beside the manifest")
    recording.to_json()
    recording.summary()
    return recording


def _from_json(directory: str, values: dict[str, Any]) -> Recording:
    del values["total"]
    geometry = values.pop("geometry")
    created = Moment(**geometry.pop("created"))
    start, end = Moment(**values.pop("start")), values.pop("end")
    files = []
    for file in values.pop("files"):
        lost = {cause: Count(**count) for cause, count in file.pop("lost").items()}
        files.append(RecordedFile(lost=lost, books=_stats(file.pop("books")), **file))
    return Recording(
        directory=directory,
        geometry=Geometry(created=created, **geometry),
        start=start,
        end=Moment(**end) if end else None,
        files=tuple(files),
        unfinished=tuple(values.pop("unfinished")),
        **values,
    )


def _stats(values: dict[str, Any]) -> Stats:
    known: dict[str, Any] = {}
    for field_ in fields(Stats):
        value = values[field_.name]
        known[field_.name] = Count(**value) if isinstance(value, dict) else value
    return Stats(**known)


def store(recording: Recording, directory_fd: int) -> None:
    """Put the manifest in place at once: whoever looks sees the old or the new one, whole.

    Raises RecordingFailed; then the old one stands.
    """
    name = f"{recording.name}.json"
    fresh = f".{name}.{getpid()}"
    try:
        _write_durably(fresh, recording.to_json().encode(), directory_fd)
        os_replace(fresh, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        fsync(directory_fd)
    except OSError as error:
        with suppress(OSError):
            unlink(fresh, dir_fd=directory_fd)
        raise RecordingFailed.because(f"cannot write {recording.manifest}", error) from error


def _write_durably(name: str, data: bytes, directory_fd: int) -> None:
    flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC
    fd = os_open(name, flags, 0o600, dir_fd=directory_fd)
    try:
        done = 0
        while done < len(data):
            done += write(fd, data[done:])
        fsync(fd)
    finally:
        os_close(fd)
