"""Events as slices, instants and counters on the tracks of threads and processes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from rchan.events import EventReader, EventRecord, EventSchema
from rchan.events.types import INTEGERS

FLOW: Final = "flow"
"""An integer field of this name connects the events and spans in which it has the same value."""
VALUE: Final = "value"
"""An event whose one number is a field of this name is a counter."""
_NAMES: Final = ("process_name", "thread_name")
"""Events with a field `name` which names the process or thread that writes them."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A span of time."""

    name: str
    begin_ns: int
    end_ns: int | None
    """None: it had not ended."""
    pid: int
    tid: int
    lane: int
    """0, or, if it overlaps another one of its thread without being inside: one beside it."""
    fields: dict[str, Any] = field(default_factory=dict)
    flow: int | None = None


@dataclass(frozen=True, slots=True)
class Instant:
    """An event that is no part of a span."""

    event: EventRecord
    flow: int | None


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that changes with time."""

    event: EventRecord
    value: int | float


@dataclass(frozen=True, slots=True)
class Name:
    """What a process or (tid) a thread is called from now on."""

    name: str
    pid: int
    tid: int | None


Item = Slice | Instant | Counter | Name
_Span = tuple[str, int]
"""Name and number: two channels that are read together may have the same number."""
_Open = dict[_Span, EventRecord]


def _key(event: EventRecord) -> _Span:
    return event.name.rpartition(":")[0], event.fields["span"]


class _Lanes:
    """Open spans of one thread: in each lane one is inside the other."""

    def __init__(self) -> None:
        self._lanes: list[_Open] = [{}]

    def begin(self, event: EventRecord) -> None:
        self._lanes[0][_key(event)] = event

    def end(self, span: _Span) -> tuple[EventRecord, int] | None:
        """The event that began it and its lane; None: it is not known."""
        for number, lane in enumerate(self._lanes):
            if span in lane:
                inner = list(lane)[list(lane).index(span) + 1 :]
                if inner:  # they go on when this one ends: so they are not inside of it
                    self._lanes.insert(number + 1, {key: lane.pop(key) for key in inner})
                return lane.pop(span), number
        return None

    def rest(self) -> Iterator[tuple[EventRecord, int]]:
        for number, lane in enumerate(self._lanes):
            for event in lane.values():
                yield event, number


def timeline(events: EventReader) -> Iterator[Item]:
    """What is on the tracks; a span comes when it ends, or last if it has not."""
    threads: dict[tuple[int, int], _Lanes] = {}
    for event in events:
        schema = events.schemas.by_name(event.name)
        numbered = isinstance(event.fields.get("span"), int)
        role = schema.span if schema is not None and numbered else None
        lanes = threads.setdefault((event.pid, event.tid), _Lanes()) if role else None
        if lanes is not None and role == "begin":
            lanes.begin(event)
        elif lanes is not None:
            yield _ended(lanes.end(_key(event)), event)
        else:
            yield _single(event, schema)
    for lanes in threads.values():
        for begun, lane in lanes.rest():
            yield _slice(begun, None, lane, {})


def _ended(begun: tuple[EventRecord, int] | None, end: EventRecord) -> Item:
    if begun is None:
        return Instant(end, None)  # its begin was lost
    more = {"failed": True} if end.fields.get("failed") else {}
    return _slice(begun[0], end.time_ns, begun[1], more)


def _slice(begin: EventRecord, end_ns: int | None, lane: int, more: dict[str, Any]) -> Slice:
    fields = {name: value for name, value in begin.fields.items() if name != "span"}
    name = begin.name.removesuffix(":begin")
    where = (begin.pid, begin.tid, lane)
    return Slice(name, begin.time_ns, end_ns, *where, fields | more, _flow(begin))


def _flow(event: EventRecord) -> int | None:
    flow = event.fields.get(FLOW)
    return flow if isinstance(flow, int) and not isinstance(flow, bool) else None


def _single(event: EventRecord, schema: EventSchema | None) -> Item:
    name = event.fields.get("name")
    if event.name in _NAMES and isinstance(name, str):
        return Name(name, event.pid, event.tid if event.name == "thread_name" else None)
    if schema is not None and _is_counter(schema) and VALUE in event.fields:
        return Counter(event, event.fields[VALUE])
    return Instant(event, _flow(event))


def _is_counter(schema: EventSchema) -> bool:
    numbers = [
        name
        for name, kind in schema.fields
        if not kind.is_array and kind.labels is None and kind.kind in (*INTEGERS, "f32", "f64")
    ]
    return numbers == [VALUE]
