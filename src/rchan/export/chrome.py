"""Chrome trace JSON ("Trace Event Format"): an array of objects, times in microseconds."""

from json import dumps
from typing import Any, BinaryIO

from rchan.events import EventReader
from rchan.export.plain import plain, plain_fields
from rchan.export.timeline import Counter, Instant, Item, Name, Slice, timeline

_LANE = 1 << 32  # what a lane beside a thread adds to its id


def write(events: EventReader, file: BinaryIO) -> None:
    """{"traceEvents": [...]}."""
    flows: set[int] = set()
    before = b'{"displayTimeUnit":"ns","traceEvents":[\n'
    for item in timeline(events):
        for found in _objects(item, flows):
            file.write(before + dumps(found, separators=(",", ":"), allow_nan=False).encode())
            before = b",\n"
    file.write((b"" if before.startswith(b",") else before) + b"\n]}\n")


def _objects(item: Item, flows: set[int]) -> list[dict[str, Any]]:
    if isinstance(item, Slice):
        return _slice(item, flows)
    if isinstance(item, Name):
        kind = "process_name" if item.tid is None else "thread_name"
        return [{"ph": "M", "name": kind, "args": {"name": item.name}} | _who(item.pid, item.tid)]
    event = item.event
    about = {"name": event.name, "ts": event.time_ns / 1000} | _who(event.pid, event.tid)
    if isinstance(item, Counter):
        return [about | {"ph": "C", "args": {"value": plain(item.value)}}]
    assert isinstance(item, Instant)
    found = [about | {"ph": "i", "s": "t", "args": plain_fields(event.fields)}]
    return found + _flow(item.flow, flows, about)


def _slice(item: Slice, flows: set[int]) -> list[dict[str, Any]]:
    about = {"name": item.name, "ts": item.begin_ns / 1000}
    about |= _who(item.pid, item.tid + item.lane * _LANE)
    whole = about | {"args": plain_fields(item.fields)}
    if item.end_ns is None:
        return [whole | {"ph": "B"}, *_flow(item.flow, flows, about)]
    duration = (item.end_ns - item.begin_ns) / 1000
    return [whole | {"ph": "X", "dur": duration}, *_flow(item.flow, flows, about)]


def _who(pid: int, tid: int | None) -> dict[str, Any]:
    return {"pid": pid} if tid is None else {"pid": pid, "tid": tid}


def _flow(flow: int | None, flows: set[int], about: dict[str, Any]) -> list[dict[str, Any]]:
    if flow is None:
        return []
    step = {"ph": "t" if flow in flows else "s", "cat": "flow", "id": str(flow), "name": "flow"}
    flows.add(flow)
    return [about | step]
