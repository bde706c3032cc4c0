"""One recording from start to end: claim the directory, drain, flush, close the books."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from os import (
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_RDONLY,
    O_WRONLY,
    PathLike,
    listdir,
    unlink,
)
from os import close as os_close
from os import open as os_open
from pathlib import Path
from re import escape, fullmatch
from sys import byteorder
from time import monotonic, sleep

from rchan._core import Buffer
from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.errors import ChannelBusy
from rchan.names import Parent, check_base
from rchan.recorder.drain import BACKOFF, Drain
from rchan.recorder.errors import RecordingExists, RecordingFailed
from rchan.recorder.manifest import Geometry, Moment, RecordedFile, Recording, State, store
from rchan.recorder.sinks import FileSink
from rchan.stats import Count, buffer_stats

TICK = 0.1  # seconds between two looks at `stop` while nothing happens, and between reports
PATIENCE = 2.0  # seconds that a stopped writer or another reader is waited for at the end


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is: seconds since its start, what was recorded, what is missing."""

    seconds: float
    subbufs: int
    records: int
    bytes: int
    lost: dict[str, Count]


def record(
    channel: Channel | str,
    directory: str | PathLike[str],
    *,
    parent: Parent = None,
    name: str | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[Progress], None] | None = None,
    sync: bool = False,
) -> Recording:
    """Drain every buffer of a channel into files of a directory, until told to stop.

    channel: an open channel, or the name of one (then parent is as in `rchan.open`).
    directory: made with mode 0700 if missing; gets NAME.0, NAME.1, … (the bytes of buffer 0,
    1, …, padding removed) and NAME.json (the manifest, see `Recording`).
    name: of the recording; default: the channel's ("channel" if it has none).
    stop: asked at least every 0.1 s; True ends the recording, such as `threading.Event().is_set`.
    It also ends when the channel is finalized. Then what is in unfinished sub-buffers is
    flushed and recorded too; what is written from that moment on stays in the channel.
    progress: called about every 0.1 s, and at the end. sync: fsync the files at the end.

    Returns the recording, complete. Raises RecordingExists (nothing touched), RecordingFailed
    (the output cannot be written; what is not recorded is still in the channel), BadName (of the
    recording), and what `rchan.open` raises. The kernel's counterpart is a relay client's loop
    around splice(2).
    """
    if isinstance(channel, str):
        with open_channel(channel, parent) as chan:
            recorder = Recorder(chan, directory, name=name, progress=progress, sync=sync)
            return recorder.run(stop)
    return Recorder(channel, directory, name=name, progress=progress, sync=sync).run(stop)


def _never() -> bool:
    return False


class Recorder:
    """`record` in two steps: made, it has claimed the directory; `run` records.

    Arguments and errors as of `record`.
    """

    def __init__(
        self,
        channel: Channel,
        directory: str | PathLike[str],
        *,
        name: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        sync: bool = False,
    ) -> None:
        self._channel = channel
        self._directory = Path(directory)
        self._progress = progress
        self._sync = sync
        self._next_report = 0.0
        self._drain = Drain(channel, lambda buffer: self._open_sink(buffer.index))
        self._recording = Recording(
            name=check_base(name) if name is not None else channel.base or "channel",
            directory=str(directory),
            channel=channel.base,
            channel_directory=channel.directory,
            geometry=_geometry(channel),
            state="recording",
            start=Moment.now(),
        )
        self._fd = _open_directory(self._directory)
        try:
            _claim(self._fd, self._recording)
        except BaseException:
            os_close(self._fd)
            raise

    def abandon(self) -> None:
        """Instead of `run`: take the claim back; nothing was recorded."""
        with suppress(OSError):
            unlink(self._recording.manifest.name, dir_fd=self._fd)
        os_close(self._fd)

    def run(self, stop: Callable[[], bool] | None = None) -> Recording:
        """Record until `stop`, once; the manifest says how it ended, however it ended."""
        try:
            reason = self._record_until(stop or _never)
            unfinished = self._finish()
            if self._sync:
                self._drain.sync()
            return self._close_books("complete", reason=reason, unfinished=unfinished)
        except BaseException as error:
            with suppress(RecordingFailed):
                self._close_books("failed", error=str(error) or repr(error))
            raise
        finally:
            self._drain.close()
            os_close(self._fd)

    def _record_until(self, stop: Callable[[], bool]) -> str:
        while not stop():
            moved = self._drain.round()
            self._list_new_files()
            self._report()
            if not moved:
                if self._channel.finalized:
                    return "finalized"
                self._channel._wait(TICK)
        return "stopped"

    def _finish(self) -> tuple[int, ...]:
        """Record what was written before this call; the buffers where that was not possible.

        Drained before the flush too: in overwrite mode a flush takes the oldest sub-buffer.
        """
        held = self._drain.up_to_now(PATIENCE)
        busy = self._flush()
        held += self._drain.up_to_now(PATIENCE)
        return tuple(sorted({*held, *busy}))

    def _flush(self) -> list[int]:
        """Finish the unfinished sub-buffers; where a writer did not let go for so long."""
        busy = list(self._drain.buffers.items())
        deadline = monotonic() + PATIENCE
        while True:
            busy = [(index, buffer) for index, buffer in busy if not _flushed(buffer)]
            if not busy or monotonic() > deadline:
                return [index for index, _ in busy]
            sleep(BACKOFF)

    def _close_books(
        self,
        state: State,
        *,
        reason: str | None = None,
        error: str | None = None,
        unfinished: tuple[int, ...] = (),
    ) -> Recording:
        self._recording = replace(
            self._recording,
            state=state,
            reason=reason,
            error=error,
            unfinished=unfinished,
            end=Moment.now(),
            files=tuple(self._file(index) for index in sorted(self._drain.buffers)),
        )
        store(self._recording, self._fd)
        self._report(now=True)
        return self._recording

    def _file(self, index: int) -> RecordedFile:
        tally, stats = self._drain.tallies[index], buffer_stats(self._drain.buffers[index])
        return RecordedFile(
            file=self._file_name(index),
            buffer=index,
            bytes=tally.bytes,
            subbufs=tally.subbufs,
            records=tally.records,
            first_seq=tally.first_seq,
            last_seq=tally.last_seq,
            first_ns=tally.first_ns,
            last_ns=tally.last_ns,
            lost=tally.lost(stats),
            books=stats,
        )

    def _file_name(self, index: int) -> str:
        return f"{self._recording.name}.{index}"

    def _open_sink(self, index: int) -> FileSink:
        name = self._file_name(index)
        return FileSink(self._fd, name, str(self._directory / name))

    def _list_new_files(self) -> None:
        """Keep the list of files whole: a killed recorder leaves it as its last word."""
        if len(self._recording.files) != len(self._drain.buffers):
            files = (RecordedFile(self._file_name(i), i) for i in sorted(self._drain.buffers))
            self._recording = replace(self._recording, files=tuple(files))
            store(self._recording, self._fd)

    def _report(self, now: bool = False) -> None:
        if self._progress is None or (monotonic() < self._next_report and not now):
            return
        self._next_report = monotonic() + TICK
        files = [self._file(index) for index in self._drain.buffers]
        so_far = replace(self._recording, files=tuple(files), end=Moment.now())
        self._progress(
            Progress(so_far.seconds, so_far.subbufs, so_far.records, so_far.bytes, so_far.lost)
        )


def _flushed(buffer: Buffer) -> bool:
    try:
        buffer.flush()
    except ChannelBusy:
        return False
    return True


def _geometry(channel: Channel) -> Geometry:
    return Geometry(
        subbuf_size=channel.subbuf_size,
        n_subbufs=channel.n_subbufs,
        n_buffers=channel.n_buffers,
        overwrite=channel.overwrite,
        clock="CLOCK_MONOTONIC",
        byte_order=byteorder,
        created=Moment(*channel.created_ns),
    )


def _open_directory(directory: Path) -> int:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            directory.mkdir(0o700)
        return os_open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    except OSError as error:
        raise RecordingFailed.because(f"cannot record to {directory}", error) from error


def _claim(directory_fd: int, recording: Recording) -> None:
    """Make the manifest, unless the directory holds anything of a recording of this name."""
    name = recording.name
    held = [
        f for f in sorted(listdir(directory_fd)) if fullmatch(escape(name) + r"\.(json|\d+)", f)
    ]
    if held:
        raise RecordingExists(
            f"{recording.directory} already holds a recording {name!r} ({held[0]}): "
            "give another directory"
        )
    flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
    try:
        os_close(os_open(f"{name}.json", flags, 0o600, dir_fd=directory_fd))
    except FileExistsError as error:
        raise RecordingExists(f"{recording.manifest} is being made by another recorder") from error
    except OSError as error:
        raise RecordingFailed.because(f"cannot make {recording.manifest}", error) from error
    store(recording, directory_fd)
