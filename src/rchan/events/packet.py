"""Packets: the header at the start of each sub-buffer (docs/reference/events-format.md)."""

from dataclasses import dataclass, replace
from struct import Struct
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

from rchan.errors import DamagedPacket

if TYPE_CHECKING:
    from typing_extensions import Buffer as _Bytes

PACKET_HEADER: Final = Struct("=II16sQQQQQQQII")
EVENT_HEADER: Final = Struct("=HQHII")
"""id, timestamp, cpu, pid, tid."""
MAGIC: Final = 0xC1FC1FC1
MAGIC_OTHER_ORDER: Final = 0xC11FFCC1
BITS: Final = 8
NO_NUMBER: Final = 2**64 - 1
"""What stands before packet 0."""


@dataclass(frozen=True, slots=True)
class PacketHeader:
    """What stands at the start of a packet. Sizes in bytes; times are stamps."""

    uuid: UUID
    timestamp_begin: int
    timestamp_end: int
    content_size: int
    """From the start to the end of the last event; 0: not finished, look elsewhere."""
    packet_size: int
    packet_seq_num: int
    events_discarded: int
    """Events of the stream that were lost up to timestamp_end."""
    monotonic_ns: int
    """CLOCK_MONOTONIC at timestamp_begin."""
    cpu_id: int
    events: int
    """Events in the packet; 0 if it is not finished."""

    @classmethod
    def parse(cls, data: "_Bytes") -> Self:
        """The header at the start of a packet. Raises DamagedPacket."""
        view = memoryview(data)
        if len(view) < PACKET_HEADER.size:
            raise DamagedPacket(
                f"a packet has {PACKET_HEADER.size} bytes at least, this one {len(view)}"
            )
        magic, stream, uuid, begin, end, content, size, *rest = PACKET_HEADER.unpack_from(view)
        if magic == MAGIC_OTHER_ORDER:
            raise DamagedPacket("the packet was written by a machine of the other byte order")
        if magic != MAGIC or stream != 0:
            raise DamagedPacket("the data does not begin like a packet of events")
        if content % BITS or size % BITS or (content and not PACKET_HEADER.size * BITS <= content):
            raise DamagedPacket(f"a packet's content of {content} bits cannot be")
        if content > size or begin > end:
            raise DamagedPacket("the packet ends before it begins, or is smaller than its content")
        return cls(UUID(bytes=uuid), begin, end, content // BITS, size // BITS, *rest)

    def pack(self) -> bytes:
        """The bytes of it."""
        sizes = (self.content_size * BITS, self.packet_size * BITS)
        times = (self.timestamp_begin, self.timestamp_end)
        counts = (self.packet_seq_num, self.events_discarded, self.monotonic_ns)
        whose = (self.cpu_id, self.events)
        return PACKET_HEADER.pack(MAGIC, 0, self.uuid.bytes, *times, *sizes, *counts, *whose)


def complete(
    data: "_Bytes",
    *,
    records: int,
    timestamp_end: int | None = None,
    finished: bool = True,
) -> bytes:
    """A packet that stands for itself, in a file: without padding behind it.

    data: what a sub-buffer holds, its padding left off; records: how many events those are.
    finished: False: its header is not (see the module); then timestamp_end is the stamp that no
    event in it is after. Raises DamagedPacket.
    """
    view = memoryview(data)
    header = PacketHeader.parse(view) if finished else begun(view)
    if finished and header.content_size != len(view):
        raise DamagedPacket(
            f"the packet says that it holds {header.content_size} bytes, its sub-buffer {len(view)}"
        )
    end = header.timestamp_end if timestamp_end is None else timestamp_end
    whole = replace(
        header,
        timestamp_end=max(header.timestamp_begin, end),
        content_size=len(view),
        packet_size=len(view),
        events=records,
    )
    return whole.pack() + bytes(view[PACKET_HEADER.size :])


def begun(data: "_Bytes") -> PacketHeader:
    """The header as it was at the packet's begin: what a killed finish changed is not believed.

    Raises DamagedPacket.
    """
    view = memoryview(data)
    if len(view) < PACKET_HEADER.size:
        return PacketHeader.parse(view)
    fields = list(PACKET_HEADER.unpack_from(view))
    fields[4], fields[5], fields[11] = fields[3], 0, 0
    return PacketHeader.parse(PACKET_HEADER.pack(*fields))


def opening(uuid: UUID, *, cpu_id: int, timestamp: int, monotonic_ns: int) -> PacketHeader:
    """Of an empty packet before the first one of a stream, when nothing had been lost.

    Readers count losses from packet to packet: so they can say those before the end of the first.
    """
    size = PACKET_HEADER.size
    return PacketHeader(
        uuid, timestamp, timestamp, size, size, NO_NUMBER, 0, monotonic_ns, cpu_id, 0
    )


def again(last: PacketHeader) -> PacketHeader:
    """Of an empty packet that opens the next file of a stream: nothing was lost since the last."""
    size, at = PACKET_HEADER.size, last.timestamp_end
    return replace(last, timestamp_begin=at, content_size=size, packet_size=size, events=0)


def closing(last: PacketHeader, *, events_discarded: int, timestamp: int) -> bytes:
    """An empty packet behind the last one of a stream, for the losses since.

    events_discarded: of the stream, up to now. timestamp: now; it is not before the last one's.
    """
    at = max(timestamp, last.timestamp_end)
    size = PACKET_HEADER.size
    empty = replace(
        last,
        timestamp_begin=at,
        timestamp_end=at,
        content_size=size,
        packet_size=size,
        packet_seq_num=(last.packet_seq_num + 1) % (NO_NUMBER + 1),
        events_discarded=events_discarded,
        events=0,
    )
    return empty.pack()
