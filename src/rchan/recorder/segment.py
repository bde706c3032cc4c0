"""Segment: one channel from its first recorded sub-buffer to its last, and its manifest."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from os import stat
from pathlib import Path
from re import escape, fullmatch
from sys import byteorder
from typing import Final

from rchan._core import DROP_CAUSES, Buffer
from rchan.channel import Channel
from rchan.recorder.claim import Claim
from rchan.recorder.description import Description
from rchan.recorder.drain import Drain
from rchan.recorder.errors import RecordingFailed
from rchan.recorder.files import FileOptions, FileSink, StreamName, ZstdFileSink
from rchan.recorder.rotation import RotatingSink, Rotation
from rchan.recorder.sinks import Sink
from rchan.stats import Count, Stats, buffer_stats
from rchan.tracefile.index import Entry
from rchan.tracefile.manifest import (
    Encoding,
    Event,
    Geometry,
    Moment,
    RecordedBuffer,
    RecordedFile,
    Recording,
    State,
)

PATIENCE = 2.0  # seconds that a stopped writer or another reader is waited for at the end
_EVENTS: Final = 1000  # that a manifest keeps, the newest

_NOTHING_GOES: Final = (1 << 32, 0)  # a position behind every entry

OpenSink = Callable[[Channel, Buffer], Sink]


@dataclass(slots=True)
class Baseline:
    """What was lost in a buffer before this recording of it began: not this recording's loss."""

    from_birth: bool
    before: dict[str, Count]
    first_seq: int | None = None

    @classmethod
    def of(cls, buffer: Buffer) -> "Baseline":
        """If nobody has read anything of the buffer before, all of its losses are ours."""
        stats = buffer_stats(buffer)
        from_birth = not any((*stats.consumed, *stats.discarded))
        now = _losses(stats)
        return cls(from_birth, dict.fromkeys(now, Count()) if from_birth else now)

    def begin(self, entry: Entry | None) -> None:
        """The first recorded sub-buffer: drops from its beginning on are ours."""
        if entry is None or self.first_seq is not None:
            return
        self.first_seq = entry.seq
        if not self.from_birth:
            self.before |= zip(DROP_CAUSES, entry.drops, strict=True)

    def lost(self, stats: Stats) -> dict[str, Count]:
        """Records and bytes that are missing in this recording, by cause."""
        now = _losses(stats)
        return {cause: _minus(now[cause], self.before.get(cause, Count())) for cause in now}


def _losses(stats: Stats) -> dict[str, Count]:
    drops = {cause: getattr(stats, f"dropped_{cause}") for cause in DROP_CAUSES}
    return {"overwritten": stats.overwritten, "discarded": stats.discarded, **drops}


def _minus(now: Count, before: Count) -> Count:
    return Count(now.records - before.records, now.bytes - before.bytes)


@dataclass(frozen=True, slots=True)
class _OnDisk:
    """Files of a buffer that are there: older ones, and the one to go on with."""

    older: tuple[RecordedFile, ...]
    chunk: int
    after: Entry | None
    first: Entry | None


class Segment:
    """Records one channel. claim: its place; None: to the sinks that open_sink makes."""

    def __init__(
        self,
        channel: Channel,
        recording: Recording,
        claim: Claim | None,
        *,
        options: FileOptions,
        rotation: Rotation,
        open_sink: OpenSink | None = None,
        owned: bool = False,
    ) -> None:
        self.channel = channel
        self.recording = recording
        self.owned = owned  # the handle is ours to close
        self.identity = identity_of(channel)
        self.stalled: RecordingFailed | None = None
        self.retry_at = 0.0
        self.told_removed = False
        self._claim = claim
        self._options = options
        self._rotation = rotation
        self._custom = open_sink
        self._baselines: dict[int, Baseline] = {}
        self._ready = False
        self._description = Description(
            channel, None if claim is None else claim.place, options.ctf2
        )
        self.drain = Drain(channel, self._open_sink, self._description.renew)
        if claim is not None and claim.resumed is not None:
            self._resume(claim.resumed)

    # ---- sinks ----

    def _open_sink(self, buffer: Buffer) -> Sink:
        from_birth = self._baselines.setdefault(buffer.index, Baseline.of(buffer)).from_birth
        if self._claim is None:
            assert self._custom is not None
            return self._custom(self.channel, buffer)
        found = self._on_disk(buffer.index)
        return RotatingSink(
            lambda number, entry: self._open_file(buffer, number, entry),
            self._rotation,
            opening=partial(self._description.opening, buffer, from_birth),
            changed=self._store_if_ready,
            remove=self._remove,
            older=found.older,
            chunk=found.chunk,
            after=found.after,
            first=found.first,
        )

    def _suffix(self) -> str:
        return ".zst" if self._options.compression == "zstd" else ""

    def _open_file(self, buffer: Buffer, chunk: int, after: Entry | None) -> FileSink:
        assert self._claim is not None
        suffix = self._suffix()
        kind = ZstdFileSink if suffix else FileSink
        sink = kind(
            self._claim.place,
            StreamName(self.recording.name, buffer.index, chunk, suffix),
            self.channel.subbuf_size,
            self.channel.created_ns,
            self._options,
            limit=self._rotation.size or 0,
            position=(buffer.resets, buffer.subbufs_consumed),
        )
        if sink.last is None and after is not None:
            sink.goes_on_after(after)
        return sink

    def _remove(self, file: RecordedFile) -> None:
        assert self._claim is not None
        self._claim.place.remove(file.file)
        self._claim.own.remove(Path(file.index).name)

    # ---- going on with what is there ----

    def _resume(self, before: Recording) -> None:
        self.note("resumed", f"after process {before.recorder_pid} ({before.state})")
        for buffer in before.buffers:
            self._baselines[buffer.buffer] = Baseline(
                buffer.from_birth, dict(buffer.before), buffer.first_seq
            )

    def _resumed_buffer(self, index: int) -> RecordedBuffer | None:
        before = self._claim.resumed if self._claim is not None else None
        found = (b for b in before.buffers if b.buffer == index) if before is not None else ()
        return next(iter(found), None)

    def _on_disk(self, index: int) -> "_OnDisk":
        """What is there of a buffer; what the manifest had let go already is removed for good."""
        assert self._claim is not None
        before = self._claim.resumed
        known = (
            {file.chunk: file for file in before.files if file.buffer == index} if before else {}
        )
        there = self._indices(index)
        for chunk in [chunk for chunk in there if chunk < min(known, default=0)]:
            name = StreamName(self.recording.name, index, chunk, there.pop(chunk))
            self._remove(RecordedFile(name.file, index, chunk))
        if not there:
            return _OnDisk((), max(known, default=0), None, None)
        newest = max(there)
        if there[newest] == self._suffix():
            del there[newest]
        else:
            newest += 1
        # The manifest's last word on its last file is older than the file itself.
        stale = max(known, default=0)
        older, last = [], None
        for chunk in sorted(there):
            if chunk in known and chunk < stale:
                older.append(known[chunk])
                continue
            last = self._closed(index, chunk, there[chunk])
            older.append(last.facts())
        first = last.first if last is not None and len(older) == 1 else None
        return _OnDisk(tuple(older), newest, last.last if last else None, first)

    def _indices(self, index: int) -> dict[int, str]:
        assert self._claim is not None
        pattern = escape(f"{self.recording.name}.{index}") + r"(?:\.(\d{6,}))?(\.zst)?\.index"
        found = (fullmatch(pattern, name) for name in self._claim.own.names())
        return {int(match[1] or 0): match[2] or "" for match in found if match}

    def _closed(self, index: int, chunk: int, suffix: str) -> FileSink:
        assert self._claim is not None
        name = StreamName(self.recording.name, index, chunk, suffix)
        size, created_ns = self.channel.subbuf_size, self.channel.created_ns
        kind = ZstdFileSink if suffix else FileSink
        sink = kind(self._claim.place, name, size, created_ns, position=_NOTHING_GOES)
        sink.close()
        return sink

    # ---- recording ----

    def round(self) -> tuple[int, bool]:
        """A turn for each buffer: sub-buffers moved; was one held by somebody?"""
        self.look()
        return self.drain.round()

    def look(self) -> None:
        """Take up new buffers; the manifest knows them before anything of them is recorded."""
        if self.drain.look() or not self._ready:
            self._ready = True
            self.store()
            self._description.renew()
            for sink in self.drain.sinks.values():
                if isinstance(sink, RotatingSink):
                    sink.trim()  # a killed recorder may have left one too many

    def tick(self, now: float, flush_every: float | None) -> None:
        """What is due from time to time."""
        if flush_every is not None:
            self.drain.finish_slow(flush_every, now)
        for sink in self.drain.sinks.values():
            if isinstance(sink, RotatingSink):
                sink.tick(now)

    def rotate(self) -> None:
        """New files for all buffers."""
        self.note("rotated", "on request")
        for sink in self.drain.sinks.values():
            sink.rotate()

    def stall(self, error: RecordingFailed, retry_at: float) -> bool:
        """Do not consume until then. True: it has just begun."""
        begun = self.stalled is None
        if begun:
            self.note("stalled", str(error))
        self.stalled, self.retry_at = error, retry_at
        return begun

    def go_on(self) -> bool:
        """Something could be written. True: for the first time again."""
        if self.stalled is None:
            return False
        self.stalled = None
        self.note("resumed", "there is room again")
        return True

    def note(self, what: str, text: str) -> None:
        """For the manifest, with the next time that it is stored."""
        event = Event(Moment.now(), what, text)
        events = (*self.recording.events, event)[-_EVENTS:]
        self.recording = replace(self.recording, events=events)

    # ---- the manifest ----

    def facts(self) -> Recording:
        """What the manifest would say now."""
        buffers = tuple(self._buffer_facts(index) for index in sorted(self.drain.sinks))
        files = tuple(file for index in sorted(self.drain.sinks) for file in self._files_of(index))
        return replace(self.recording, buffers=buffers, files=files)

    def _buffer_facts(self, index: int) -> RecordedBuffer:
        stats, sink = buffer_stats(self.drain.buffers[index]), self.drain.sinks[index]
        baseline, before = self._baselines[index], self._resumed_buffer(index)
        facts = before or RecordedBuffer(index, baseline.from_birth)
        if isinstance(sink, RotatingSink):
            baseline.begin(sink.first)
            facts = replace(
                facts,
                expired=facts.expired.plus(sink.expired),
                expired_subbufs=facts.expired_subbufs + sink.expired_subbufs,
                expired_files=facts.expired_files + sink.expired_files,
            )
        return replace(
            facts,
            first_seq=baseline.first_seq,
            before=dict(baseline.before),
            lost=baseline.lost(stats),
            books=stats,
        )

    def _files_of(self, index: int) -> list[RecordedFile]:
        sink = self.drain.sinks[index]
        if isinstance(sink, RotatingSink):
            return sink.files
        file = RecordedFile("", index, 0, sink.bytes, sink.subbufs, sink.records)
        return [file]

    def store(self) -> None:
        """Put the manifest in place. Raises RecordingFailed."""
        if self._claim is not None:
            self._claim.store(self.facts())

    def _store_if_ready(self) -> None:
        if self._ready:
            self.store()

    def finish(self) -> tuple[int, ...]:
        """Record what was written before this call; the buffers where that was not possible."""
        self.look()
        unfinished = self.drain.finish(PATIENCE)
        for index, sink in self.drain.sinks.items():
            self._description.conclude(self.drain.buffers[index], sink)
        return unfinished

    def close(
        self,
        state: State,
        *,
        reason: str | None = None,
        error: str | None = None,
        unfinished: tuple[int, ...] = (),
        sync: bool = False,
    ) -> Recording:
        """Close files and books; the recording as the manifest has it now."""
        try:
            if sync:
                for sink in self.drain.sinks.values():
                    sink.sync()
            self.recording = replace(
                self.recording,
                state=state,
                reason=reason,
                error=error,
                unfinished=unfinished,
                end=Moment.now(),
            )
            self.drain.close()
            self.recording = self.facts()
            self._description.renew(clock=True)
            if self._claim is not None:
                self._claim.store(self.recording)
            return self.recording
        finally:
            self.drain.close()
            if self._claim is not None:
                self._claim.close()
            self.drain.forget()
            if self.owned:
                self.channel.detach()

    def abandon(self) -> None:
        """Nothing was recorded: take the claim back."""
        self.drain.close()
        self.drain.forget()
        if self._claim is not None:
            self._claim.abandon()


def identity_of(channel: Channel) -> tuple[int, int] | None:
    """Device and inode of its control file, as its name leads there; None: it has none."""
    path = channel.path
    if path is not None:
        with suppress(OSError):
            found = stat(path)
            return found.st_dev, found.st_ino
    return None


def files_of(channel: Channel, options: FileOptions) -> FileOptions:
    """What the files of this channel are: packets of events keep the padding that they tell of."""
    return replace(options, keep_padding=True) if channel.events else options


def new_recording(channel: Channel, name: str, where: Path, options: FileOptions) -> Recording:
    """The manifest of a recording that begins now."""
    checksum = "crc32c" if options.checksum else None
    encoding = Encoding(
        checksum, options.compression, "kept" if options.keep_padding else "removed"
    )
    return Recording(
        name=name,
        directory=str(where),
        channel=channel.base,
        channel_directory=channel.directory,
        geometry=_geometry(channel),
        encoding=encoding,
        state="recording",
        start=Moment.now(),
    )


def _geometry(channel: Channel) -> Geometry:
    return Geometry(
        subbuf_size=channel.subbuf_size,
        n_subbufs=channel.n_subbufs,
        n_buffers=channel.n_buffers,
        overwrite=channel.overwrite,
        clock="CLOCK_MONOTONIC",
        byte_order=byteorder,
        created=Moment(*channel.created_ns),
        boot_id=_boot_id(),
    )


def _boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""
