"""rchan.events.read: objects and columns, of snapshots, readers, taps and trace directories."""

import gc
import os
import threading
from datetime import UTC, datetime
from itertools import islice

import pytest
from event_decoder import snapshot
from event_values import EVERY, READ, VALUES, Colour
from forking import forked

import rchan
from rchan import events
from rchan.events import ctf


@pytest.fixture
def spread(four_cpus, channels):
    """500 events in each of four buffers, a different type in each, packets of 512 bytes."""
    with rchan.Tracer("app", n_buffers=4, subbuf_size=512, n_subbufs=64) as trace:
        kinds = [trace.event(f"event{i}", number=rchan.u32) for i in range(4)]
        for cpu in range(4):
            trace.channel.prepare_cpu(cpu)
        mask = os.sched_getaffinity(0)
        for number in range(400):
            os.sched_setaffinity(0, {sorted(mask)[number // 7 % len(mask)]})
            assert kinds[number % 4](number)
        os.sched_setaffinity(0, mask)
        yield trace


def numbers(source, **options):
    return [event.fields["number"] for event in events.read(source, **options)]


def test_every_type(trace):
    before = datetime.now(UTC).timestamp()
    trace.event("every", **EVERY)(*VALUES)
    after = datetime.now(UTC).timestamp()
    (event,) = events.read(trace.channel)
    assert event.fields == READ
    assert (event.name, event.pid, event.tid) == ("every", os.getpid(), threading.get_native_id())
    assert before - 0.001 <= event.time.timestamp() <= after + 0.001
    assert event.to_dict()["fields"] == READ


def test_every_type_in_columns(trace, tmp_path):
    written = trace.event("every", **EVERY)
    for _ in range(20):
        written(*VALUES)
    directory = ctf.write_trace(trace.channel, tmp_path)
    table = events.read(directory).tables()["every"]
    table.validate(full=True)
    assert table.column_names[:4] == ["time", "cpu", "pid", "tid"]
    assert table.drop_columns(["time", "cpu", "pid", "tid"]).to_pylist() == [READ] * 20
    assert table["pid"].to_pylist() == [os.getpid()] * 20
    expected = [event.time_ns for event in events.read(directory)]
    assert table["time"].cast("int64").to_pylist() == expected


def test_times_are_those_of_the_clock(trace):
    trace.event("event")()
    reading = events.read(trace.channel)
    (stamp,) = [event.stamp for event in snapshot(trace.channel)]
    assert [event.time_ns for event in reading] == [reading.clock.realtime_ns(stamp)]


def shop(trace):
    """A table of 100 rows, with strings and an enum."""
    event = trace.event("request", user=rchan.u64, path=str, state=Colour, parts=rchan.array(int))
    for number in range(100):
        assert event(number, f"/{number}", Colour.RED, [number, 1])
    return events.read(trace.channel).tables()["request"]


def test_the_arrow_c_stream(trace):
    """What every library of data frames takes, without pyarrow: through Arrow's C interface."""
    pyarrow = pytest.importorskip("pyarrow")
    table = shop(trace)
    capsule = table.__arrow_c_stream__()
    assert "arrow_array_stream" in repr(capsule)
    again = pyarrow.RecordBatchReader._import_from_c_capsule(capsule).read_all()
    assert again.equals(table)


def test_pandas(trace):
    pytest.importorskip("pandas")
    frame = shop(trace).to_pandas()
    assert list(frame["user"]) == list(range(100))
    assert frame["path"][7] == "/7"
    assert str(frame["time"].dt.tz) == "UTC"
    assert list(frame["state"].unique()) == ["RED"]


def test_polars(trace):
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(shop(trace))
    assert frame["user"].sum() == 4950
    assert frame.filter(polars.col("path") == "/7")["parts"].to_list() == [[7, 1]]
    assert polars.DataFrame(shop(trace)).shape == (200, 8)  # by the C interface


def test_duckdb(trace):
    duckdb = pytest.importorskip("duckdb")
    requests = shop(trace)
    asked = 'select sum("user"), max(len(parts)), count(distinct state) from requests'
    assert duckdb.sql(asked).fetchall() == [(4950, 2, 1)]
    assert requests.num_rows == 100


def test_columns_that_have_our_names(trace):
    trace.event("event", cpu=int, cpu_=int, time=str)(1, 2, "x")
    (row,) = events.read(trace.channel).tables()["event"].drop_columns(["time"]).to_pylist()
    assert (row["cpu__"], row["cpu_"], row["time_"]) == (1, 2, "x")


def test_numbers_that_an_enum_does_not_have(trace):
    event = trace.event("event", e=rchan.enum(rchan.u8, A=1, B=2, C=1))
    for value in (1, 2, 1):
        event(value)
    (copy,) = trace.channel.snapshot()
    data = bytearray(copy.data)
    data[-1] = 77
    decoder_of = events.read(trace.channel)
    decoder_of._source._streams[copy.cpu] = iter([[(bytes(data), copy.finished)]])
    assert decoder_of.tables()["event"]["e"].to_pylist() == ["A", "B", "77"]
    again = events.read(trace.channel)
    again._source._streams[copy.cpu] = iter([[(bytes(data), copy.finished)]])
    assert [event.fields["e"] for event in again] == ["A", "B", 77]


# ---- order, sources ----


def test_one_order_over_all_buffers(spread, tmp_path):
    assert numbers(spread.channel) == list(range(400))
    directory = ctf.write_trace(spread.channel, tmp_path)
    with events.read(directory) as reading:
        assert [event.fields["number"] for event in reading] == list(range(400))
        assert reading.report.damage == {}
        assert reading.report.events == 400
    tables = events.read(directory).tables()
    assert [tables[f"event{i}"]["number"].to_pylist() for i in range(4)] == [
        list(range(i, 400, 4)) for i in range(4)
    ]


def test_batches_are_cut(spread):
    batches = list(events.read(spread.channel).batches(rows=100))
    assert sum(batch.num_rows for _, batch in batches) == 400
    assert max(batch.num_rows for _, batch in batches) <= 100
    assert len(batches) == 16


def test_only_some_types(spread):
    reading = events.read(spread.channel, ["event1", "event3", "nothing"])
    assert {event.name for event in reading} == {"event1", "event3"}
    assert reading.report.events == 400
    assert set(events.read(spread.channel, names={"event2"}).tables()) == {"event2"}
    with pytest.raises(rchan.WrongType, match=r"\['event1'\]"):
        events.read(spread.channel, "event1")


def test_a_reader_consumes(spread):
    spread.channel.finalize()
    with spread.channel.reader() as reader:
        assert numbers(reader) == list(range(400))
        assert reader.ended_by == "finalized"
    assert numbers(spread.channel) == list(range(400))  # still there, as a snapshot of all


def test_a_reader_in_time_order(spread):
    with spread.channel.reader(in_time_order=True, flush_interval=0.01) as reader:
        found = islice(events.read(reader), 400)
        assert [event.fields["number"] for event in found] == list(range(400))


def test_a_tap_and_types_that_come_later(trace):
    tap = trace.channel.tap(timeout=0)
    trace.event("one", x=int)(1)
    trace.flush()
    reading = events.read(tap)
    assert [event.name for event in reading] == ["one"]
    trace.event("two", y=str)("z")
    trace.flush()
    assert [(event.name, event.fields) for event in reading] == [("two", {"y": "z"})]
    assert list(reading) == []


def test_follow_until_the_channel_ends(trace):
    event = trace.event("event", number=int)
    got = []

    def follow():
        got.extend(numbers(trace.channel.reader(flush_interval=0.01)))

    follower = threading.Thread(target=follow)
    follower.start()
    for i in range(1000):
        assert event(i)
    trace.channel.finalize()
    follower.join(60)
    assert got == list(range(1000))


def test_processes(trace):
    event = trace.event("event", number=int)
    event(0)
    with forked(lambda: event(1)) as child:
        found = {e.fields["number"]: e.pid for e in events.read(trace.channel)}
    assert found[0] == os.getpid()
    assert found[1] == child


def test_losses_are_told(channels, tmp_path):
    with rchan.Tracer("app", n_buffers=1, subbuf_size=256, n_subbufs=2) as trace:
        event = trace.event("event", x=int)
        written = sum(event(i) for i in range(20))
        directory = ctf.write_trace(trace.channel, tmp_path)
    reading = events.read(directory)
    assert len(list(reading)) == written
    assert reading.report.discarded_events == 20 - written
    assert reading.report.lines() == [f"{20 - written} events were dropped by writers"]


def test_overwritten_packets_are_told(channels):
    with rchan.Tracer("app", n_buffers=1, subbuf_size=256, n_subbufs=2, overwrite=True) as trace:
        event = trace.event("event", number=int)
        tap = trace.channel.tap(timeout=0)
        for i in range(12):
            event(i)
        reading = events.read(tap)
        early = [event.fields["number"] for event in reading]
        for i in range(12, 60):
            event(i)
        late = [event.fields["number"] for event in reading]
        assert early == sorted(early)
        assert late[0] > early[-1] + 1
        assert reading.report.missing_packets > 1


# ---- what cannot be read ----


def test_what_is_no_source(trace, tmp_path):
    with pytest.raises(rchan.WrongType, match="not from a int"):
        events.read(5)
    with pytest.raises(rchan.ChannelNotFound, match="no trace directory"):
        events.read(tmp_path / "nothing")
    with pytest.raises(rchan.ChannelNotFound, match="no file 'metadata'"):
        events.read(tmp_path)
    with rchan.create("plain", n_buffers=1) as plain:
        for source in (plain, plain.snapshot(), plain.reader(), plain.tap()):
            with pytest.raises(rchan.WrongChannel, match="plain records"):
                events.read(source)


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("CTF 1.8", "CTF 1.8", None),
        ('"version":1', '"version":9', "version 9"),
        ('"frequency": ', '"frequency": -', "stamps a second"),
        ("/* rchan", "/* other", "not written by rchan"),
        ('"clock": "', '"clock": "x', "there is no clock"),
        ("byte_order = le", "byte_order = be", "other byte order"),
    ],
)
def test_damaged_metadata(trace, tmp_path, before, after, match):
    trace.event("event")()
    directory = ctf.write_trace(trace.channel, tmp_path)
    path = directory / "metadata"
    path.write_text(path.read_text().replace(before, after))
    if match is None:
        assert len(list(events.read(directory))) == 1
        return
    error = rchan.IncompatibleChannel if "order" in match else rchan.CorruptChannel
    with pytest.raises(error, match=match):
        events.read(directory)


def test_metadata_that_is_no_text(trace, tmp_path):
    directory = ctf.write_trace(trace.channel, tmp_path)
    (directory / "metadata").write_bytes(b"\xff\xfe")
    with pytest.raises(rchan.CorruptChannel, match="damaged"):
        events.read(directory)


def test_files_are_closed(spread, tmp_path, open_files):
    directory = ctf.write_trace(spread.channel, tmp_path)
    with events.read(directory) as reading:
        next(reading)
    del reading
    gc.collect()
