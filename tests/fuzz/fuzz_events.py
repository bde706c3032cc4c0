"""Target, in Python: a trace directory with any bytes in its streams, also ones that change.
What is read is accounted for, and the same when it is read again."""

from __future__ import annotations

import sys
from functools import cache
from struct import Struct

try:
    import atheris
except ImportError:  # the tests play it without
    from rchan.events import packet, reading, schema, tsdl
else:
    with atheris.instrument_imports(include=["rchan.events"]):
        from rchan.events import packet, reading, schema, tsdl

from folder import Files, Folder, ground
from fuzz_metadata import CLOCK, metadata
from script import Input

EVENT = Struct("=HQHIIQ")  # of the second type: one number
EVENTS, PACKETS = 3, 4  # events in each packet, packets in each stream


def whole(stream: int, number: int) -> bytes:
    """A packet that is right."""
    first = 10 * number + stream
    data = b"".join(EVENT.pack(1, first + i, stream, 7, 8, i) for i in range(EVENTS))
    size = packet.PACKET_HEADER.size + len(data)
    stamps, sizes = (first, first + 9), (size, size)
    header = packet.PacketHeader(CLOCK.uuid, *stamps, *sizes, number, 0, 1_000, stream, EVENTS)
    return header.pack() + data


@cache
def template() -> Files:
    """Two streams, and what describes them."""
    files = {tsdl.NAME: tsdl.to_text(schema.Schemas.from_bytes(metadata()), CLOCK).encode()}
    for stream in range(2):
        files[f"stream_{stream}"] = b"".join(whole(stream, number) for number in range(PACKETS))
    return files


def changed(rest: Input) -> Files:
    """What the input makes of the streams."""
    files = dict(template())
    while rest:
        what, name = rest.number(), f"stream_{rest.number() % 2}"
        data = bytearray(files[name])
        at = rest.number() * len(data) // 256
        if what % 4 == 0:
            new = rest.bytes(1 + rest.number() % 8)
            data[at : at + len(new)] = new
        elif what % 4 == 1:
            del data[at : at + rest.number()]
        elif what % 4 == 2:
            data[at:at] = rest.bytes(rest.number() % 100)
        else:  # a word of the header of one packet
            size = len(whole(0, 0))
            at = rest.number() % PACKETS * size + rest.number() % 22 * 4
            data[at : at + 4] = rest.number().to_bytes(4, "little")
        files[name] = bytes(data)
    return files


def read(folder: Folder, then: Files | None = None, after: int = 0) -> int:
    """How many events. then: after so many of them, the files become these."""
    count = 0
    with reading.read(folder.path) as reader:
        for event in reader:
            count += 1
            assert event.name in ("event0", "event1")
            if count == after and then is not None:
                folder.store(then)
        report = reader.report
    assert report.events == count
    assert min(report.skipped_bytes, report.skipped_events, report.missing_packets) >= 0
    assert all(line for line in report.lines())
    return count


def play(data: bytes) -> None:
    """The first byte says when it changes: before it is read, or behind that event."""
    folder, rest = ground("trace"), Input(data)
    when = rest.number()
    new = changed(rest)
    if when % 2:
        folder.store(template())
        read(folder, new, when % (2 * EVENTS * PACKETS) + 1)
    else:
        folder.store(new)
        assert read(folder) == read(folder)


def main() -> None:
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
