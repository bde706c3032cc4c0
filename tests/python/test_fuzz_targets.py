"""The fuzz targets in Python (that of recordings apart): any bytes, and the stored corpus."""

import atexit
import json
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rchan

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

import fuzz_events
import fuzz_metadata
import fuzz_mount

from rchan.events import schema, tsdl

CORPUS = Path(__file__).parents[1] / "fuzz/corpus"
TARGETS = {"events": fuzz_events, "metadata": fuzz_metadata, "mount": fuzz_mount}


@pytest.fixture
def let_go():
    """What the target of the mount keeps for its next input."""
    yield
    if fuzz_mount.channel.cache_info().currsize:
        made = fuzz_mount.channel()
        made.close()
        atexit.unregister(made.close)  # which holds it
        fuzz_mount.channel.cache_clear()


@pytest.mark.parametrize("name", TARGETS)
def test_the_stored_corpus(name: str, let_go: None) -> None:
    paths = sorted((CORPUS / name).iterdir())
    assert paths
    for path in paths:
        try:
            TARGETS[name].play(path.read_bytes())
        except BaseException as error:
            error.add_note(f"input: {path.name}")
            raise


@given(data=st.binary(max_size=60))
@settings(max_examples=100)
def test_any_metadata(data: bytes) -> None:
    fuzz_metadata.play(data)


@given(data=st.binary(max_size=60))
@settings(max_examples=60)
def test_any_streams(data: bytes) -> None:
    fuzz_events.play(data)


def test_the_streams_that_are_changed_are_right() -> None:
    folder = fuzz_events.ground("trace")
    folder.store(fuzz_events.template())
    assert fuzz_events.read(folder) == 2 * fuzz_events.EVENTS * fuzz_events.PACKETS


def test_any_requests(let_go: None) -> None:
    @given(data=st.binary(max_size=60))
    @settings(max_examples=60)
    def play(data: bytes) -> None:
        fuzz_mount.play(data)

    play()


def test_the_metadata_that_is_changed_is_right() -> None:
    """Else the target would see only what is refused at once."""
    schemas = schema.Schemas.from_bytes(fuzz_metadata.metadata())
    assert len(schemas) == 2
    fuzz_metadata.ask_schemas(schemas, fuzz_metadata.CLOCK)


def test_the_requests_that_come_first_are_right() -> None:
    """The mount's target says hello, and has three files open."""
    kernel = fuzz_mount.Kernel(fuzz_mount.ground())
    try:
        with rchan.create("app", parent=fuzz_mount.ground(), n_buffers=1) as channel:
            channel.write(b"data")
            fuzz_mount.begin(kernel)
            assert kernel.session.ready
            body = fuzz_mount.protocol.READ_IN.pack(1, 0, 64, 2, 0, 0, 0)
            size = fuzz_mount.HEAD.size + len(body)
            asked = fuzz_mount.header(fuzz_mount.Op.READ, 2, size) + body
            kernel.session.handle(bytearray(asked), size)
            [answer] = kernel.answers()
            assert answer == struct.pack("<IiQ", 16 + 4, 0, 7) + b"data"
    finally:
        kernel.close()


# ---- what the campaigns found: refused, not another exception ----

LINE = {"id": 0, "name": "event", "fields": [["x", "u64"]]}


@pytest.mark.parametrize(
    "changed",
    [
        {"id": True},
        {"id": "0"},
        {"name": ""},
        {"name": "\ud800"},
        {"name": 5},
        {"span": []},
        {"span": "middle"},
        {"fields": [["x", "u64"], ["x", "u8"]]},
        {"fields": [["9", "u64"]]},
        {"fields": [[f"f{i}", "u8"] for i in range(256)]},
        {"fields": [["x", {"array": "u8", "length": 10**400}]]},
        {"fields": [["x", {"array": {"array": "u8"}}]]},
        {"fields": [["x", {"enum": "u8", "labels": {"a": 10**400}}]]},
    ],
    ids=str,
)
def test_a_line_that_describes_no_event(changed: dict[str, object]) -> None:
    first = fuzz_metadata.metadata().splitlines()[0]
    text = first + b"\n" + json.dumps(LINE | changed).encode() + b"\n"
    with pytest.raises(rchan.CorruptChannel, match="list of event types is damaged at byte"):
        schema.Schemas.from_bytes(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"frequency": 0},
        {"frequency": 2**64},
        {"frequency": "1"},
        {"anchor": [0, 10**400, 0]},
        {"anchor": [2**64, 0, 0]},
        {"anchor": [0, 0]},
        {"uuid": 5},
        {"clock": "sun"},
        {"clock": []},
    ],
    ids=str,
)
def test_a_clock_that_cannot_be(changed: dict[str, object]) -> None:
    text = tsdl.to_text(schema.Schemas.from_bytes(fuzz_metadata.metadata()), fuzz_metadata.CLOCK)
    ours = next(line for line in text.splitlines() if line.startswith("/* rchan "))
    clock = json.loads(ours[9:-3]) | changed
    with pytest.raises(rchan.CorruptChannel, match="describes no clock"):
        tsdl.from_text(text.replace(ours, f"/* rchan {json.dumps(clock)} */"))
