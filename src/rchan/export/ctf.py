"""Common Trace Format: the packets as they are."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Final

from rchan import _core
from rchan.channel import Channel
from rchan.errors import DamagedPacket, WrongType
from rchan.events import Report, tsdl
from rchan.events.ctf import CTF2_NAME, write_trace
from rchan.events.packet import PACKET_HEADER, PacketHeader, again
from rchan.events.reading import read, unwatched
from rchan.events.sources import TraceDirectory, add_types, stream_paths, trace_directories
from rchan.events.stream_file import StreamFile
from rchan.reader import Reader
from rchan.tap import Tap

_HARMLESS: Final = frozenset({"count", "text"})
_ROWS: Final = 4096


def write(source: object, directory: Path, progress: Callable[[int], None]) -> Report:
    """Write the trace directory. source: a Channel, Reader, Tap or path; progress: called with the
    bytes that were read of a path so far. Raises WrongType."""
    if isinstance(source, str | Path):
        return _copy(Path(source), directory, progress)
    if isinstance(source, Channel):
        write_trace(source, directory)
    elif isinstance(source, Reader | Tap) and isinstance(source._channel, Channel):
        write_trace(source._channel, directory, source)
    else:
        raise WrongType(
            f"CTF is written from a Channel, Reader, Tap or path, not a {type(source).__name__}"
        )
    return _report(directory)


def _report(path: Path, progress: Callable[[int], None] = unwatched) -> Report:
    with read(path, names=()) as events:
        events._watch(progress)
        list(events)
        return events.report


def _copy(source: Path, directory: Path, progress: Callable[[int], None]) -> Report:
    """Of a recording or trace directory, what readers take that give up at the first damage.

    Whole packets alone, decompressed; of a stream that was rotated, one file. Each of several
    channels has a directory of its own, as in the recording. Returns what was read of the source.
    """
    seen = 0

    def of_report(done: int) -> None:
        nonlocal seen
        seen = done
        progress(done)

    report = _report(source, of_report)
    for path in trace_directories(source):
        for size in _copy_trace(path, directory if path == source else directory / path.name):
            seen += size
            progress(seen)
    return report


def _copy_trace(path: Path, where: Path) -> Iterator[int]:
    """Yields the bytes of each packet that is copied."""
    where.mkdir(parents=True, exist_ok=True)
    with closing(TraceDirectory(path)) as trace:
        for name in (tsdl.NAME, CTF2_NAME):
            if (path / name).exists():
                copyfile(path / name, where / name)
        for name, files in stream_paths(path).items():
            with (where / name).open("xb") as stream:
                for packet in _Whole(trace).packets(files):
                    stream.write(packet)
                    yield len(packet)


class _Whole:
    """The packets of one stream that nothing is wrong with."""

    def __init__(self, trace: TraceDirectory) -> None:
        clock = trace.clock
        self._uuid = clock.uuid
        self._decoder = _core.Decoder(clock.uuid.bytes, 0, 0, clock.frequency)
        add_types(self._decoder, trace.schemas, frozenset())
        self._last: PacketHeader | None = None

    def packets(self, files: list[Path]) -> Iterator[memoryview | bytes]:
        for path in files:
            with closing(StreamFile(path, self._uuid)) as file:
                for block in file.blocks():
                    yield from filter(None, map(self._whole, block))

    def _whole(self, data: memoryview) -> memoryview | bytes | None:
        """None: damaged, or it only opens the next file of a stream."""
        try:
            header = PacketHeader.parse(data)
        except DamagedPacket:
            return None
        last = self._last
        if last and (header == again(last) or header.timestamp_begin < last.timestamp_end):
            return None
        if not header.content_size or not self._decodes(data):
            return None
        self._last = header
        if header.packet_size == len(data):
            return data
        content = replace(header, packet_size=header.content_size)  # its padding is cut off
        return content.pack() + data[PACKET_HEADER.size : header.content_size]

    def _decodes(self, data: memoryview) -> bool:
        before = self._wrong()
        self._decoder.feed(0, data, True)
        while self._decoder.rows(_ROWS, True):
            pass
        return self._wrong() == before

    def _wrong(self) -> int:
        damage = self._decoder.counts()[-1]
        return sum(count for cause, count in damage.items() if cause not in _HARMLESS)
