"""Exports: one suite over all formats, each read back by what others open it with."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from event_decoder import babeltrace2
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos

import rchan
from rchan import events
from rchan.export import FORMATS, export
from rchan.export import text as text_format

COUNT = 50


@pytest.fixture
def shop(channels):
    """Requests in nested spans, a counter, names, flows, block events."""
    with rchan.Tracer("shop", n_buffers=2) as trace:
        trace.event("process_name", name=str)("shop")
        trace.event("thread_name", name=str)("cashier")
        request = trace.event(
            "request", user=rchan.u64, path=str, seconds=float, body=bytes, flow=rchan.u32
        )
        memory = trace.event("memory", value=int)
        state = trace.event("state", state=rchan.enum(rchan.u8, IDLE=0, BUSY=1), n=rchan.array(int))
        block = trace.event(
            "block_rq_issue",
            dev=rchan.u32,
            sector=rchan.u64,
            nr_sector=rchan.u32,
            rwbs=rchan.string,
            comm=rchan.string,
        )
        for i in range(COUNT):
            with trace.span("outer", i=i), trace.span("inner", what="ä\n"):
                request(2**64 - 1 - i, f"/{i}\n\x1b[31m", i / 8, b"\0\xff", i // 2)
            memory(i * 1000)
            state(i % 2, [i] * (i % 3))
            block(8 << 20 | 1, i * 8, 8, "WS", "python")
        yield trace


TOTAL = 2 + COUNT * 8


def arrow_rows(path):
    return {file.stem: pa.ipc.open_file(file).read_all() for file in path.glob("*.arrow")}


def parquet_rows(path):
    return {file.stem: pyarrow.parquet.read_table(file) for file in path.glob("*.parquet")}


def columns_of(tables):
    found = [
        (name, time, user)
        for name, table in tables.items()
        for time, user in zip(
            table["time"].cast("int64").to_pylist(),
            table["user"].to_pylist() if name == "request" else [None] * table.num_rows,
            strict=True,
        )
    ]
    return [(name, user) for name, _, user in sorted(found, key=lambda row: row[1])]


def jsonl_events(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["event"], row["fields"].get("user")) for row in rows]


def text_events(path):
    rows = [line.split(" ", 4)[4] for line in path.read_text().split("\n")[:-1]]
    users = [re.search(r" user=(\d+)", row) for row in rows]
    return [
        (row.split(": ")[0], user and int(user[1])) for row, user in zip(rows, users, strict=True)
    ]


def ctf_events(path):
    return [(e.name, e.fields.get("user")) for e in events.read(path)]


READ_BACK = {
    "ctf": ctf_events,
    "jsonl": jsonl_events,
    "text": text_events,
    "arrow": lambda path: columns_of(arrow_rows(path)),
    "parquet": lambda path: columns_of(parquet_rows(path)),
}


@pytest.mark.parametrize("format", READ_BACK)
def test_all_events_are_there_in_order(shop, tmp_path, format):
    wanted = [(event.name, event.fields.get("user")) for event in events.read(shop.channel)]
    assert len(wanted) == TOTAL
    report = export(shop.channel, format, tmp_path / "out")
    assert report.damage == {}
    assert report.events == TOTAL
    found = READ_BACK[format](tmp_path / "out")
    assert sorted(found, key=str) == sorted(wanted, key=str)
    if format not in ("arrow", "parquet"):  # times of different types may be equal
        assert found == wanted


@pytest.mark.parametrize("format", FORMATS)
def test_of_every_source(shop, tmp_path, format):
    directory = tmp_path / "trace"
    export(shop.channel, "ctf", directory)
    assert export(directory, format, tmp_path / "1").events == TOTAL
    if format != "ctf":
        assert export(shop.channel.snapshot(), format, tmp_path / "2").events == TOTAL
    shop.channel.finalize()
    with shop.channel.tap() as tap:
        assert export(tap, format, tmp_path / "3").events == TOTAL
    with shop.channel.reader() as reader:
        assert export(reader, format, tmp_path / "4").events == TOTAL
    with pytest.raises(rchan.ChannelExists, match="is there already"):
        export(shop.channel, format, tmp_path / "4")


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_left_of_a_failure(channels, tmp_path, format):
    with rchan.create("plain", n_buffers=1) as plain, pytest.raises(rchan.WrongChannel):
        export(plain, format, tmp_path / "out")
    with pytest.raises(rchan.ChannelNotFound):
        export(tmp_path / "nothing", format, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"blktrace"}))
def test_no_events_at_all(trace, tmp_path, format):
    assert export(trace.channel, format, tmp_path / "out").events == 0
    assert (tmp_path / "out").exists()


def test_what_cannot_be(shop, tmp_path):
    with pytest.raises(rchan.WrongType, match="no format 'png'"):
        export(shop.channel, "png", tmp_path / "out")
    with pytest.raises(rchan.WrongType, match="directory of files"):
        export(shop.channel, "arrow", "-")


def test_babeltrace2_reads_it(shop, tmp_path):
    export(shop.channel, "ctf", tmp_path / "out")
    lines, warnings = babeltrace2(tmp_path / "out")
    assert (len(lines), warnings) == (TOTAL, "")


def test_json_of_odd_values(trace, tmp_path):
    trace.event("odd", f=rchan.array(float), b=bytes)([float("nan"), float("inf"), 0.5], b"\0\xff")
    export(trace.channel, "jsonl", tmp_path / "out")
    (row,) = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert row["fields"] == {"f": ["nan", "inf", 0.5], "b": "AP8="}


def test_text_does_not_move_the_cursor(shop, tmp_path):
    export(shop.channel, "text", tmp_path / "out")
    content = (tmp_path / "out").read_text()
    assert "\x1b" not in content
    assert len(content.splitlines()) == TOTAL
    assert 'path="/7\\n\\u001b[31m" seconds=0.875 body=00ff flow=3' in content
    assert text_format.value_text([True, "a", b"\1"]) == '[true, "a", 01]'


def test_file_names_of_any_event(trace, tmp_path):
    for name in ("a/b", "..", "x" * 255, "ä" * 120, "ä" * 119 + "b"):
        trace.event(name)()
    export(trace.channel, "arrow", tmp_path / "out")
    assert len(arrow_rows(tmp_path / "out")) == 5
    assert {file.parent for file in tmp_path.rglob("*.arrow")} == {tmp_path / "out"}


def test_enums_with_numbers_of_their_own(shop, tmp_path):
    export(shop.channel, "arrow", tmp_path / "out")
    table = arrow_rows(tmp_path / "out")["state"]
    assert table["state"].to_pylist() == ["IDLE", "BUSY"] * (COUNT // 2)
    assert table["n"].to_pylist() == [[i] * (i % 3) for i in range(COUNT)]


# ---- timelines ----


def test_chrome(shop, tmp_path):
    export(shop.channel, "chrome", tmp_path / "out")
    found = json.loads((tmp_path / "out").read_text())["traceEvents"]
    by_phase = {}
    for item in found:
        by_phase.setdefault(item["ph"], []).append(item)
    assert [item["args"]["name"] for item in by_phase["M"]] == ["shop", "cashier"]
    assert [item["args"]["value"] for item in by_phase["C"]] == [i * 1000 for i in range(COUNT)]
    spans = by_phase["X"]
    assert [item["name"] for item in spans] == ["inner", "outer"] * COUNT
    assert spans[1]["args"] == {"i": 0}
    assert spans[1]["ts"] <= spans[0]["ts"]
    assert spans[1]["ts"] + spans[1]["dur"] >= spans[0]["ts"] + spans[0]["dur"] - 0.001
    assert (len(by_phase["s"]), len(by_phase["t"])) == (COUNT // 2, COUNT // 2)
    assert len(by_phase["i"]) == 3 * COUNT


def perfetto(path):
    trace = protos.Trace()
    trace.ParseFromString(path.read_bytes())
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet}
    return tracks, [p for p in trace.packet if p.HasField("track_event")]


def test_perfetto(shop, tmp_path):
    export(shop.channel, "perfetto", tmp_path / "out")
    tracks, packets = perfetto(tmp_path / "out")
    assert {t.process.process_name for t in tracks.values() if t.HasField("process")} == {"shop"}
    assert {t.thread.thread_name for t in tracks.values() if t.HasField("thread")} == {"cashier"}
    (counter,) = [t for t in tracks.values() if t.HasField("counter")]
    assert (counter.name, tracks[counter.parent_uuid].process.process_name) == ("memory", "shop")
    kind = protos.TrackEvent
    values = [
        p.track_event.counter_value for p in packets if p.track_event.type == kind.TYPE_COUNTER
    ]
    assert values == [i * 1000 for i in range(COUNT)]
    depth, names = 0, []
    for packet in sorted(packets, key=lambda p: p.timestamp):
        event = packet.track_event
        depth += {kind.TYPE_SLICE_BEGIN: 1, kind.TYPE_SLICE_END: -1}.get(event.type, 0)
        assert 0 <= depth <= 2
        names += [event.name] * (event.type == kind.TYPE_SLICE_BEGIN)
    assert (depth, names) == (0, ["outer", "inner"] * COUNT)
    requests = [p.track_event for p in packets if p.track_event.name == "request"]
    assert [list(r.flow_ids) for r in requests] == [[i // 2] for i in range(COUNT)]
    notes = {n.name: n for n in requests[0].debug_annotations}
    assert notes["user"].uint_value == 2**64 - 1
    assert notes["body"].string_value == "AP8="


def test_spans_that_overlap_and_that_do_not_end(trace, tmp_path):
    """Two tasks in one thread: the second begins inside of the first and ends after it."""
    first, second = trace.span("first"), trace.span("second")
    endless = trace.span("endless")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(ValueError, ValueError(), None)
    endless.__enter__()
    export(trace.channel, "chrome", tmp_path / "chrome")
    found = json.loads((tmp_path / "chrome").read_text())["traceEvents"]
    assert [(item["name"], item["ph"]) for item in found] == [
        *(("first", "X"), ("second", "X"), ("endless", "B"))
    ]
    assert found[0]["tid"] != found[1]["tid"]
    assert found[1]["args"] == {"failed": True}
    export(trace.channel, "perfetto", tmp_path / "perfetto")
    tracks, packets = perfetto(tmp_path / "perfetto")
    begun = {p.track_event.name: p.track_event.track_uuid for p in packets}
    assert begun["first"] != begun["second"]
    assert tracks[begun["second"]].parent_uuid == begun["first"]
    endless.__exit__(None, None, None)


# ---- blktrace ----


def test_blkparse_reads_it(shop, tmp_path):
    program = shutil.which("blkparse")
    if program is None:
        pytest.skip("blkparse is not installed")
    export(shop.channel, "blktrace", tmp_path / "out")
    done = subprocess.run(
        [program, "-D", str(tmp_path / "out"), "-i", "trace"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("8,1")]
    assert len(rows) == COUNT, done.stdout + done.stderr
    assert [(row[5], row[6], int(row[7]), row[9], row[10]) for row in rows] == [
        ("D", "WS", i * 8, "8", "[python]") for i in range(COUNT)
    ]


def test_no_block_events(trace, tmp_path):
    trace.event("event")()
    with pytest.raises(rchan.Unsupported, match="no block events"):
        export(trace.channel, "blktrace", tmp_path / "out")
    assert not Path(tmp_path / "out").exists()


# ---- extras ----


@pytest.mark.parametrize(
    ("format", "package", "extra"),
    [
        ("arrow", "pyarrow", "arrow"),
        ("parquet", "pyarrow", "arrow"),
        ("perfetto", "perfetto", "perfetto"),
    ],
)
def test_without_the_package(shop, tmp_path, format, package, extra):
    """The message says what to install; nothing is left."""
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from rchan.cli.main import main\n"
        f"sys.exit(main(['export', 'shop', '-f', {format!r}, '-o', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert f"pip install 'rchan[{extra}]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
