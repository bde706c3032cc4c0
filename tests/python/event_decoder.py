"""A small decoder of packets that shares nothing with the package: the format as written down."""

import json
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HEADER = struct.Struct("=II16sQQQQQQQII")
EVENT = struct.Struct("=HQHII")
CODES = {
    **dict(zip(("u8", "u16", "u32", "u64"), "BHIQ", strict=True)),
    **dict(zip(("i8", "i16", "i32", "i64"), "bhiq", strict=True)),
    "f32": "f",
    "f64": "d",
    "bool": "?",
}


@dataclass
class Decoded:
    """One event."""

    name: str
    stamp: int
    cpu: int
    pid: int
    tid: int
    fields: dict[str, Any]


def event_types(channel):
    """The lines of the channel's metadata, by id."""
    lines = channel._metadata(0).decode().splitlines()
    assert json.loads(lines[0]) == {"rchan": "events", "version": 1}
    found = [json.loads(line) for line in lines[1:]]
    assert [line["id"] for line in found] == list(range(len(found)))
    return found


def value_at(data, at, kind):
    """A value and where the next one is."""
    if isinstance(kind, dict) and "array" in kind:
        count = kind.get("length")
        if count is None:
            (count,) = struct.unpack_from("=H", data, at)
            at += 2
        values = []
        for _ in range(count):
            value, at = value_at(data, at, kind["array"])
            values.append(value)
        return values, at
    if isinstance(kind, dict):
        kind = kind["enum"]
    if kind in ("string", "text"):
        end = data.index(b"\0", at)
        return data[at:end].decode(), end + 1
    if kind == "bytes":
        (count,) = struct.unpack_from("=H", data, at)
        return data[at + 2 : at + 2 + count], at + 2 + count
    code = struct.Struct("=" + CODES[kind])
    return code.unpack_from(data, at)[0], at + code.size


def packet(data, types):
    """The events of one sub-buffer."""
    data = bytes(data)
    header = HEADER.unpack_from(data)
    assert header[0] == 0xC1FC1FC1
    at, events = HEADER.size, []
    while at < len(data):
        number, stamp, cpu, pid, tid = EVENT.unpack_from(data, at)
        at += EVENT.size
        fields = {}
        for name, kind in types[number]["fields"]:
            fields[name], at = value_at(data, at, kind)
        events.append(Decoded(types[number]["name"], stamp, cpu, pid, tid, fields))
    assert at == len(data)
    stamps = [header[3], *(event.stamp for event in events)]
    assert stamps == sorted(stamps)
    return events


def snapshot(channel):
    """All events that a channel holds, by buffer in their order."""
    copies = channel.snapshot()
    types = event_types(channel)
    return [event for copy in copies for event in packet(copy.data, types)]


def values(trace, name="event"):
    """The fields of all events of this name, in order."""
    return [event.fields for event in snapshot(trace.channel) if event.name == name]


def babeltrace2(directory, *options):
    """What babeltrace2 prints of a trace directory, and what it says of losses."""
    program = shutil.which("babeltrace2")
    if program is None:
        pytest.skip("babeltrace2 is not installed")
    done = subprocess.run(
        [program, *options, str(directory)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def babeltrace2_by_ctf2(directory, *options):
    """The same, by the CTF 2 metadata beside the other: of a copy that has no other."""
    _needs_babeltrace2(2, 1)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(directory, copy, dirs_exist_ok=True)
        hidden = list(Path(copy).rglob(".metadata.ctf2"))
        assert hidden
        for path in hidden:
            path.replace(path.with_name("metadata"))
        return babeltrace2(copy, *options)


def _needs_babeltrace2(*least):
    lines, _ = babeltrace2("--version")
    found = re.match(r"Babeltrace (\d+)\.(\d+)", lines[0])
    assert found, lines
    if tuple(map(int, found.groups())) < least:
        pytest.skip(f"{found[0]} reads no CTF 2: it takes {least[0]}.{least[1]} or later")
