"""merge: several recordings into one stream, in the order of time."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike, close, fsync, strerror
from pathlib import Path

from rchan import tracefile
from rchan._core import crc32c
from rchan.recorder.claim import claim, open_output
from rchan.recorder.errors import RecordingExists, RecordingFailed, RecordingNotFound
from rchan.recorder.files import pwrite_all
from rchan.tracefile.index import CHECKED, ENTRY_SIZE, HEADER_SIZE, Header
from rchan.tracefile.manifest import (
    Encoding,
    Event,
    Geometry,
    Moment,
    RecordedFile,
    Recording,
)
from rchan.tracefile.recorded import RecordedChannel, RecordedSubbuf
from rchan.tracefile.trace import Trace

_NAME = "merged"


class _Out:
    """The merged stream and its index."""

    def __init__(self, place_fd: int, index_fd: int, path: Path) -> None:
        self._fd, self._index_fd, self._path = place_fd, index_fd, path
        self._offset, self._at = 0, HEADER_SIZE
        self.facts = RecordedFile(f"{_NAME}.0", 0)
        self._write(index_fd, Header(0, 0, (0, 0)).pack(), 0)

    def add(self, sub: RecordedSubbuf, source: int, add_ns: int) -> None:
        data = bytes(sub)
        entry = sub.entry._replace(
            offset=self._offset,
            stored=len(data),
            source=source,
            first_ns=sub.first_ns + add_ns,
            last_ns=sub.last_ns + add_ns,
            flags=CHECKED,
            data_crc=sub.entry.data_crc if sub.entry.checked else crc32c(data),
        )
        self._write(self._fd, data, self._offset)
        self._write(self._index_fd, entry.pack(), self._at)
        self._offset += len(data)
        self._at += ENTRY_SIZE
        facts = self.facts
        self.facts = replace(
            facts,
            bytes=facts.bytes + len(data),
            subbufs=facts.subbufs + 1,
            records=facts.records + sub.records,
            first_ns=entry.first_ns if facts.first_ns is None else facts.first_ns,
            last_ns=max(entry.last_ns, facts.last_ns or 0),
        )

    def _write(self, fd: int, data: bytes, at: int) -> None:
        try:
            pwrite_all(fd, data, at)
        except OSError as error:
            raise RecordingFailed.because(f"cannot write {self._path}", error) from error

    def close(self) -> None:
        for fd in (self._fd, self._index_fd):
            try:
                fsync(fd)
            finally:
                close(fd)


def merge(
    directories: Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    progress: Callable[[int], None] | None = None,
) -> tuple[Recording, list[tracefile.Problem]]:
    """Put all sub-buffers of recordings into one, OUTPUT/merged, by the time of their first record.

    Sub-buffers stay whole: two that overlap in time stand one after the other. Times of recordings
    of other machines, or from before a reboot, are put onto CLOCK_REALTIME. What is damaged is
    left out, and is among the problems. progress: called with the bytes written so far.

    Raises RecordingNotFound, RecordingDamaged, RecordingExists (OUTPUT), RecordingFailed.
    """
    with ExitStack() as stack:
        traces = [stack.enter_context(tracefile.open(each)) for each in directories]
        trace = Trace([channel for each in traces for channel in each.channels])
        if not trace.channels:
            raise RecordingNotFound("there is nothing to merge: name a recording")
        offsets = trace.offsets_ns()
        place = open_output(Path(output))
        stack.callback(place.close)
        claimed = claim(place, _begun(trace, output), False)
        stack.callback(claimed.close)
        if claimed.resumed is not None:
            raise RecordingExists(f"{claimed.place.path} exists already: give another directory")
        recording = _begun(trace, claimed.place.path)
        index_fd = claimed.own.make(f"{_NAME}.0.index")
        out = _Out(claimed.place.make(f"{_NAME}.0"), index_fd, claimed.place.path / f"{_NAME}.0")
        try:
            _copy(trace, offsets, out, progress)
        finally:
            _close(out)
        recording = replace(
            recording, state="complete", reason="merged", end=Moment.now(), files=(out.facts,)
        )
        claimed.store(recording)
        return recording, trace.problems


def _close(out: _Out) -> None:
    try:
        out.close()
    except OSError as error:
        what = strerror(error.errno or 0)
        raise RecordingFailed(f"the merged recording cannot be synced: {what}") from error


def _copy(
    trace: Trace, offsets: list[int], out: _Out, progress: Callable[[int], None] | None
) -> None:
    number = {id(channel): at for at, channel in enumerate(trace.channels)}
    for sub in trace:
        source = number[id(sub.channel)]
        out.add(sub, source, offsets[source])
        if progress is not None:
            progress(out.facts.bytes)


def _begun(trace: Trace, directory: str | PathLike[str]) -> Recording:
    known = [one.recording for one in trace.channels if one.recording is not None]
    size = max((one.geometry.subbuf_size for one in known), default=0)
    buffers = max((one.geometry.n_buffers for one in known), default=1)
    one_boot = len({one.geometry.boot_id for one in known}) == 1
    geometry = Geometry(
        subbuf_size=size,
        n_subbufs=0,
        n_buffers=buffers,
        overwrite=any(one.geometry.overwrite for one in known),
        clock="CLOCK_MONOTONIC" if one_boot else "CLOCK_REALTIME",
        byte_order="little",
        created=Moment.now(),
        boot_id=known[0].geometry.boot_id if one_boot else "",
    )
    start = min((one.start for one in known), key=lambda at: at.realtime_ns, default=Moment.now())
    return Recording(
        name=_NAME,
        directory=str(directory),
        channel=None,
        channel_directory="",
        geometry=geometry,
        encoding=Encoding(),
        state="recording",
        start=start,
        events=tuple(_events(trace.channels)),
        sources=tuple(str(one.directory) for one in trace.channels),
    )


def _events(channels: list[RecordedChannel]) -> Iterable[Event]:
    known = (one.recording for one in channels if one.recording is not None)
    return sorted((e for one in known for e in one.events), key=lambda e: e.at.realtime_ns)
