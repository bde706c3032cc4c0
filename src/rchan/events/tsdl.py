"""TSDL: the metadata of a trace in the Common Trace Format 1.8."""

import json
import re
import socket
from sys import byteorder
from typing import Any, Final
from uuid import UUID

from rchan.errors import CorruptChannel, IncompatibleChannel
from rchan.events.clock import DESCRIPTIONS, Anchor, Clock
from rchan.events.schema import EventSchema, Schemas
from rchan.events.types import FieldType

MAGIC_LINE: Final = "/* CTF 1.8 */"
NAME: Final = "metadata"
"""The metadata file's name in a trace directory."""
_NS: Final = 1_000_000_000
_ORDER: Final = {"little": "le", "big": "be"}[byteorder]
_BYTE_ORDER: Final = re.compile(r"^\tbyte_order = (le|be);$", re.MULTILINE)
_OURS: Final = re.compile(r"^/\* rchan (.*) \*/$", re.MULTILINE)

_INTEGERS: Final = [f"{sign}{bits}" for sign in "ui" for bits in (8, 16, 32, 64)]
_ALIASES: Final = "\n".join(
    f"typealias integer {{ size = {kind[1:]}; align = 8; "
    f"signed = {'true' if kind[0] == 'i' else 'false'}; }} := {kind};"
    for kind in _INTEGERS
)
_FLOATS: Final = (
    "typealias floating_point { exp_dig = 8; mant_dig = 24; align = 8; } := f32;\n"
    "typealias floating_point { exp_dig = 11; mant_dig = 53; align = 8; } := f64;"
)

_TRACE: Final = """\
trace {{
	major = 1;
	minor = 8;
	uuid = "{uuid}";
	byte_order = {order};
	packet.header := struct {{
		u32 magic;
		u32 stream_id;
		u8 uuid[16];
	}};
}};

env {{
	hostname = {host};
	domain = "rchan";
	tracer_name = "rchan";
	trace_name = {name};
	clock_kind = "{kind}";
}};

clock {{
	name = "{kind}";
	description = "{description}";
	freq = {frequency};
	offset_s = {seconds};
	offset = {cycles};
	absolute = true;
}};

typealias integer {{
	size = 64; align = 8; signed = false;
	map = clock.{kind}.value;
}} := stamp;

stream {{
	id = 0;
	event.header := struct {{
		u16 id;
		stamp timestamp;
	}};
	event.context := struct {{
		u16 _cpu;
		u32 _pid;
		u32 _tid;
	}};
	packet.context := struct {{
		stamp timestamp_begin;
		stamp timestamp_end;
		u64 content_size;
		u64 packet_size;
		u64 packet_seq_num;
		u64 events_discarded;
		u64 monotonic_ns;
		u32 cpu_id;
		u32 events;
	}};
}};
"""


def quoted(text: str) -> str:
    """A string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _scalar(kind: FieldType) -> str:
    if kind.labels is not None:
        labels = ", ".join(f"{quoted(label)} = {number}" for label, number in kind.labels)
        return f"enum : {kind.kind} {{ {labels} }}"
    if kind.kind == "bool":
        return 'enum : u8 { "false" = 0, "true" = 1 }'
    if kind.kind in ("string", "text"):
        return "string { encoding = UTF8; }"
    return "u8" if kind.kind == "bytes" else kind.kind


def _field(name: str, kind: FieldType) -> str:
    if kind.is_array and kind.length is not None:
        return f"\t\t{_scalar(kind)} _{name}[{kind.length}];\n"
    if kind.is_array or kind.kind == "bytes":
        length = f"__{name}_length"
        return f"\t\tu16 {length};\n\t\t{_scalar(kind)} _{name}[{length}];\n"
    return f"\t\t{_scalar(kind)} _{name};\n"


def _event(event: EventSchema) -> str:
    fields = "".join(_field(name, kind) for name, kind in event.fields)
    return (
        f"\nevent {{\n\tname = {quoted(event.name)};\n\tid = {event.id};\n\tstream_id = 0;\n"
        f"\tfields := struct {{\n{fields}\t}};\n}};\n"
    )


def _ours(line: str) -> str:
    """A comment that holds a line of JSON: a slash may be escaped, so it never ends early."""
    return "/* rchan " + line.rstrip("\n").replace("*/", "*\\/") + " */\n"


def to_text(schemas: Schemas, clock: Clock, name: str = "") -> str:
    """The metadata of a trace: what every CTF 1.8 reader needs, and for us, comments.

    schemas: the event types. clock: what stamps mean. name: of the trace.
    """
    seconds, ns = divmod(clock.offset_ns, _NS)
    head = _TRACE.format(
        uuid=clock.uuid,
        order=_ORDER,
        host=quoted(socket.gethostname()),
        name=quoted(name),
        kind=clock.kind,
        description=DESCRIPTIONS[clock.kind],
        frequency=clock.frequency,
        seconds=seconds,
        cycles=ns * clock.frequency // _NS,
    )
    # The aliases are used by the trace block, but stand behind the magic comment.
    parts = [MAGIC_LINE, "\n\n", _ALIASES, "\n", _FLOATS, "\n\n", head]
    parts += [_event(event) for event in schemas.values()]
    parts.append("\n" + _ours(json.dumps(_clock_to_json(clock))))
    parts += [_ours(line) for line in schemas.to_bytes().decode().splitlines()]
    return "".join(parts)


def from_text(text: str) -> tuple[Schemas, Clock]:
    """What `to_text` was given, out of the comments.

    Raises CorruptChannel: they are not there; IncompatibleChannel: of another byte order.
    """
    lines = _OURS.findall(text)
    if len(lines) < 2:
        raise CorruptChannel("the metadata of this trace was not written by rchan, or is cut off")
    order = _BYTE_ORDER.search(text)
    if order is not None and order[1] != _ORDER:
        raise IncompatibleChannel(
            f"this trace was written by a machine of the other byte order ({order[1]}): read it "
            "with babeltrace2, or on such a machine"
        )
    try:
        clock = _clock_from_json(json.loads(lines[0]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptChannel(f"the metadata describes no clock: {error}") from error
    return Schemas.from_bytes("".join(f"{line}\n" for line in lines[1:]).encode()), clock


def _clock_to_json(clock: Clock) -> dict[str, object]:
    anchor = clock.anchor
    return {
        "clock": clock.kind,
        "frequency": clock.frequency,
        "anchor": [anchor.stamp, anchor.monotonic_ns, anchor.realtime_ns],
        "uuid": str(clock.uuid),
    }


def _clock_from_json(given: Any) -> Clock:
    stamp, monotonic, realtime = given["anchor"]
    kind, frequency = given["clock"], given["frequency"]
    if kind not in DESCRIPTIONS:
        raise ValueError(f"there is no clock {kind!r}")
    if not _is_word(frequency, 1, 2**64) or not _is_word(stamp, 0, 2**64):
        raise ValueError(f"it has {frequency!r:.30} stamps a second, and begins at {stamp!r:.30}")
    if not _is_word(monotonic, -(2**63), 2**63) or not _is_word(realtime, -(2**63), 2**63):
        raise ValueError(f"it begins at {monotonic!r:.30} and {realtime!r:.30} ns")
    return Clock(
        kind,
        frequency,
        Anchor(stamp, monotonic, realtime),
        UUID(str(given["uuid"])),
    )


def _is_word(value: object, least: int, end: int) -> bool:
    return type(value) is int and least <= value < end
