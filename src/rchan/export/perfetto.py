"""Perfetto's protobuf: spans are slices, counters, flows; processes and threads have tracks."""

from typing import Any, BinaryIO

from rchan.errors import Unsupported
from rchan.events import EventReader
from rchan.export.plain import plain
from rchan.export.timeline import Counter, Instant, Item, Name, Slice, timeline

try:
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos
except ImportError as error:
    raise Unsupported(
        "the format needs the package perfetto: pip install 'rchan[perfetto]'"
    ) from error

_MASK = 0x7FFFFFFF  # process ids are signed there
_SEQUENCE = 1
_Track = tuple[Any, ...]


def write(events: EventReader, file: BinaryIO) -> None:
    """A Trace message."""
    writer = _Writer(file)
    for item in timeline(events):
        writer.add(item)


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tracks: dict[_Track, int] = {}
        self._names: dict[_Track, str] = {}

    def add(self, item: Item) -> None:
        if isinstance(item, Slice):
            self._slice(item)
        elif isinstance(item, Name):
            self._name(item)
        elif isinstance(item, Counter):
            event = self._event(item.event.time_ns, self._counter(item))
            event.type = protos.TrackEvent.TYPE_COUNTER
            if isinstance(item.value, float) or abs(item.value) >= 1 << 63:
                event.double_counter_value = float(item.value)
            else:
                event.counter_value = item.value
            self._flush()
        else:
            self._instant(item)

    def _slice(self, item: Slice) -> None:
        track = self._thread(item.pid, item.tid, item.lane)
        event = self._event(item.begin_ns, track)
        event.type = protos.TrackEvent.TYPE_SLICE_BEGIN
        event.name = item.name
        _annotate(event, item.fields, item.flow)
        self._flush()
        if item.end_ns is not None:
            event = self._event(item.end_ns, track)
            event.type = protos.TrackEvent.TYPE_SLICE_END
            self._flush()

    def _instant(self, item: Instant) -> None:
        about = item.event
        event = self._event(about.time_ns, self._thread(about.pid, about.tid, 0))
        event.type = protos.TrackEvent.TYPE_INSTANT
        event.name = about.name
        _annotate(event, about.fields, item.flow)
        self._flush()

    # ---- tracks ----

    def _process(self, pid: int) -> int:
        key = ("process", pid)
        if key not in self._tracks:
            self._describe(key)
        return self._tracks[key]

    def _thread(self, pid: int, tid: int, lane: int) -> int:
        key = ("thread", pid, tid, lane)
        if key not in self._tracks:
            self._process(pid)
            self._describe(key)
        return self._tracks[key]

    def _counter(self, item: Counter) -> int:
        key = ("counter", item.event.pid, item.event.name)
        if key not in self._tracks:
            self._process(item.event.pid)
            self._describe(key)
        return self._tracks[key]

    def _name(self, item: Name) -> None:
        whose = ("process", item.pid) if item.tid is None else ("thread", item.pid, item.tid, 0)
        self._names[whose] = item.name
        self._process(item.pid)
        self._describe(whose)

    def _describe(self, key: _Track) -> None:
        """Write what the track is (again, if its name is another)."""
        kind, pid, *rest = key
        uuid = self._tracks.setdefault(key, len(self._tracks) + 1)
        track = self._packet().track_descriptor
        track.uuid = uuid
        if kind == "process":
            track.process.pid = pid & _MASK
            track.process.process_name = self._names.get(key, f"process {pid}")
        elif kind == "counter":
            track.name, track.parent_uuid = rest[0], self._tracks["process", pid]
            track.counter.SetInParent()
        elif rest[1]:  # a lane beside a thread
            track.name = f"thread {rest[0]}, beside"
            track.parent_uuid = self._thread_uuid(pid, rest[0])
        else:
            name = "main" if rest[0] == pid else f"thread {rest[0]}"
            track.thread.pid, track.thread.tid = pid & _MASK, rest[0] & _MASK
            track.thread.thread_name = self._names.get(key, name)
        self._flush()

    def _thread_uuid(self, pid: int, tid: int) -> int:
        return self._tracks.get(("thread", pid, tid, 0), self._tracks["process", pid])

    # ---- packets ----

    def _packet(self) -> Any:
        self._trace = protos.Trace()
        packet = self._trace.packet.add()
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet

    def _event(self, time_ns: int, track: int) -> Any:
        packet = self._packet()
        packet.timestamp = time_ns % 2**64
        packet.track_event.track_uuid = track
        return packet.track_event

    def _flush(self) -> None:
        self._file.write(self._trace.SerializeToString())  # messages one after the other are one


def _annotate(event: Any, fields: dict[str, Any], flow: int | None) -> None:
    for name, value in fields.items():
        note = event.debug_annotations.add()
        note.name = name
        _set_value(note, value)
    if flow is not None:
        event.flow_ids.append(flow % 2**64)


def _set_value(note: Any, value: Any) -> None:
    if isinstance(value, bool):
        note.bool_value = value
    elif isinstance(value, int):
        if value >= 1 << 63:
            note.uint_value = value
        else:
            note.int_value = value
    elif isinstance(value, float):
        note.double_value = value
    elif isinstance(value, list):
        for element in value:
            _set_value(note.array_values.add(), element)
    else:
        note.string_value = plain(value)
