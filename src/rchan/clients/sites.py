"""A type of events for each place in a program: what never changes there is in its schema.

A constant is a field too, an enum with one label, so that every reader of a trace shows it; an
event carries a byte or four of it. All constants of a type are stored in one copy.
"""

import hashlib
import re
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from rchan._core import Event
from rchan.clients.template import escaped
from rchan.errors import SchemaConflict, SchemaError
from rchan.events import types
from rchan.events.schema import check_event_name, check_fields
from rchan.events.tracer import Tracer
from rchan.events.types import SCALARS, FieldType

MOST_LABEL: Final = 4096
"""Characters of a constant, at most."""
MOST_TYPES: Final = 32768
"""Event types of a channel, from which on clients add none: the other half is for the user's."""
_LONGEST_NAME: Final = 200
_UNPRINTABLE: Final = re.compile(r"\s")
_BYTE: Final = Struct("=B")
_CODES: Final = {"u8": _BYTE, "u32": Struct("=I"), "i32": Struct("=i")}

Emit = Callable[..., bool]


class Constant(NamedTuple):
    """A field that has one value at its place."""

    name: str
    type: FieldType
    value: int = 0

    @classmethod
    def text(cls, name: str, text: str) -> "Constant":
        """A string; ValueError: too long for a constant."""
        if len(text) > MOST_LABEL:
            raise SchemaError(f"{name} has {len(text)} characters: {MOST_LABEL} is the most")
        return cls(name, types.enum(types.u8, **{escaped(text) or "?": 0}))

    @classmethod
    def labelled(cls, name: str, value: int, label: str) -> "Constant":
        """A number with a name."""
        return cls(name, types.enum(types.i32, **{escaped(label) or "?": value}), value)


def declare(
    tracer: Tracer, name: str, constants: list[Constant], fields: dict[str, FieldType]
) -> tuple[Emit, bytes]:
    """Register a type; returns what writes one, and what to give it before the fields' values.

    If the name stands for other fields in the channel already, it gets a digest of ours behind it:
    the same in every process. Raises SchemaError, and what `Tracer.event` raises.
    """
    if len(tracer._schemas) >= MOST_TYPES:
        raise SchemaError(f"the channel has {len(tracer._schemas)} event types: that is enough")
    given = {constant.name: constant.type for constant in constants}
    if given.keys() & fields.keys():
        raise SchemaError(f"fields are there twice: {sorted(given.keys() & fields.keys())}")
    name = _UNPRINTABLE.sub("_", escaped(name))[:_LONGEST_NAME]
    wanted = check_fields(name, given | fields)
    try:
        schema = _register(tracer, name, wanted)
    except SchemaConflict:
        digest = hashlib.blake2b(repr(wanted).encode("utf-8", "replace"), digest_size=6)
        schema = _register(tracer, f"{name}:{digest.hexdigest()}", wanted)
    stored = b"".join(_CODES[one.type.kind].pack(one.value) for one in constants)
    # Stored alike: fields of one label each, side by side, or the same bytes at once.
    described: list[Any] = [("constants", SCALARS.index("u8"), types.MARK_ROOM, None, len(stored))]
    described += [kind.for_binding(field, tracer._most) for field, kind in fields.items()]
    event = Event._new(tracer.channel, schema.id, schema.name, tuple(described), tracer)
    return event.emit, stored


def _register(tracer: Tracer, name: str, wanted: Any) -> Any:
    name = name.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")
    check_event_name(name)
    (schema,) = tracer._schemas.register(tracer.channel, [(name, wanted, None)])
    return schema


def type_of(value: object, limit: int) -> FieldType | None:
    """The field's type that holds exactly such a value; None: there is none, render it."""
    kind = type(value)
    if kind is str:
        return types.text(limit)
    return _EXACT.get(kind)


_EXACT: Final[dict[type, FieldType]] = {
    int: types.i64,
    float: types.f64,
    bool: types.bool,
    bytes: types.bytes,
}
