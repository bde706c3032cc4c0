"""Schemas: the event types of a channel, as its metadata describes them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from rchan import _core
from rchan.errors import CorruptChannel, SchemaConflict, SchemaError, WrongType
from rchan.events.types import FieldType

VERSION: Final = 1
MOST_EVENTS: Final = 65535
MOST_FIELDS: Final = 255
_FIRST_LINE: Final = json.dumps({"rchan": "events", "version": VERSION}, separators=(",", ":"))
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)

Role = Literal["begin", "end"] | None
Fields = tuple[tuple[str, FieldType], ...]
# What is raised for metadata that nobody of us wrote.
_DAMAGE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)
Wanted = tuple[str, Fields, Role]
"""Name, fields and role of an event type that has no id yet."""


@dataclass(frozen=True, slots=True)
class EventSchema:
    """One type of events."""

    id: int
    """From 0 to 65,534; in the header of each event."""
    name: str
    fields: Fields
    """Name and type of each, in the order in which they are stored."""
    span: Role = None
    """"begin" or "end": it is one of the two events of a span."""

    def same_as(self, other: "EventSchema") -> bool:
        """Do this and other describe the same, whatever their ids?"""
        return (self.name, self.fields, self.span) == (other.name, other.fields, other.span)

    def to_line(self) -> str:
        """As it stands in the metadata, with its newline."""
        given: dict[str, Any] = {"id": self.id, "name": self.name}
        if self.span is not None:
            given["span"] = self.span
        given["fields"] = [[name, kind.to_json()] for name, kind in self.fields]
        return json.dumps(given, separators=(",", ":"), ensure_ascii=False) + "\n"

    @classmethod
    def from_line(cls, line: str | bytes) -> Self:
        """The reverse of `to_line`; line: one line of metadata.

        Raises ValueError (FieldError, SchemaError), KeyError, TypeError.
        """
        given = json.loads(line)
        id, name, span = given["id"], check_event_name(given["name"]), given.get("span")
        fields = {str(field): FieldType.from_json(kind) for field, kind in given["fields"]}
        if len(fields) != len(given["fields"]):
            raise ValueError(f"event {name!r} has two fields of one name")
        if type(id) is not int or span not in (None, "begin", "end"):
            raise ValueError(f"event {name!r} has the id {id!r:.20} and the role {span!r:.20}")
        return cls(id, name, check_fields(name, fields), span)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}: {kind}' for name, kind in self.fields)})"


def check_event_name(name: object) -> str:
    """The name of an event, if it is one. Raises WrongType, SchemaError."""
    if not isinstance(name, str):
        raise WrongType(f"an event's name must be a str, not {type(name).__name__}")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise SchemaError(f"event name {name!r} contains a surrogate") from None
    if not 1 <= length <= 255:
        shown = repr(name) if length < 30 else f"{name[:20]!r}…"
        raise SchemaError(f"event name {shown} has {length} bytes: it must have 1 to 255")
    if not name.isprintable():
        raise SchemaError(f"event name {name!r} contains a character that cannot be printed")
    return name


def check_fields(event: str, fields: Mapping[str, FieldType]) -> Fields:
    """The fields of an event, if they can be. Raises SchemaError, naming event and field."""
    if len(fields) > MOST_FIELDS:
        raise SchemaError(f"event {event!r} has {len(fields)} fields: {MOST_FIELDS} is the most")
    for name, kind in fields.items():
        if not _IDENTIFIER.match(name) or len(name) > 255:
            raise SchemaError(
                f"event {event!r}: field name {name!r} must be an ASCII identifier that does not "
                "begin with an underscore"
            )
        counted = kind.kind == "bytes" or (kind.is_array and kind.length is None)
        if counted and f"{name}_length" in fields:
            raise SchemaError(
                f"event {event!r}: field '{name}_length' is what readers call the length of "
                f"{name!r}: choose another name"
            )
    return tuple(fields.items())


class Schemas(Mapping[int, EventSchema]):
    """All event types that are known of a channel or trace, by id.

    Threads may share it without a lock: what is added twice is the same.
    """

    def __init__(self) -> None:
        """None yet."""
        self._events: dict[int, EventSchema] = {}
        self._by_name: dict[str, EventSchema] = {}
        self._length = 0  # bytes of metadata that were read

    @classmethod
    def of_channel(cls, channel: _core.Channel) -> Self:
        """Those of a channel, now. Raises CorruptChannel, ChannelClosed."""
        found = cls()
        found.refresh(channel)
        return found

    @classmethod
    def from_bytes(cls, metadata: bytes) -> Self:
        """Those of a channel's metadata that was kept. Raises CorruptChannel."""
        found = cls()
        found._add(0, metadata)
        return found

    def refresh(self, channel: _core.Channel) -> None:
        """Read what has been added to the channel's since. Raises CorruptChannel."""
        length = self._length
        self._add(length, channel._metadata(length))

    def adopt(self, schema: EventSchema) -> None:
        """Add schema under the next number; with several traces more than a channel may have."""
        self._events[len(self._events)] = schema
        self._by_name[schema.name] = schema

    def by_name(self, name: str) -> EventSchema | None:
        """The event type of this name; None: there is none."""
        return self._by_name.get(name)

    def to_bytes(self) -> bytes:
        """The metadata that describes them."""
        return self._text(list(self.values()), first=True).encode()

    def _text(self, events: list[EventSchema], first: bool) -> str:
        head = f"{_FIRST_LINE}\n" if first else ""
        return head + "".join(event.to_line() for event in events)

    def _add(self, offset: int, metadata: bytes) -> None:
        for line in metadata.split(b"\n")[:-1]:
            try:
                if not offset:
                    self._check_first(line)
                else:
                    self._adopt(EventSchema.from_line(line))
            except _DAMAGE as error:
                raise CorruptChannel(
                    f"the list of event types is damaged at byte {offset}: {error}"
                ) from error
            offset += len(line) + 1
            self._length = max(self._length, offset)
        if metadata and not metadata.endswith(b"\n"):
            raise CorruptChannel(f"the list of event types is cut off at byte {offset}")

    @staticmethod
    def _check_first(line: bytes) -> None:
        given = json.loads(line)
        if given["rchan"] != "events" or given["version"] != VERSION:
            raise ValueError(f"it is of version {given['version']}; this rchan reads {VERSION}")

    def _adopt(self, event: EventSchema) -> None:
        if event.id > len(self._events) or not 0 <= event.id < MOST_EVENTS:
            raise ValueError(f"event {event.name!r} has id {event.id}, not {len(self._events)}")
        if self._events.setdefault(event.id, event) != event:
            raise ValueError(f"two events have id {event.id}")
        self._by_name[event.name] = event

    def register(self, channel: _core.Channel, wanted: list[Wanted]) -> list[EventSchema]:
        """Add event types to a channel, all or none, unless they are there already.

        wanted: name, fields and role of each. Returns them as the channel has them. Raises
        SchemaConflict (the name is there with other fields), SchemaError (65,535 are there),
        ChannelBusy, NoSpace, CorruptChannel, ChannelClosed.
        """
        while True:
            self.refresh(channel)
            length = self._length  # before the look at ids: if they are of later, it is refused
            found, fresh = self._sort_out(wanted)
            if not fresh:
                return found
            text = self._text(fresh, first=not length).encode()
            if channel._append_metadata(length, text):
                self._add(length, text)
                return found

    def _sort_out(self, wanted: list[Wanted]) -> tuple[list[EventSchema], list[EventSchema]]:
        found: list[EventSchema] = []
        fresh: list[EventSchema] = []
        for name, fields, role in wanted:
            event = EventSchema(len(self._events) + len(fresh), name, fields, role)
            there = self._by_name.get(name)
            if there is None:
                fresh.append(event)
            elif not there.same_as(event):
                raise SchemaConflict(
                    f"event {name!r} is registered in this channel as {there}; asked for was "
                    f"{event}: use the same fields everywhere, or another name"
                )
            found.append(there or event)
        if fresh and fresh[-1].id >= MOST_EVENTS:
            raise SchemaError(
                f"the channel has {len(self._events)} event types: {MOST_EVENTS} is the most"
            )
        return found, fresh

    def __getitem__(self, id: int) -> EventSchema:
        return self._events[id]

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._events))

    def __len__(self) -> int:
        return len(self._events)
