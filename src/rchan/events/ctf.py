"""Trace directories of the Common Trace Format, out of a channel's sub-buffers."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from rchan import _core
from rchan.channel import Channel
from rchan.errors import ChannelExists
from rchan.events import ctf2, tsdl
from rchan.events.clock import Clock
from rchan.events.packet import PacketHeader, begun, closing, complete, opening
from rchan.events.schema import Schemas

STREAM_PREFIX: Final = "stream_"
CTF2_NAME: Final = ".metadata.ctf2"
"""Hidden: CTF 1.8 readers take every other file for a stream."""


class Packet(Protocol):
    """A sub-buffer in a hand: `rchan.SubbufCopy`, `rchan.TakenSubbuf`."""

    @property
    def cpu(self) -> int: ...
    @property
    def data(self) -> "bytes | memoryview": ...
    @property
    def records(self) -> int: ...


def metadata(channel: _core.Channel) -> str:
    """The CTF 1.8 metadata (TSDL) of a channel's events, as of now: the file `metadata`.

    The later, the better it knows the clock. Raises WrongChannel, CorruptChannel, ChannelClosed.
    """
    return tsdl.to_text(Schemas.of_channel(channel), Clock.of_channel(channel), channel.base or "")


def metadata_files(channel: _core.Channel, with_ctf2: bool) -> dict[str, bytes]:
    """The metadata as files, by name: CTF 1.8 and, with_ctf2, CTF 2, of one look at the clock."""
    schemas, clock = Schemas.of_channel(channel), Clock.of_channel(channel)
    name = channel.base or ""
    files = {tsdl.NAME: tsdl.to_text(schemas, clock, name).encode()}
    if with_ctf2:
        files[CTF2_NAME] = ctf2.to_bytes(schemas, clock, name)
    return files


def events_discarded(buffer: _core.Buffer) -> int:
    """Events of this buffer that were dropped up to now, of every cause."""
    books = buffer.books()
    return sum(getattr(books, f"dropped_{cause}_records") for cause in _core.DROP_CAUSES)


def opening_packet(channel: _core.Channel, buffer: _core.Buffer) -> PacketHeader:
    """What to put before the very first packet of this buffer's stream, if things were lost."""
    clock = Clock.of_channel(channel)
    at = clock.anchor
    return opening(
        clock.uuid, cpu_id=buffer.index, timestamp=at.stamp, monotonic_ns=at.monotonic_ns
    )


def closing_packet(buffer: _core.Buffer, last: PacketHeader) -> bytes | None:
    """What to put behind the last packet of this buffer's stream; None: it tells all losses."""
    lost = events_discarded(buffer)
    if lost == last.events_discarded:
        return None
    return closing(last, events_discarded=lost, timestamp=buffer._last_stamp)


class _Stream:
    """One stream file, as it grows."""

    def __init__(self, channel: Channel, buffer: _core.Buffer, where: Path) -> None:
        path = where / f"{STREAM_PREFIX}{buffer.index}"
        self._channel = channel
        self._buffer = buffer
        self._file: BinaryIO = path.open("xb")
        self._last: PacketHeader | None = None
        self._open: tuple[bytes, int] | None = None

    def add(self, packet: Packet) -> None:
        if not getattr(packet, "finished", True):
            self._settle(begun(packet.data))
            self._open = (bytes(packet.data), packet.records)
            return
        whole = complete(packet.data, records=packet.records)
        self._settle(PacketHeader.parse(whole))
        self._write(whole)

    def _settle(self, following: PacketHeader | None) -> None:
        """Write the unfinished packet that is held back until it is known what comes after it."""
        if self._open is None:
            return
        (data, records), self._open = self._open, None
        end = self._buffer._last_stamp if following is None else following.timestamp_begin
        self._write(complete(data, records=records, timestamp_end=end, finished=False))

    def _write(self, whole: bytes) -> None:
        header = PacketHeader.parse(whole)
        if self._last is None and header.events_discarded and not header.packet_seq_num:
            self._begin()
        self._file.write(whole)
        self._last = header

    def _begin(self) -> None:
        self._last = opening_packet(self._channel, self._buffer)
        self._file.write(self._last.pack())

    def close(self) -> None:
        with self._file:
            self._settle(None)
            if self._last is None and not self._buffer.subbufs_produced:
                self._begin()  # it has had no packet at all
            last = None if self._last is None else closing_packet(self._buffer, self._last)
            if last is not None:
                self._file.write(last)


def write_trace(
    channel: Channel,
    directory: str | PathLike[str],
    packets: Iterable[Packet] | None = None,
    *,
    with_ctf2: bool = False,
) -> Path:
    """Write a trace directory that babeltrace2 and Trace Compass open as it is.

    directory: made if it is not there; must not hold a trace. packets: of this channel, in the
    order of each buffer, such as a `Reader` or a `Snapshot`; None: a snapshot taken now.
    with_ctf2: the CTF 2 metadata as well, in `.metadata.ctf2` (rename it to `metadata`
    for readers of CTF 2).

    Returns the directory. Raises WrongChannel, ChannelExists (a trace is there), DamagedPacket,
    CorruptChannel, OSError.
    """
    text = metadata(channel)  # or WrongChannel, before anything is written
    where = Path(directory)
    where.mkdir(0o700, parents=True, exist_ok=True)
    target = where / tsdl.NAME
    if target.exists():
        raise ChannelExists(f"{str(where)!r} holds a trace already: give another directory")
    target.write_text(text, encoding="utf-8")  # so that it can be read if we are killed
    streams: dict[int, _Stream] = {}
    buffers = channel._buffers()
    try:
        for packet in channel.snapshot() if packets is None else packets:
            cpu = packet.cpu
            if cpu not in streams:
                buffers = buffers if cpu in buffers else channel._buffers()
                streams[cpu] = _Stream(channel, buffers[cpu], where)
            streams[cpu].add(packet)
        for cpu, buffer in channel._buffers().items():
            if cpu not in streams and not buffer.subbufs_produced and events_discarded(buffer):
                streams[cpu] = _Stream(channel, buffer, where)
    finally:
        for stream in streams.values():
            stream.close()
    for name, content in metadata_files(channel, with_ctf2).items():
        (where / name).write_bytes(content)
    return where
