"""One recording from start to end: claim, drain, watch, stall and go on, flush, close the books."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from time import monotonic, sleep
from typing import Final, overload

from rchan.channel import Channel
from rchan.errors import WrongType
from rchan.names import Parent, check_base
from rchan.recorder.claim import claim, open_output, stem_of
from rchan.recorder.drain import BACKOFF
from rchan.recorder.errors import RecordingExists, RecordingFailed
from rchan.recorder.notice import Notice
from rchan.recorder.options import Options, Progress
from rchan.recorder.place import Place
from rchan.recorder.segment import OpenSink, Segment, files_of, identity_of, new_recording
from rchan.recorder.sources import Given, Sources
from rchan.recorder.waiting import Waiting
from rchan.stats import Count
from rchan.tracefile.manifest import Moment, Recording

TICK: Final = 0.1  # seconds between two looks at `stop` while nothing happens, and between reports
LOOK: Final = 0.5  # seconds between two looks for channels that came or went
RETRY: Final = 0.25  # seconds between two attempts to write to a disk that failed


class Recordings(Sequence[Recording]):
    """Made by `record`: recordings, one for each channel (and each time it was made anew).

    reason: why it ended.
    """

    def __init__(self, recordings: Sequence[Recording], reason: str) -> None:
        self._all = tuple(recordings)
        self.reason = reason
        """Why it ended: stopped, finalized, empty, limit."""

    @overload
    def __getitem__(self, at: int) -> Recording: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Recording, ...]: ...
    def __getitem__(self, at: int | slice) -> Recording | tuple[Recording, ...]:
        return self._all[at]

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return f"<rchan.Recordings of {[one.channel for one in self._all]}, {self.reason}>"


def _never() -> bool:
    return False


def _nothing(_: object) -> None:
    pass


class Recorder:
    """`record` in two steps: made, it has claimed the directory; `run` records.

    Arguments and errors as of `record`.
    """

    def __init__(
        self,
        channels: Given,
        directory: str | PathLike[str] | None = None,
        *,
        sink: OpenSink | None = None,
        parent: Parent = None,
        name: str | None = None,
        options: Options | None = None,
        progress: Callable[[Progress], None] | None = None,
        notice: Callable[[Notice], None] | None = None,
    ) -> None:
        if (directory is None) == (sink is None):
            raise WrongType("record wants a directory or a sink, and not both")
        self._options = options or Options()
        self._options.check()
        self._sink = sink
        self._name = check_base(name) if name is not None else None
        self._progress = progress
        self._notice = notice or _nothing
        self._waiting = Waiting()
        self._start = Moment.now()
        self._rotate = False
        self._next_report = self._next_look = 0.0
        self._done: list[Recording] = []
        self._active: list[Segment] = []
        self._sources = Sources(channels, parent)
        found = self._sources.open_all(patient=self._options.watch)
        self._output: Place | None = None
        try:
            self._output = None if directory is None else open_output(Path(directory))
            for channel, owned in found:
                self._begin(channel, owned, self._options.append)
        except BaseException:
            self._take_back(found)
            raise

    # ---- segments ----

    def _begin(self, channel: Channel, owned: bool, append: bool) -> None:
        stem = stem_of(self._name or channel.base or "channel")
        files = files_of(channel, self._options.files)
        recording = new_recording(channel, stem, Path(), files)
        claimed = None
        if self._output is not None:
            claimed = claim(self._output, recording, append)
            before = claimed.resumed
            if before is not None:
                recording = replace(recording, name=before.name, start=before.start)
                recording = replace(recording, events=before.events, files=before.files)
            recording = replace(recording, directory=str(claimed.place.path))
        segment = Segment(
            channel,
            recording,
            claimed,
            options=files,
            rotation=self._options.rotation,
            open_sink=self._sink,
            owned=owned,
        )
        self._active.append(segment)
        segment.look()
        if claimed is not None and claimed.resumed is not None:
            self._tell(f"{channel.name}: going on with {claimed.place.path}")

    def _take_back(self, found: list[tuple[Channel, bool]]) -> None:
        for segment in self._active:
            segment.abandon()
        self._active.clear()
        for channel, owned in found:
            if owned:
                channel.detach()
        self._close()

    def abandon(self) -> None:
        """Instead of `run`: take the claims back; nothing was recorded."""
        self._take_back([(segment.channel, segment.owned) for segment in self._active])

    def rotate(self) -> None:
        """New files for all buffers, soon. May be called by any thread, or by a signal handler."""
        self._rotate = True

    @property
    def channels(self) -> list[Channel]:
        """Those that are being recorded now."""
        return [segment.channel for segment in self._active]

    # ---- from start to end ----

    def run(self, stop: Callable[[], bool] | None = None) -> Recordings:
        """Record until `stop`, once; the manifests say how it ended, however it ended."""
        try:
            reason = self._record_until(stop or _never)
            self._finish_all(reason)
            self.report()
            return Recordings(self._done, reason)
        except BaseException as error:
            for segment in self._active:
                with suppress(RecordingFailed, OSError):
                    self._done.append(segment.close("failed", error=str(error) or repr(error)))
            self._active.clear()
            raise
        finally:
            self._close()

    def _close(self) -> None:
        self._waiting.close()
        if self._output is not None:
            self._output.close()

    def _record_until(self, stop: Callable[[], bool]) -> str:
        while True:
            if stop():
                return "stopped"
            if self._options.until_empty:
                return "empty"
            moved, busy = self._round()
            now = monotonic()
            self._tick(now)
            if self._limit_reached():
                return "limit"
            if moved:
                continue
            self._end_finalized()
            if not self._active and not self._options.watch:
                return "finalized"
            if busy:
                sleep(BACKOFF)
            live = [segment.channel for segment in self._active if segment.stalled is None]
            self._waiting.wait(live, TICK)

    def _round(self) -> tuple[int, bool]:
        total, busy = 0, False
        for segment in self._active:
            if segment.stalled is not None and monotonic() < segment.retry_at:
                continue
            try:
                moved, held = segment.round()
            except RecordingFailed as error:
                self._stall(segment, error)
                continue
            if segment.go_on():
                self._tell(f"{segment.channel.name}: can be written again: going on", trouble=True)
            total, busy = total + moved, busy or held
        return total, busy

    def _tick(self, now: float) -> None:
        if self._rotate:
            self._rotate = False
            for segment in self._active:
                self._tried(segment, segment.rotate)
        if now >= self._next_look:
            self._next_look = now + LOOK
            self._look_around()
        if now >= self._next_report:
            self._next_report = now + TICK
            for segment in self._active:
                if segment.stalled is None:
                    self._tried(segment, partial(segment.tick, now, self._options.flush_every))
            self.report()

    def _tried(self, segment: Segment, act: Callable[[], None]) -> None:
        try:
            act()
        except RecordingFailed as error:
            self._stall(segment, error)

    def _stall(self, segment: Segment, error: RecordingFailed) -> None:
        if segment.stall(error, monotonic() + RETRY):
            name = segment.channel.name
            self._tell(f"{name}: {error}: not consuming until it can be", trouble=True)

    def _tell(self, text: str, trouble: bool = False) -> None:
        self._notice(Notice(text, trouble))

    def _limit_reached(self) -> bool:
        limits = self._options.limits
        if limits.seconds is not None:
            elapsed = (Moment.now().monotonic_ns - self._start.monotonic_ns) / 1e9
            if elapsed >= limits.seconds:
                return True
        sinks = [sink for segment in self._active for sink in segment.drain.sinks.values()]
        if limits.bytes is not None and sum(sink.bytes for sink in sinks) >= limits.bytes:
            return True
        return limits.records is not None and sum(s.records for s in sinks) >= limits.records

    # ---- channels that come and go ----

    def _look_around(self) -> None:
        active = {}
        for segment in self._active:
            channel = segment.channel
            identity = identity_of(channel)
            if channel.name is not None and identity is not None:
                active[channel.name] = identity if identity == segment.identity else None
            if identity != segment.identity and not segment.told_removed:
                segment.told_removed = True
                segment.note("removed", "the channel's files are gone or another's")
                self._tell(f"{channel.name}: was removed; recording what is left of it")
        self._take_up(self._sources.fresh(active, patterns=self._options.watch))

    def _take_up(self, channels: list[Channel]) -> None:
        for channel in channels:
            try:
                self._begin(channel, True, True)
                self._tell(f"{channel.name}: recording it, too")
            except (RecordingFailed, RecordingExists) as error:
                self._tell(f"{channel.name}: {error}: not recorded", trouble=True)
                if all(segment.channel is not channel for segment in self._active):
                    channel.detach()
        for name, why in self._sources.skipped.items():
            if why:
                self._tell(f"{name}: {why}: not recorded", trouble=True)
                self._sources.skipped[name] = ""

    def _end_finalized(self) -> None:
        """Nothing was left to move: channels that nobody can write to any more end here."""
        for segment in list(self._active):
            channel = segment.channel
            gone = segment.told_removed and segment.owned and not channel.producers()
            if segment.stalled is None and (channel.finalized or gone):
                self._finish(segment, "finalized" if channel.finalized else "removed")
                self._take_up(self._sources.fresh({}, patterns=self._options.watch))

    def _finish(self, segment: Segment, reason: str) -> None:
        """End one segment. Raises RecordingFailed; then it is still active."""
        unfinished = segment.finish()
        recording = segment.close(
            "complete", reason=reason, unfinished=unfinished, sync=self._options.sync
        )
        self._active.remove(segment)
        self._waiting.forget(segment.channel)
        self._done.append(recording)

    def _finish_all(self, reason: str) -> None:
        failure: RecordingFailed | None = None
        for segment in list(self._active):
            try:
                self._finish(segment, reason)
            except RecordingFailed as error:
                failure = failure or error
                if segment in self._active:
                    self._active.remove(segment)
                with suppress(RecordingFailed, OSError):
                    self._done.append(segment.close("failed", error=str(error)))
        if failure is not None:
            raise failure

    # ---- progress ----

    def report(self) -> None:
        """Tell `progress` how far it is."""
        if self._progress is not None:
            self._progress(self.progress_now())

    def progress_now(self) -> Progress:
        """How far it is."""
        all_of_them = self._done + [segment.facts() for segment in self._active]
        lost: dict[str, Count] = {}
        for recording in all_of_them:
            for cause, count in recording.lost.items():
                lost[cause] = lost.get(cause, Count()).plus(count)
        stalled = (str(segment.stalled) for segment in self._active if segment.stalled)
        return Progress(
            (Moment.now().monotonic_ns - self._start.monotonic_ns) / 1e9,
            sum(one.subbufs for one in all_of_them),
            sum(one.records + one.expired.records for one in all_of_them),
            sum(one.bytes + one.expired.bytes for one in all_of_them),
            lost,
            len(self._active),
            next(stalled, None),
        )


def record(
    channels: Given,
    directory: str | PathLike[str] | None = None,
    *,
    sink: OpenSink | None = None,
    parent: Parent = None,
    name: str | None = None,
    stop: Callable[[], bool] | None = None,
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
    notice: Callable[[Notice], None] | None = None,
) -> Recordings:
    """Drain every buffer of channels into files of a directory (or into sinks), until told to stop.

    channels: an open channel, a name, a pattern of names such as "app-*", or several of those.
    parent: of the names, as in `rchan.open`.
    directory: made with mode 0700 if missing; gets a directory for each channel.
    An unfinished recording of the same channel that is there is gone on with, without a gap or a
    duplicate. name: what the directory of a single channel is called; default: as the channel.
    sink: instead of a directory: makes the sink of a (channel, buffer).
    stop: asked at least every 0.1 s; True ends the recording, such as `threading.Event().is_set`.
    It also ends when all channels are finalized, or as options say. Then what is in unfinished
    sub-buffers is recorded too; what is written from that moment on stays in the channel.
    options: rotation, limits, checksums, compression and the like, see `Options`.
    progress: called about every 0.1 s. notice: called with a sentence (a str) when something
    happens that people should know: the disk is full, there is room again, a channel came or went.

    While the output cannot be written nothing is consumed; it goes on when there is room. Returns
    the recordings. Raises RecordingExists (nothing touched), RecordingFailed (the output could not
    be written at the start or at the end; what is not recorded is still in the channel), BadName,
    WrongType, GeometryError, Unsupported (no zstd), and what `rchan.open` raises. The kernel's
    counterpart is a relay client's loop around splice(2).
    """
    recorder = Recorder(
        channels,
        directory,
        sink=sink,
        parent=parent,
        name=name,
        options=options,
        progress=progress,
        notice=notice,
    )
    return recorder.run(stop)


__all__ = [
    "TICK",
    "Recorder",
    "Recordings",
    "record",
]
