"""Target, in Python: what describes events, with any bytes in it: types, clock, packets' headers.
Either it is refused, or all that is made of it can be had, and says the same when read again."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any
from uuid import UUID

try:
    import atheris
except ImportError:  # the tests play it without
    from rchan.events import ctf2, packet, schema, sources, tsdl
else:
    with atheris.instrument_imports(include=["rchan.events"]):
        from rchan.events import ctf2, packet, schema, sources, tsdl

import json_change
from script import Input

from rchan import CorruptChannel, DamagedPacket, _core
from rchan.events import types
from rchan.events.clock import Anchor, Clock

FIELDS = {
    "number": types.u32,
    "name": types.string,
    "some": types.array(types.i16),
    "three": types.array(types.f64, 3),
    "raw": types.bytes,
    "how": types.enum(types.u8, good=1, bad=2),
    "yes": types.bool,
}
CLOCK = Clock("monotonic", 1_000_000_000, Anchor(5, 1_000, 2_000), UUID(int=7))


@cache
def metadata() -> bytes:
    """That of two event types, right."""
    lines = [{"rchan": "events", "version": schema.VERSION}]
    text = json.dumps(lines[0]) + "\n"
    for number, fields in enumerate((tuple(FIELDS.items()), (("x", types.u64),))):
        text += schema.EventSchema(number, f"event{number}", fields).to_line()
    return text.encode()


def changed_lines(given: bytes, rest: Input) -> bytes:
    """JSON lines with other values, one change after the other; or other bytes."""
    lines = given.splitlines()
    while rest:
        what, at = rest.number(), rest.number() % max(1, len(lines))
        if what < 200 and lines:
            lines[at] = changed_json(lines[at], rest)
        elif what < 215:
            lines[at : at + 1] = []
        elif what < 230 and lines:
            lines.insert(at, lines[rest.number() % len(lines)])
        else:
            lines.insert(at, rest.bytes(rest.number() % 40))
    return b"\n".join(lines) + b"\n" * (len(lines) > 0 and lines[-1] != b"")


def changed_json(line: bytes, rest: Input) -> bytes:
    try:
        whole: Any = json.loads(line)
    except (ValueError, RecursionError):
        return line[: rest.number()] + rest.bytes(4)
    if isinstance(whole, dict):
        json_change.change(whole, rest.number(), rest.number())
    return json.dumps(whole).encode()


def ask_schemas(schemas: schema.Schemas, clock: Clock) -> None:
    """All that is made of event types and a clock that were accepted."""
    assert schema.Schemas.from_bytes(schemas.to_bytes()).to_bytes() == schemas.to_bytes()
    decoder = _core.Decoder(clock.uuid.bytes, clock.anchor.stamp, 0, clock.frequency)
    sources.add_types(decoder, schemas, None)
    assert decoder.n_types == len(schemas)
    text = tsdl.to_text(schemas, clock)
    again, its_clock = tsdl.from_text(text)
    assert (again.to_bytes(), its_clock) == (schemas.to_bytes(), clock)
    text.encode()
    ctf2.to_bytes(schemas, clock)
    for event in schemas.values():
        assert str(event)
        assert schemas.by_name(event.name) is not None


def play_schemas(rest: Input) -> None:
    ask_schemas(schema.Schemas.from_bytes(changed_lines(metadata(), rest)), CLOCK)


def play_text(rest: Input) -> None:
    """The metadata file of a trace: our lines are in its comments."""
    text = tsdl.to_text(schema.Schemas.from_bytes(metadata()), CLOCK)
    ours = [line[9:-3] for line in text.splitlines() if line.startswith("/* rchan ")]
    lines = changed_lines("\n".join(ours).encode(), rest).decode(errors="replace")
    text = "".join(f"/* rchan {line} */\n" for line in lines.splitlines())
    ask_schemas(*tsdl.from_text(text))


def play_packet(rest: Input) -> None:
    whole = packet.PacketHeader(UUID(int=7), 5, 9, 100, 128, 0, 0, 1_000, 0, 1).pack()
    data = bytearray(whole + rest.bytes(rest.number() % 32))
    while rest:
        at = rest.number() % len(data)
        new = rest.bytes(1 + rest.number() % 8)
        data[at : at + len(new)] = new
    for finished in (True, False):
        try:
            header = packet.PacketHeader.parse(data) if finished else packet.begun(data)
            assert packet.PacketHeader.parse(header.pack()) == header
            assert packet.PacketHeader.parse(
                packet.closing(header, events_discarded=0, timestamp=7)
            )
            made = packet.complete(data, records=1, finished=finished)
            assert packet.PacketHeader.parse(made).content_size == len(data)
        except DamagedPacket as error:
            assert str(error)


PLAYS = (play_schemas, play_text, play_packet)


def play(data: bytes) -> None:
    """The input's first byte says what it is."""
    try:
        PLAYS[data[0] % len(PLAYS) if data else 0](Input(data[1:]))
    except CorruptChannel as error:
        assert str(error)


def main() -> None:
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
