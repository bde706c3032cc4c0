"""Where events are read from: trace directories, snapshots, readers, taps."""

import re
from collections import deque
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from rchan import _core
from rchan.channel import Channel
from rchan.errors import (
    ChannelNotFound,
    CorruptChannel,
    IncompatibleChannel,
    WrongChannel,
    WrongType,
)
from rchan.events import tsdl
from rchan.events.clock import Clock
from rchan.events.schema import Schemas
from rchan.events.stream_file import StreamFile
from rchan.events.types import MOST, FieldType
from rchan.reader import Reader
from rchan.snapshot import Snapshot
from rchan.tap import Tap
from rchan.zstd import SUFFIX as ZSTD

if TYPE_CHECKING:
    from typing_extensions import Buffer as _Bytes

_LATER: Final = re.compile(r"(.+\.\d+)\.(\d{6,})")
WATERMARK: Final = 0.1  # seconds that events of a live channel wait for older ones, at most
_TICK: Final = 0.25


class Source(Protocol):
    """Gives packets to a decoder."""

    @property
    def schemas(self) -> Schemas: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def skipped_bytes(self) -> int: ...
    @property
    def damage(self) -> dict[str, int]: ...
    @property
    def fed_bytes(self) -> int: ...  # of packets, so far

    def more(self, decoder: _core.Decoder) -> bool:
        """Feed what comes next. False: nothing will, or nothing has for as long as one waits."""

    def close(self) -> None:
        """Let go of what is open."""


class _Stored:
    """All there already: each stream gives packets when the decoder has none of it left."""

    def __init__(self, schemas: Schemas, clock: Clock) -> None:
        self.schemas = schemas
        self.clock = clock
        self._streams: dict[int, Iterator[list[tuple[_Bytes, bool]]]] = {}
        self._begun = False
        self.fed_bytes = 0

    skipped_bytes = 0

    @property
    def damage(self) -> dict[str, int]:
        return {}

    def more(self, decoder: _core.Decoder) -> bool:
        if not self._begun:
            self._begun = True
            for stream in self._streams:
                decoder.set_open(stream, True)
        dry = decoder.dry()
        for stream in dry:
            packets = next(self._streams[stream], None)
            if packets is None:
                decoder.set_open(stream, False)
                continue
            for data, finished in packets:
                decoder.feed(stream, data, finished)
                self.fed_bytes += len(memoryview(data))
        return bool(dry)

    def close(self) -> None:
        self._streams.clear()


class StoredCopies(_Stored):
    """A snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Raises WrongChannel: of plain records."""
        if snapshot._clock is None:
            raise WrongChannel("this snapshot is of a channel of plain records, not of events")
        super().__init__(Schemas.from_bytes(snapshot._metadata), _clock_of(snapshot))
        by_stream: dict[int, deque[_core.SubbufCopy]] = {}
        for copy in snapshot:
            by_stream.setdefault(copy.cpu, deque()).append(copy)
        for stream, copies in by_stream.items():
            self._streams[stream] = ([(copy.data, copy.finished)] for copy in copies)


class TraceDirectory(_Stored):
    """A trace directory: the file `metadata`, and stream files beside it.

    Files of a recording that was rotated are one stream: NAME.0, NAME.0.000001, …
    """

    def __init__(self, path: Path) -> None:
        """Raises ChannelNotFound (no directory, no metadata), CorruptChannel (damaged metadata)."""
        super().__init__(*_metadata_of(path))
        self._files: list[StreamFile] = []
        try:
            for stream, paths in enumerate(stream_paths(path).values()):
                files = [StreamFile(file, self.clock.uuid) for file in paths]
                self._files += files
                self._streams[stream] = _packets(files)
        except OSError:
            self.close()
            raise

    @property
    def skipped_bytes(self) -> int:  # type: ignore[override]
        return sum(file.skipped for file in self._files)

    @property
    def damage(self) -> dict[str, int]:
        misplaced = sum(file.misplaced for file in self._files)
        return {"size": misplaced} if misplaced else {}

    def close(self) -> None:
        super().close()
        for file in self._files:
            file.close()


def _packets(files: list[StreamFile]) -> "Iterator[list[tuple[_Bytes, bool]]]":
    for file in files:
        for block in file.blocks():
            yield [(data, True) for data in block]
        file.close()


def stream_paths(path: Path) -> dict[str, list[Path]]:
    """The streams of a trace directory by name, and the files of each, the oldest first."""
    streams: dict[str, list[tuple[int, Path]]] = {}
    for file in sorted(path.iterdir()):
        if file.name != tsdl.NAME and not file.name.startswith(".") and file.is_file():
            name = file.name.removesuffix(ZSTD)
            later = _LATER.fullmatch(name)
            name, number = (later[1], int(later[2])) if later else (name, 0)
            streams.setdefault(name, []).append((number, file))
    return {name: [file for _, file in sorted(files)] for name, files in streams.items()}


def trace_directories(path: Path) -> list[Path]:
    """The trace directory that this is, or those in it: a recording's, one for each channel."""
    if not path.is_dir() or (path / tsdl.NAME).exists():
        return [path]
    found = sorted(file.parent for file in path.glob(f"*/{tsdl.NAME}"))
    return [where for where in found if not where.name.startswith(".")] or [path]


def _metadata_of(path: Path) -> tuple[Schemas, Clock]:
    if not path.is_dir():
        raise ChannelNotFound(
            f"there is no trace directory {str(path)!r} (of a channel: give the channel itself, "
            "such as rchan.open(name))"
        )
    try:
        text = (path / tsdl.NAME).read_bytes().decode()
    except FileNotFoundError:
        raise ChannelNotFound(
            f"{str(path)!r} has no file {tsdl.NAME!r}, nor has a directory in it: without it "
            "nothing says what its events are"
        ) from None
    except UnicodeDecodeError as error:
        raise CorruptChannel(f"the metadata of {str(path)!r} is damaged: {error}") from error
    try:
        return tsdl.from_text(text)
    except IncompatibleChannel as error:
        raise IncompatibleChannel(f"{str(path)!r}: {error}") from error
    except CorruptChannel as error:
        raise CorruptChannel(f"{str(path)!r}: {error}") from error


def _clock_of(snapshot: Snapshot) -> Clock:
    return Clock.of_channel(snapshot)  # type: ignore[arg-type]


class Live:
    """A reader or a tap: packets as they come; they are given back when they were decoded."""

    skipped_bytes = 0

    def __init__(self, origin: Reader | Tap, wanted: frozenset[str] | None) -> None:
        """Raises WrongChannel: of plain records."""
        self._origin = origin
        self._wanted = wanted
        self._channel = origin._channel
        self.schemas = Schemas.of_channel(self._channel)
        self.clock = Clock.of_channel(self._channel)
        self._fed: dict[int, float] = {}  # stream -> when its last packet came
        self._quiet_since: float | None = None
        self.fed_bytes = 0

    @property
    def damage(self) -> dict[str, int]:
        return {}

    def more(self, decoder: _core.Decoder) -> bool:
        self._await_new_buffers(decoder)
        limit = self._origin._timeout
        self._quiet_since = self._quiet_since or monotonic()
        wait = WATERMARK / 2 if decoder.dry() else _TICK
        if limit is not None:
            wait = max(0.0, min(wait, self._quiet_since + limit - monotonic()))
        fed = self._feed(decoder, wait)
        now = monotonic()
        if fed:
            self._quiet_since = now
        for stream in decoder.dry():
            if now - self._fed[stream] > WATERMARK:
                decoder.set_open(stream, False)  # the others wait no longer for it
        if fed:
            return True
        if not self._ended() and (limit is None or now - self._quiet_since < limit):
            return True
        self._quiet_since = None  # another loop waits anew
        return False

    def _await_new_buffers(self, decoder: _core.Decoder) -> None:
        for stream in self._channel._buffers():
            if stream not in self._fed:
                self._fed[stream] = monotonic()
                decoder.set_open(stream, True)

    def _feed(self, decoder: _core.Decoder, wait: float) -> bool:
        packet = self._origin.take(wait)
        if packet is None:
            return False
        self.schemas.refresh(self._channel)
        add_types(decoder, self.schemas, self._wanted)
        with packet.data as data:
            decoder.feed(packet.cpu, data, getattr(packet, "finished", True))
            self.fed_bytes += len(data)
        decoder.set_open(packet.cpu, True)
        self._fed[packet.cpu] = monotonic()
        if isinstance(self._origin, Reader):
            self._origin.give_back(packet)  # type: ignore[arg-type]
        return True

    def _ended(self) -> bool:
        if isinstance(self._origin, Tap):
            return self._origin.ended
        return self._origin.ended_by in ("finalized", "orphaned", "closed")

    def close(self) -> None:
        """The reader or tap is its maker's."""


def source_of(given: object, wanted: frozenset[str] | None) -> Source:
    """The source for what `rchan.events.read` was given. Raises as it says."""
    if isinstance(given, Channel):
        Clock.of_channel(given)  # or WrongChannel
        return StoredCopies(given.snapshot())
    if isinstance(given, Snapshot):
        return StoredCopies(given)
    if isinstance(given, Reader | Tap):
        return Live(given, wanted)
    if isinstance(given, str | PathLike):
        return TraceDirectory(Path(given))
    raise WrongType(
        "events are read from a Channel, Snapshot, Reader, Tap or the path of a trace directory, "
        f"not from a {type(given).__name__}"
    )


def add_types(decoder: _core.Decoder, schemas: Schemas, wanted: frozenset[str] | None) -> None:
    """Tell the decoder of the event types that it does not know yet."""
    for id in range(decoder.n_types, len(schemas)):
        schema = schemas[id]
        fields = tuple(_described(name, kind) for name, kind in schema.fields)
        decoder.add(schema.name, fields, wanted is None or schema.name in wanted)


def _described(name: str, kind: FieldType) -> tuple[str, int, dict[int, str] | None, int]:
    _, number, _, _, count = kind.for_binding(name, MOST)
    return name, number, labels_of(kind), count


def labels_of(kind: FieldType) -> dict[int, str] | None:
    """An enum's label of each number, the first if it has several; None: it is no enum."""
    if kind.labels is None:
        return None
    return {number: label for label, number in reversed(kind.labels)}
