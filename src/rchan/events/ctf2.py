"""The metadata of a trace in the Common Trace Format 2: a sequence of JSON fragments."""

import json
import socket
from sys import byteorder
from typing import Any, Final

from rchan.events.clock import DESCRIPTIONS, Clock
from rchan.events.schema import EventSchema, Schemas
from rchan.events.types import FieldType

_RECORD_SEPARATOR: Final = b"\x1e"
_NS: Final = 1_000_000_000
_ORDER: Final = {"little": "little-endian", "big": "big-endian"}[byteorder]
_STAMP_ROLES: Final = {
    "timestamp_begin": "default-clock-timestamp",
    "timestamp_end": "packet-end-default-clock-timestamp",
    "content_size": "packet-content-length",
    "packet_size": "packet-total-length",
    "packet_seq_num": "packet-sequence-number",
    "events_discarded": "discarded-event-record-counter-snapshot",
}

_Json = dict[str, Any]


def _unsigned(bits: int, *roles: str) -> _Json:
    number = _number("fixed-length-unsigned-integer", bits)
    return number | ({"roles": list(roles)} if roles else {})


def _number(kind: str, bits: int) -> _Json:
    return {"type": kind, "length": bits, "byte-order": _ORDER, "alignment": 8}


def _member(name: str, field: _Json) -> _Json:
    return {"name": name, "field-class": field}


def _structure(*members: _Json) -> _Json:
    return {"type": "structure", "member-classes": list(members), "minimum-alignment": 8}


def _scalar(kind: FieldType) -> _Json:
    if kind.kind in ("string", "text"):
        return {"type": "null-terminated-string", "encoding": "utf-8"}
    if kind.kind == "bool":
        return _number("fixed-length-boolean", 8)
    if kind.kind[0] == "f":
        return _number("fixed-length-floating-point-number", int(kind.kind[1:]))
    sign = "signed" if kind.kind[0] == "i" else "unsigned"
    integer = _number(f"fixed-length-{sign}-integer", int(kind.kind[1:]))
    if kind.labels is not None:
        mappings: dict[str, list[list[int]]] = {}
        for label, number in kind.labels:
            if label:  # JSON has "" as a name; babeltrace2 2.1 refuses the whole trace for one
                mappings.setdefault(label, []).append([number, number])
        integer["mappings"] = mappings
    return integer


def _field(name: str, kind: FieldType) -> list[_Json]:
    if kind.is_array and kind.length is not None:
        array = {"type": "static-length-array", "length": kind.length}
        return [_member(name, array | {"element-field-class": _scalar(kind)})]
    if not kind.is_array and kind.kind != "bytes":
        return [_member(name, _scalar(kind))]
    length = f"{name}_length"
    where = {"origin": "event-record-payload", "path": [length]}
    if kind.is_array:
        value = {"type": "dynamic-length-array", "element-field-class": _scalar(kind)}
    else:
        value = {"type": "dynamic-length-blob"}
    value["length-field-location"] = where
    return [_member(length, _unsigned(16)), _member(name, value)]


def _event(event: EventSchema) -> _Json:
    members = [member for name, kind in event.fields for member in _field(name, kind)]
    return {
        "type": "event-record-class",
        "id": event.id,
        "name": event.name,
        "payload-field-class": _structure(*members),
    }


def _trace(clock: Clock, name: str) -> _Json:
    uuid = {"type": "static-length-blob", "length": 16, "roles": ["metadata-stream-uuid"]}
    return {
        "type": "trace-class",
        "name": name,
        "uid": str(clock.uuid),
        "environment": {
            "hostname": socket.gethostname(),
            "domain": "rchan",
            "tracer_name": "rchan",
            "trace_name": name,
            "clock_kind": clock.kind,
        },
        "packet-header-field-class": _structure(
            _member("magic", _unsigned(32, "packet-magic-number")),
            _member("stream_id", _unsigned(32, "data-stream-class-id")),
            _member("uuid", uuid),
        ),
    }


def _clock(clock: Clock) -> _Json:
    seconds, ns = divmod(clock.offset_ns, _NS)
    return {
        "type": "clock-class",
        "id": clock.kind,
        "name": clock.kind,
        "description": DESCRIPTIONS[clock.kind],
        "frequency": clock.frequency,
        "origin": "unix-epoch",
        "offset-from-origin": {"seconds": seconds, "cycles": ns * clock.frequency // _NS},
    }


def _stream(clock: Clock) -> _Json:
    context = [
        _member(name, _unsigned(64, role) if role else _unsigned(64))
        for name, role in (*_STAMP_ROLES.items(), ("monotonic_ns", ""))
    ]
    return {
        "type": "data-stream-class",
        "id": 0,
        "default-clock-class-id": clock.kind,
        "packet-context-field-class": _structure(
            *context, _member("cpu_id", _unsigned(32)), _member("events", _unsigned(32))
        ),
        "event-record-header-field-class": _structure(
            _member("id", _unsigned(16, "event-record-class-id")),
            _member("timestamp", _unsigned(64, "default-clock-timestamp")),
        ),
        "event-record-common-context-field-class": _structure(
            _member("cpu", _unsigned(16)),
            _member("pid", _unsigned(32)),
            _member("tid", _unsigned(32)),
        ),
    }


def to_bytes(schemas: Schemas, clock: Clock, name: str = "") -> bytes:
    """The metadata stream: a JSON text sequence (RFC 7464). Arguments as of `tsdl.to_text`."""
    preamble = {"type": "preamble", "version": 2, "uuid": list(clock.uuid.bytes)}
    fragments: list[_Json] = [preamble, _trace(clock, name), _clock(clock), _stream(clock)]
    fragments += [_event(event) for event in schemas.values()]
    for fragment in fragments[4:]:
        fragment["data-stream-class-id"] = 0
    return b"".join(
        _RECORD_SEPARATOR + json.dumps(fragment, ensure_ascii=False).encode() + b"\n"
        for fragment in fragments
    )
