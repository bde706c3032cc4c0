"""Recordings of events: their losses to the last, several channels read as one, at any moment."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import ctf2_reader
import pytest
from cli_calls import call as command
from event_decoder import babeltrace2, babeltrace2_by_ctf2

import rchan
from rchan import events, tracefile
from rchan.export import export
from rchan.recorder import FileOptions, Options, Recorder, Rotation, record

NOW = Options(until_empty=True)


def discarded(said, rotated=False):
    """What babeltrace2 says was lost, in events; of a rotated stream it wonders at each file."""
    assert rotated or "may have" not in said, said
    return sum(int(number) for number in re.findall(r"discarded (\d+) event", said))


def lost(recording):
    return sum(count.records for count in recording.lost.values())


@pytest.fixture
def crowded(four_cpus, channels):
    """Two buffers of two packets."""
    with rchan.Tracer("app", subbuf_size=1024, n_subbufs=2, n_buffers=2) as trace:
        yield trace


def fill(trace, count=1000):
    event = trace.event("event", n=rchan.u32)
    return [number for number in range(count) if event(number)]


def numbers(directory):
    with events.read(directory) as reading:
        return [event.fields["n"] for event in reading], reading.report


# ---- losses behind the last packet ----


def test_babeltrace2_says_all_that_was_lost(crowded, tmp_path):
    """Also what was lost after the last packet of a stream: here that is all of it."""
    written = fill(crowded)
    (done,) = record("app", tmp_path, options=NOW)
    lines, said = babeltrace2(tmp_path)
    assert len(lines) == len(written) == done.records
    assert discarded(said) == lost(done) == 1000 - len(written) > 0
    found, report = numbers(tmp_path)
    assert (found, report.discarded_events) == (written, lost(done))
    assert report.damage == {}
    (checked,) = tracefile.verify(tmp_path)
    assert (checked.problems, checked.damaged, checked.unfinished) == ((), False, False)


def test_it_goes_on_behind_the_end_that_was_told(crowded, tmp_path):
    written = fill(crowded)
    record("app", tmp_path, options=NOW)
    again = fill(crowded, 500)
    (done,) = record("app", tmp_path, options=Options(until_empty=True, append=True))
    lines, said = babeltrace2(tmp_path)
    assert len(lines) == len(written) + len(again)
    assert discarded(said) == lost(done) == 1500 - len(lines)
    assert numbers(tmp_path)[0] == written + again
    assert tracefile.verify(tmp_path)[0].problems == ()


def test_nothing_but_losses(channels, tmp_path):
    """No event fits."""
    with rchan.Tracer("app", subbuf_size=256, n_subbufs=2, n_buffers=1) as trace:
        event = trace.event("event", data=rchan.bytes)
        assert [event(bytes(500)) for _ in range(5)] == [False] * 5
        (done,) = record("app", tmp_path, options=NOW)
    lines, said = babeltrace2(tmp_path)
    assert (lines, lost(done)) == ([], 5)
    assert "iscarded" in said
    assert numbers(tmp_path)[1].discarded_events == 5


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_rotated_files_are_one_stream(channels, tmp_path, compression):
    """babeltrace2 takes each file for a stream of its own; we do not."""
    options = Options(
        until_empty=True, rotation=Rotation(subbufs=1), files=FileOptions(compression=compression)
    )
    with rchan.Tracer("app", subbuf_size=512, n_subbufs=2, n_buffers=1) as trace:
        written = fill(trace, 100)
        record("app", tmp_path, options=options)
        again = fill(trace, 50)
        (done,) = record(
            "app",
            tmp_path,
            options=Options(
                until_empty=True, append=True, rotation=options.rotation, files=options.files
            ),
        )
    found, report = numbers(tmp_path)
    assert found == written + again
    assert (report.discarded_events, report.damage) == (lost(done), {})
    assert len(list((tmp_path / "app").glob("app.0*"))) > 3
    assert tracefile.verify(tmp_path)[0].problems == ()
    if compression is None:
        lines, said = babeltrace2(tmp_path)
        assert len(lines) == len(found)
        assert discarded(said, rotated=True) == lost(done)


def test_metadata_is_ahead_of_packets(channels, tmp_path):
    """A type that appears just after the recorder looked is in no packet that it moves."""
    with rchan.Tracer("app", subbuf_size=512, n_subbufs=8, n_buffers=1) as trace:
        recorder = Recorder("app", tmp_path)
        assert (tmp_path / "app" / "metadata").exists()  # from the start
        segment = recorder._active[0]
        renew, made = segment.drain._prepare, []

        def renew_and_register():
            renew()
            made.append(trace.event(f"late{len(made)}", n=rchan.u32))
            assert made[-1](len(made))
            trace.flush()

        segment.drain._prepare = renew_and_register

        def stop():
            reading = events.read(tmp_path)  # as if the recorder were killed now
            assert [event.name for event in reading] == [
                f"late{n}" for n in range(max(0, len(made) - 1))
            ]
            assert reading.report.damage == {}
            return len(made) > 5

        recorder.run(stop)
    assert len(numbers(tmp_path)[0]) >= 6


def test_ctf_2_beside_a_recording(crowded, tmp_path):
    """Another reader, which goes by the CTF 2 metadata alone, finds the same."""
    written = fill(crowded)
    assert command("record", "--ctf2", "--until-empty", "-o", str(tmp_path), "app").status == 0
    place = tmp_path / "app"
    metadata = ctf2_reader.Metadata.parse((place / ".metadata.ctf2").read_bytes())
    streams = [(place / f"app.{n}").read_bytes() for n in (0, 1)]
    found = [event for data in streams for event in ctf2_reader.events(metadata, data)]
    assert sorted(payload["n"] for _, _, _, payload in found) == written
    assert len(babeltrace2(tmp_path)[0]) == len(written)


def test_babeltrace2_says_the_same_by_ctf_2(crowded, tmp_path):
    """Two channels of one recording: what was written, and all that was lost."""
    written = fill(crowded)
    with rchan.Tracer("other", n_buffers=1) as other:
        assert other.event("note", text=str)("there")
        done = command("record", "--ctf2", "--until-empty", "-o", str(tmp_path), "app", "other")
        assert done.status == 0
    lines, said = babeltrace2_by_ctf2(tmp_path)
    assert sum(" event: " in line for line in lines) == len(written) == len(lines) - 1
    assert discarded(said) == 1000 - len(written) > 0
    before, said_before = babeltrace2(tmp_path)
    assert lines == before
    assert discarded(said_before) == discarded(said)


# ---- the directory of a recording ----


@pytest.fixture
def shops(channels, tmp_path):
    """Two channels of events and one of none, recorded; numbers alternate between the two."""
    with rchan.Tracer("a") as one, rchan.Tracer("b") as two, rchan.create("plain") as plain:
        plain.write(b"no event")
        left, right = one.event("event", n=rchan.u32), two.event("event", n=rchan.u32)
        text, real = one.event("other", x=rchan.text), two.event("other", x=rchan.f64)
        for number in range(0, 20, 2):
            assert left(number)
            assert right(number + 1)
        with one.span("work"), two.span("work"):
            text("é")
            real(0.5)
        record(["a", "b", "plain"], tmp_path / "run", options=NOW)
    return tmp_path / "run"


def test_all_channels_of_a_recording_by_time(shops):
    with events.read(shops) as reading:
        found = list(reading)
    assert [e.fields["n"] for e in found if e.name == "event"] == list(range(20))
    assert [e.time_ns for e in found] == sorted(e.time_ns for e in found)
    assert reading.report.events == len(found) == 26
    assert [event["event"] for event in events.read(shops, ["other"]).dicts()] == ["other"] * 2
    assert len(list(events.read(shops / "a"))) == 13
    tables = events.read(shops).tables()
    assert tables["event"]["n"].to_pylist() == list(range(20))
    assert tables["other"]["x"].to_pylist() == ["é"]
    assert tables["b:other"]["x"].to_pylist() == [0.5]
    assert {schema.name for schema in events.read(shops).schemas.values()} == set(tables)


@pytest.mark.parametrize("name", [".", "a"])
def test_the_command_takes_either(shops, name):
    done = command("events", "--json", str(shops / name))
    assert len(done.json_lines) == (26 if name == "." else 13)
    assert done.status == 0


@pytest.mark.parametrize("format", ["perfetto", "chrome", "jsonl", "parquet", "arrow", "text"])
def test_exports_take_it(shops, tmp_path, format):
    out = tmp_path / "out"
    assert command("export", str(shops), "-f", format, "-o", str(out)).status == 0
    if format == "chrome":
        spans = [one for one in json.loads(out.read_text())["traceEvents"] if one["ph"] == "X"]
        assert len(spans) == 2
    if format in ("parquet", "arrow"):
        assert len(list(out.iterdir())) == 5


def test_a_channel_that_was_made_anew(channels, tmp_path):
    for first in (0, 100):
        with rchan.Tracer("app", n_buffers=1) as trace:
            trace.event("event", n=rchan.u32)(first)
            record("app", tmp_path, options=Options(until_empty=True, append=True))
        rchan.remove("app")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app", "app~2"]
    assert numbers(tmp_path)[0] == [0, 100]


def test_several_looks_at_one_channel_are_not_added_up(trace, tmp_path):
    trace.event("event")()
    for name in ("snapshot-1", "snapshot-2"):
        events.ctf.write_trace(trace.channel, tmp_path / name)
    with pytest.raises(rchan.WrongType, match=r"snapshot-1, snapshot-2.*name one"):
        events.read(tmp_path)
    done = command("events", str(tmp_path))
    assert (done.status, len(done.err.splitlines())) == (1, 1)


def test_no_trace_in_it(channels, tmp_path):
    with rchan.create("plain") as plain:
        plain.write(b"x")
        record("plain", tmp_path, options=NOW)
    with pytest.raises(rchan.ChannelNotFound, match="no file 'metadata'"):
        events.read(tmp_path)


# ---- a recorder that is killed ----

PROGRAM = """
import json, logging, os, signal, sys
log = logging.getLogger("app")
log.setLevel(20)
said = [f"message {n}" for n in range(2000)]
for n, text in enumerate(said):
    log.info("message %d", n)
    if n == 1000:
        os.kill(os.getppid(), signal.SIGKILL)
print(json.dumps(said), flush=True)
"""


def test_rchan_run_that_is_killed(channels, tmp_path):
    """What it had recorded is a trace; the rest is in the channel, and is recorded by the next."""
    out = tmp_path / "out"
    run = [sys.executable, "-m", "rchan.cli", "run", "--subbuf-size", "16K", "-o", str(out), "--"]
    with subprocess.Popen([*run, sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())  # of the program, which goes on
        assert process.wait(60) == -9
    (place,) = out.iterdir()
    with events.read(out) as reading:
        early = [e for e in reading if e.name.startswith("log:app:")]
        cut = reading.report.damage
    assert command("verify", str(out)).status == 9
    whole = tmp_path / "whole"  # babeltrace2 takes no trace whose last packet is cut off
    assert command("export", "-f", "ctf", "-o", str(whole), str(out)).status == 0
    lines = [line for line in babeltrace2(whole)[0] if " log:app:" in line]
    assert len(lines) == len(early) if not cut else len(lines) <= len(early)
    done = command("record", "--until-empty", "-o", str(out), place.name)
    assert done.status == 0, done.err
    assert command("verify", str(out)).status == 0
    found = [
        int(line.rpartition("arg0 = ")[2].split()[0])
        for line in babeltrace2(out)[0]
        if " log:app:" in line
    ]
    assert found == list(range(len(said)))
    assert 0 < len(early) < len(found) or early == []
    rchan.remove(place.name)


# ---- for readers that give up at the first damage ----


@pytest.fixture
def recorded(channels, tmp_path):
    """80 events in many packets, the files of the stream rotated and compressed or not."""

    def make(**options):
        with rchan.Tracer("app", subbuf_size=512, n_subbufs=16, n_buffers=1) as trace:
            assert len(fill(trace, 80)) == 80
            record("app", tmp_path / "run", options=Options(until_empty=True, **options))
        return tmp_path / "run"

    return make


@pytest.mark.parametrize("padding", [True, False])
def test_a_cut_off_recording_as_ctf(recorded, tmp_path, padding):
    """As a write that kill -9 cut leaves it: in the padding of the last packet, or before it."""
    run = recorded()
    stream = run / "app" / "app.0"
    os.truncate(stream, stream.stat().st_size - (1 if padding else 512 - 150))
    with pytest.raises(AssertionError, match="Invalid packet size"):
        babeltrace2(run)
    lost, damage = (0, {}) if padding else (12, {"truncated": 1})
    assert export(run, "ctf", tmp_path / "out").damage == damage
    lines, said = babeltrace2(tmp_path / "out")
    assert (len(lines), said) == (80 - lost, "")
    found, report = numbers(tmp_path / "out")
    assert (found, report.damage) == (list(range(80 - lost)), {})


def test_a_rotated_and_compressed_recording_as_ctf(recorded, tmp_path):
    """babeltrace2 reads no zstd, and takes each file for a stream of its own."""
    pytest.importorskip("zstandard")
    run = recorded(rotation=Rotation(subbufs=1), files=FileOptions(compression="zstd"))
    assert len(list((run / "app").glob("app.0*"))) > 3
    assert export(run, "ctf", tmp_path / "out").events == 80
    assert sorted(path.name for path in (tmp_path / "out" / "app").iterdir()) == [
        "app.0",
        "metadata",
    ]
    lines, said = babeltrace2(tmp_path / "out")
    assert (len(lines), said) == (80, "")
    with events.read(tmp_path / "out") as reading:
        assert len(list(reading)) == 80
        assert reading.report.missing_packets == 0


@pytest.mark.parametrize("seed", range(12))
def test_any_damage_as_ctf(recorded, tmp_path, seed):
    """What is written can be read whatever was wrong, and what was whole is in it."""
    run = recorded()
    stream = run / "app" / "app.0"
    data = bytearray(stream.read_bytes())
    chance = random.Random(seed)
    for _ in range(4):
        place = 512 * chance.randrange(len(data) // 512) + chance.randrange(96)
        data[place] ^= 1 << chance.randrange(8)
    stream.write_bytes(data)
    export(run, "ctf", tmp_path / "out")
    lines, _ = babeltrace2(tmp_path / "out")
    found, report = numbers(tmp_path / "out")
    assert (len(lines), report.damage.keys() - {"count", "text"}) == (len(found), set())
    assert len(found) >= 80 - 4 * 512 / 25


LOSING = """
import logging, os, signal
log = logging.getLogger("app")
log.setLevel(20)
log.info("before")
os.kill(os.getppid(), signal.SIGSTOP)
for n in range(5000):
    log.info("message %d", n)
os.kill(os.getppid(), signal.SIGCONT)
"""


def test_what_a_program_lost_is_said_by_babeltrace2(channels, tmp_path):
    """Nobody drained while it logged; what was lost then has no packet behind it."""
    shape = ("--subbuf-size", "4K", "--n-subbufs", "2", "--n-buffers", "1")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "rchan.cli", "run", "-o", tmp_path / "out", *shape, "--"),
            *(sys.executable, "-c", LOSING),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines, said = babeltrace2(tmp_path / "out")
    logged = [line for line in lines if " log:app:" in line]
    more = discarded(said) - (5001 - len(logged))  # garbage collections at that time
    assert 0 <= more < 20
    assert discarded(said) > 4000
    assert f"{discarded(said):,} were dropped: give a larger --size" in done.stderr
    assert Path(tmp_path / "out").is_dir()
