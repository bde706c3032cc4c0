"""A recorded channel: its sub-buffers, as a live reader would give them, and what is wrong."""

from collections.abc import Iterator
from pathlib import Path
from re import fullmatch
from typing import Final

from rchan.stats import Count
from rchan.taken import Lost
from rchan.tracefile.errors import RecordingDamaged, RecordingNotFound
from rchan.tracefile.index import HEADER_SIZE, Entry
from rchan.tracefile.manifest import MANIFEST, OWN, Recording, load
from rchan.tracefile.stream import Problem, RecordedStream

_LOST: Final = ("overwritten", "full", "too_big", "disabled", "contended")


class RecordedSubbuf:
    """A recorded sub-buffer, with what a live reader's has (`rchan.TakenSubbuf`).

    Made by `Trace`. channel, stream, entry: where it is. lost: before it. data: its bytes; None: to
    be read when asked for.
    """

    __slots__ = ("_data", "_stream", "channel", "entry", "lost")

    late = False
    held = True

    def __init__(
        self,
        channel: "RecordedChannel",
        stream: RecordedStream,
        entry: Entry,
        lost: Lost,
        data: bytes | None,
    ) -> None:
        self.channel = channel
        self.entry = entry
        self.lost = lost
        self._stream = stream
        self._data = data

    @property
    def cpu(self) -> int:
        """Index of its buffer."""
        return self.entry.buffer

    @property
    def seq(self) -> int:
        """Its number in the buffer: sub-buffers produced before it since the last reset."""
        return self.entry.seq

    @property
    def resets(self) -> int:
        """Resets of its buffer before it."""
        return self.entry.resets

    @property
    def length(self) -> int:
        """Bytes in `data`."""
        return self.entry.length

    @property
    def records(self) -> int:
        """Records in the sub-buffer."""
        return self.entry.records

    @property
    def first_ns(self) -> int:
        """Time of its first record, CLOCK_MONOTONIC of the machine that recorded it."""
        return self.entry.first_ns

    @property
    def last_ns(self) -> int:
        """Time when it was finished, on the same clock."""
        return self.entry.last_ns

    @property
    def data(self) -> memoryview:
        """Its bytes. Raises RecordingDamaged if they are not what they were when recorded."""
        if self._data is None:
            self._data = self._stream.data(self.entry)
        if self._data is None:
            raise RecordingDamaged(f"{self._stream.name}: sub-buffer {self.seq} is damaged")
        return memoryview(self._data)

    def release(self) -> bool:
        """As of a live sub-buffer; here there is nothing to give back. Always True."""
        return True

    def put_down(self) -> None:
        """As of a live sub-buffer; here there is nothing to put down."""

    def __len__(self) -> int:
        return self.length

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __repr__(self) -> str:
        return f"<rchan.RecordedSubbuf: {self.seq} of CPU {self.cpu}, {self.length} bytes>"


class RecordedChannel:
    """One recorded channel, whatever state its files are in.

    directory: that with `.rchan` in it. recording: its manifest; None: it is damaged. problems:
    grows while the streams are read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.problems: list[Problem] = []
        self.recording: Recording | None = None
        try:
            self.recording = load(directory)
        except (RecordingDamaged, RecordingNotFound) as error:
            self._tell(Problem("manifest", "damage", f"{OWN}/{MANIFEST}", str(error)))
        found = self._found()  # once: a recorder may be at work, and begin another file
        self._streams = [RecordedStream(directory, name, self._tell) for _, _, name in found]
        self._groups = _by_buffer(found, self._streams)
        self._compare()

    @property
    def name(self) -> str:
        """The channel's name; that of the directory if the manifest does not say."""
        known = self.recording.channel if self.recording is not None else None
        return known or self.directory.name

    @property
    def streams(self) -> list[RecordedStream]:
        """Its streams, by buffer and age."""
        return list(self._streams)

    @property
    def complete(self) -> bool:
        """Did the recorder end it in good order?"""
        return self.recording is not None and self.recording.state == "complete"

    def __repr__(self) -> str:
        return f"<rchan.tracefile.RecordedChannel {self.name!r} in {str(self.directory)!r}>"

    def _tell(self, problem: Problem) -> None:
        self.problems.append(problem)

    def _found(self) -> list[tuple[int, int, str]]:
        """(buffer, number, name) of every stream that is there, or that the manifest names."""
        names: set[str] = set()
        try:
            for path in (self.directory / OWN).iterdir():
                if path.name.endswith(".index") and not path.name.startswith("."):
                    names.add(path.name.removesuffix(".index"))
        except OSError:
            pass
        if self.recording is not None:
            names |= {file.file for file in self.recording.files if _is_plain(file.file)}
        places = sorted(place for name in names if (place := _place_of(name)) is not None)
        return [place for place in places if not self._comes_or_goes(*place)]

    def _comes_or_goes(self, buffer: int, chunk: int, name: str) -> bool:
        """Is its recorder, or was it when it was killed, about to make or to remove its files?

        Nothing was in that stream yet, or the manifest has let it go: nothing is damaged.
        """
        recording = self.recording
        if recording is None or recording.state == "complete":
            return False
        known = {file.chunk: file for file in recording.files if file.buffer == buffer}
        if chunk < min(known, default=0):
            return True
        if chunk in known and known[chunk].subbufs:
            return False
        index = _size(self.directory / OWN / f"{name}.index")
        return index is not None and index < HEADER_SIZE and not _size(self.directory / name)

    def _compare(self) -> None:
        """What the manifest promises against what is there."""
        recording = self.recording
        if recording is None:
            return
        if recording.state != "complete":
            text = f"the recorder (process {recording.recorder_pid}) did not end it: "
            text += recording.error or "it was killed, or it still runs"
            self._tell(Problem("unfinished", "note", "", text))
        there = {stream.name: stream for stream in self._streams}
        for file in recording.files:
            stream = there.get(file.file)
            if stream is not None:
                stream.end, stream.closing = file.opening, file.closing
            if stream is not None and recording.state == "complete":
                missing = file.subbufs - len(stream.index)
                if missing > 0:
                    text = f"{missing} of {file.subbufs} entries of its index are missing"
                    stream.tell("missing", "damage", text)

    def subbufs(self, check: bool = True) -> Iterator[RecordedSubbuf]:
        """All that are whole, in the order of time. check: verify checksums (and leave out)."""
        heads = [iter(self._group(group, check)) for group in self._groups]
        return merged_by_time(heads)

    def buffer(self, cpu: int, check: bool = True) -> Iterator[RecordedSubbuf]:
        """The sub-buffers of one buffer (cpu: its index), in their order.

        check: their checksums, too.
        """
        groups = (self._group(group, check) for group in self._groups)
        return (sub for group in groups for sub in group if sub.cpu == cpu)

    def _group(self, streams: list[RecordedStream], check: bool) -> Iterator[RecordedSubbuf]:
        before: dict[tuple[int, int], Entry] = {}
        sound = True
        for stream in streams:
            for entry in stream.entries():
                key = entry.source, entry.buffer
                last = before.get(key)
                if last is not None and entry.place <= last.place:
                    text = f"sub-buffer {entry.seq} of buffer {entry.buffer} is out of order"
                    stream.tell("entry", "damage", text, entry)
                    continue
                data = stream.data(entry) if check else None
                if check and data is None:
                    sound = False
                    continue
                if last is not None and sound:
                    self._find_gap(stream, last, entry)
                yield RecordedSubbuf(self, stream, entry, self._lost(last, entry), data)
                before[key], sound = entry, True

    def _find_gap(self, stream: RecordedStream, last: Entry, entry: Entry) -> None:
        """Records that were written, and neither recorded nor lost."""
        gone = entry.before_records - last.before_records - last.records
        gone -= entry.overwritten.records - last.overwritten.records
        if gone > 0 and entry.resets == last.resets:
            text = (
                f"{gone} records between sub-buffers {last.seq} and {entry.seq} of buffer "
                f"{entry.buffer} are not here: another reader took them, or entries are lost"
            )
            stream.tell("gap", "note", text, entry)

    def _lost(self, last: Entry | None, entry: Entry) -> Lost:
        before = last.lost() if last is not None else self._lost_before(entry)
        pairs = zip(before, entry.lost(), strict=True)
        return Lost(
            *(Count(max(0, n.records - b.records), max(0, n.bytes - b.bytes)) for b, n in pairs)
        )

    def _lost_before(self, entry: Entry) -> tuple[Count, ...]:
        buffers = self.recording.buffers if self.recording is not None else ()
        for buffer in buffers:
            if buffer.buffer == entry.buffer:
                return tuple(buffer.before.get(cause, Count()) for cause in _LOST)
        return (Count(),) * len(_LOST)

    def close(self) -> None:
        """Close all files. A second call does nothing."""
        for stream in self._streams:
            stream.close()


def _more(before: Count, now: Count) -> Count:
    return Count(max(0, now.records - before.records), max(0, now.bytes - before.bytes))


def _is_plain(name: str) -> bool:
    """A name in the directory itself: a manifest may say anything."""
    return bool(name) and "/" not in name and "\0" not in name and not name.startswith(".")


def _size(path: Path) -> int | None:
    """Of a file; None: there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return None


def _place_of(name: str) -> tuple[int, int, str] | None:
    found = fullmatch(r".*?\.(\d{1,4})(?:\.(\d{6,9}))?(?:\.zst)?", name, 16)
    return (int(found[1]), int(found[2] or 0), name) if found else None


def _by_buffer(
    found: list[tuple[int, int, str]], streams: list[RecordedStream]
) -> list[list[RecordedStream]]:
    groups: dict[int, list[RecordedStream]] = {}
    for (buffer, _, _), stream in zip(found, streams, strict=True):
        groups.setdefault(buffer, []).append(stream)
    return list(groups.values())


def merged_by_time(
    heads: list[Iterator[RecordedSubbuf]], offsets: list[int] | None = None
) -> Iterator[RecordedSubbuf]:
    """All of them, the oldest first. offsets: what to add to the times of each."""
    add = offsets or [0] * len(heads)
    fronts = {n: front for n, head in enumerate(heads) if (front := next(head, None)) is not None}
    while fronts:
        number = min(fronts, key=lambda n: (fronts[n].first_ns + add[n], n))
        yield fronts[number]
        following = next(heads[number], None)
        if following is None:
            del fronts[number]
        else:
            fronts[number] = following
