"""A reader of CTF 2 that knows nothing of the package: packets are decoded by the metadata alone.

It refuses whatever the specification (CTF2-SPEC-2.0) has no word for: fragments, properties,
field classes, roles and where they may stand.
"""

import json
import struct
from dataclasses import dataclass, field
from typing import Any

FRAGMENTS = {
    "preamble": ({"version"}, {"uuid"}),
    "trace-class": (
        set(),
        {"namespace", "name", "uid", "environment", "packet-header-field-class"},
    ),
    "clock-class": (
        {"id", "frequency"},
        {"namespace", "name", "uid", "description", "precision", "accuracy", "origin"}
        | {"offset-from-origin"},
    ),
    "data-stream-class": (
        set(),
        {"id", "namespace", "name", "uid", "default-clock-class-id", "packet-context-field-class"}
        | {"event-record-header-field-class", "event-record-common-context-field-class"},
    ),
    "event-record-class": (
        set(),
        {"id", "data-stream-class-id", "namespace", "name", "uid"}
        | {"specific-context-field-class", "payload-field-class"},
    ),
}
NUMBER = {"length", "byte-order"}, {"alignment", "bit-order"}
INTEGER = NUMBER[0], NUMBER[1] | {"mappings", "preferred-display-base"}
CLASSES = {
    "fixed-length-unsigned-integer": (INTEGER[0], INTEGER[1] | {"roles"}),
    "fixed-length-signed-integer": INTEGER,
    "fixed-length-boolean": NUMBER,
    "fixed-length-floating-point-number": NUMBER,
    "null-terminated-string": (set(), {"encoding"}),
    "static-length-blob": ({"length"}, {"media-type", "roles"}),
    "dynamic-length-blob": ({"length-field-location"}, {"media-type"}),
    "static-length-array": ({"element-field-class", "length"}, {"minimum-alignment"}),
    "dynamic-length-array": (
        {"element-field-class", "length-field-location"},
        {"minimum-alignment"},
    ),
    "structure": (set(), {"member-classes", "minimum-alignment"}),
}
ROLES = {
    "packet-header-field-class": {
        *("packet-magic-number", "metadata-stream-uuid", "data-stream-class-id", "data-stream-id")
    },
    "packet-context-field-class": {
        *("packet-total-length", "packet-content-length", "default-clock-timestamp"),
        *("packet-end-default-clock-timestamp", "discarded-event-record-counter-snapshot"),
        "packet-sequence-number",
    },
    "event-record-header-field-class": {"event-record-class-id", "default-clock-timestamp"},
}
ORIGINS = {"payload-field-class": "event-record-payload"}
ORDER = {"little-endian": "<", "big-endian": ">"}


def check_properties(given: dict[str, Any], known: tuple[set[str], set[str]]) -> None:
    needed, allowed = known
    names = set(given) - {"type"}
    assert needed <= names <= needed | allowed, (given, names - needed - allowed)


def check_class(given: dict[str, Any], place: str) -> None:
    """The field class of this place of a fragment, and those below it."""
    kind = given["type"]
    check_properties(given, CLASSES[kind])
    assert set(given.get("roles", ())) <= ROLES.get(place, set()), given
    for name in ("alignment", "minimum-alignment"):
        alignment = given.get(name, 1)
        assert alignment > 0
        assert alignment & (alignment - 1) == 0
    if "byte-order" in given:
        assert given["byte-order"] in ORDER
        assert given["length"] in (8, 16, 32, 64)
    if kind == "fixed-length-floating-point-number":
        assert given["length"] in (32, 64)
    assert given.get("encoding", "utf-8") == "utf-8"
    if "metadata-stream-uuid" in given.get("roles", ()):
        assert (kind, given["length"]) == ("static-length-blob", 16)
    for label, ranges in given.get("mappings", {}).items():
        assert label and ranges
        assert all(low <= high for low, high in ranges)
    if "length-field-location" in given:
        location = given["length-field-location"]
        assert set(location) == {"origin", "path"}
        assert location["origin"] == ORIGINS[place]
    if "element-field-class" in given:
        check_class(given["element-field-class"], place)
    names = [member["name"] for member in given.get("member-classes", ())]
    assert len(set(names)) == len(names)
    for member in given.get("member-classes", ()):
        assert set(member) == {"name", "field-class"}
        check_class(member["field-class"], place)


@dataclass
class Metadata:
    """What the fragments say."""

    uuid: bytes = b""
    trace: dict[str, Any] = field(default_factory=dict)
    clocks: dict[str, Any] = field(default_factory=dict)
    streams: dict[int, Any] = field(default_factory=dict)
    events: dict[tuple[int, int], Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: bytes) -> "Metadata":
        """A JSON text sequence: each fragment between a record separator and a line feed."""
        first, *records = text.split(b"\x1e")
        assert first == b""
        found = cls()
        for number, record in enumerate(records):
            assert record.endswith(b"\n")
            fragment = json.loads(record)
            kind = fragment["type"]
            check_properties(fragment, FRAGMENTS[kind])
            assert (kind == "preamble") == (number == 0)
            for name, value in fragment.items():
                if name.endswith("-field-class"):
                    assert value["type"] == "structure"
                    check_class(value, name)
            getattr(found, "_add_" + kind.replace("-", "_"))(fragment)
        return found

    def _add_preamble(self, fragment: dict[str, Any]) -> None:
        assert fragment["version"] == 2
        self.uuid = bytes(fragment["uuid"])
        assert len(self.uuid) == 16

    def _add_trace_class(self, fragment: dict[str, Any]) -> None:
        assert not self.trace and not self.streams
        assert all(isinstance(v, int | str) for v in fragment["environment"].values())
        self.trace = fragment

    def _add_clock_class(self, fragment: dict[str, Any]) -> None:
        assert fragment["origin"] == "unix-epoch"
        offset = fragment["offset-from-origin"]
        assert set(offset) <= {"seconds", "cycles"}
        assert 0 <= offset.get("cycles", 0) < fragment["frequency"]
        assert self.clocks.setdefault(fragment["id"], fragment) is fragment

    def _add_data_stream_class(self, fragment: dict[str, Any]) -> None:
        assert fragment["default-clock-class-id"] in self.clocks
        assert self.streams.setdefault(fragment.get("id", 0), fragment) is fragment

    def _add_event_record_class(self, fragment: dict[str, Any]) -> None:
        key = fragment.get("data-stream-class-id", 0), fragment.get("id", 0)
        assert key[0] in self.streams
        assert self.events.setdefault(key, fragment) is fragment


class Cursor:
    """Decodes fields of a packet, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.roles: dict[str, Any] = {}

    def structure(self, given: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for member in given.get("member-classes", ()):
            values[member["name"]] = self.value(member["field-class"], values)
        return values

    def value(self, given: dict[str, Any], before: dict[str, Any]) -> Any:
        kind = given["type"]
        if kind == "null-terminated-string":
            end = self.data.index(b"\0", self.at)
            text, self.at = self.data[self.at : end].decode(), end + 1
            return text
        length = given.get("length")
        if "length-field-location" in given:
            (name,) = given["length-field-location"]["path"]
            length = before[name]
        if kind.endswith("-blob"):
            self.at += length
            value: Any = self.data[self.at - length : self.at]
        elif kind.endswith("-array"):
            return [self.value(given["element-field-class"], before) for _ in range(length)]
        else:
            value = self._number(given, kind)
        for role in given.get("roles", ()):
            self.roles[role] = value
        return value

    def _number(self, given: dict[str, Any], kind: str) -> Any:
        size = given["length"] // 8
        code = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
        if kind == "fixed-length-signed-integer":
            code = code.lower()
        elif kind == "fixed-length-floating-point-number":
            code = "f" if size == 4 else "d"
        (value,) = struct.unpack_from(ORDER[given["byte-order"]] + code, self.data, self.at)
        self.at += size
        if kind == "fixed-length-boolean":
            return value != 0
        for label, ranges in given.get("mappings", {}).items():
            if any(low <= value <= high for low, high in ranges):
                return label
        return value


def events(
    metadata: Metadata, data: bytes
) -> list[tuple[str, int, dict[str, Any], dict[str, Any]]]:
    """(name, nanoseconds since 1970, common context, payload) of all events in a stream file."""
    found = []
    while data:
        cursor = Cursor(data)
        cursor.structure(metadata.trace["packet-header-field-class"])
        assert cursor.roles["packet-magic-number"] == 0xC1FC1FC1
        assert cursor.roles["metadata-stream-uuid"] == metadata.uuid
        stream_id = cursor.roles["data-stream-class-id"]
        stream = metadata.streams[stream_id]
        cursor.structure(stream["packet-context-field-class"])
        end = cursor.roles["packet-content-length"] // 8
        begin, last = (
            cursor.roles["default-clock-timestamp"],
            cursor.roles["packet-end-default-clock-timestamp"],
        )
        clock = metadata.clocks[stream["default-clock-class-id"]]
        while cursor.at < end:
            cursor.structure(stream["event-record-header-field-class"])
            kind = metadata.events[stream_id, cursor.roles["event-record-class-id"]]
            stamp = cursor.roles["default-clock-timestamp"]
            assert begin <= stamp <= last
            context = cursor.structure(stream["event-record-common-context-field-class"])
            payload = cursor.structure(kind["payload-field-class"])
            offset = clock["offset-from-origin"]
            cycles = offset["cycles"] + stamp
            time_ns = offset["seconds"] * 10**9 + cycles * 10**9 // clock["frequency"]
            found.append((kind["name"], time_ns, context, payload))
        assert cursor.at == end
        data = data[cursor.roles["packet-total-length"] // 8 :]
    return found
