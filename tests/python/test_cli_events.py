"""`rchan events` and `rchan export`, as a user runs them."""

import json
import logging
import os
import signal
import subprocess
import sys
from argparse import Namespace
from datetime import datetime

import pytest

import rchan
import rchan.events
from rchan.cli import conditions, exits
from rchan.cli.main import main
from rchan.events import ctf
from rchan.export import text


@pytest.fixture
def filled(channels):
    with rchan.Tracer("app", n_buffers=1) as trace:
        request = trace.event("request", user=int, path=str, seconds=float, ok=bool)
        for i in range(10):
            request(i, f"/{i}", i / 10, i % 2 == 0)
        trace.event("tick")()
        yield trace


def run(capsys, *arguments):
    status = main(["events", *arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err


def users(capsys, *arguments):
    status, lines, _ = run(capsys, "app", "--json", *arguments)
    assert status == 0
    return [json.loads(line)["fields"].get("user") for line in lines]


def test_prints_what_the_channel_holds(filled, capsys):
    status, lines, errors = run(capsys, "app")
    assert (status, len(lines), errors) == (0, 11, "")
    assert lines[3].endswith('request: user=3 path="/3" seconds=0.3 ok=false')
    assert f" {os.getpid()}/" in lines[3]
    assert len(run(capsys, "app")[1]) == 11  # nothing was consumed


def test_a_trace_directory(filled, capsys, tmp_path):
    ctf.write_trace(filled.channel, tmp_path)
    status, lines, errors = run(capsys, str(tmp_path))
    assert (status, len(lines), errors) == (0, 11, "")
    with next(tmp_path.glob("stream_0")).open("r+b") as file:
        file.truncate(200)
    status, lines, errors = run(capsys, str(tmp_path))
    assert status == 0
    assert "rchan: 1 packets that were cut off\n" in errors
    assert "skipped for that: " in errors


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["-e", "req*"], range(10)),
        (["-e", "tick"], [None]),
        (["-e", "nothing"], []),
        (["--where", "user=3"], [3]),
        (["--where", "user>=0x8"], [8, 9]),
        (["--where", "seconds<0.25"], [0, 1, 2]),
        (["--where", "path=/7"], [7]),
        (["--where", "path!=/7", "--where", "user>6"], [8, 9]),
        (["--where", "ok=true", "--where", "user<5"], [0, 2, 4]),
        (["--where", "nothing=1"], []),
        (["--pid", "1"], []),
        (["--pid", str(os.getpid()), "--cpu", "100000"], []),
        (["--since", "2020-01-01", "--until", "2020-01-02T00:00:00"], []),
        (["--since", "12345.5", "-e", "tick"], [None]),
        (["--until", "9000000000"], [*range(10), None]),
    ],
)
def test_filters(filled, capsys, arguments, wanted):
    assert users(capsys, *arguments) == list(wanted)


def test_time_filters_cut_exactly(filled, capsys, tmp_path):
    ctf.write_trace(filled.channel, tmp_path)
    times = [json.loads(line)["time_ns"] for line in run(capsys, str(tmp_path), "--json")[1]]
    middle = f"{times[5] // 10**9}.{times[5] % 10**9:09}"
    assert len(run(capsys, str(tmp_path), "--since", middle)[1]) == 6
    assert len(run(capsys, str(tmp_path), "--until", middle)[1]) == 5


@pytest.mark.parametrize(
    "arguments", [["--where", "user"], ["--since", "yesterday"], ["--pid", "x"]]
)
def test_wrong_usage(filled, capsys, arguments):
    status, _, errors = run(capsys, "app", *arguments)
    assert status == exits.USAGE
    assert "(see 'rchan events --help')" in errors


def test_what_is_not_there(channels, capsys, tmp_path):
    assert run(capsys, "nothing")[0] == exits.NOT_FOUND
    assert run(capsys, str(tmp_path))[0] == exits.NOT_FOUND
    rchan.create("plain", n_buffers=1).detach()
    status, _, errors = run(capsys, "plain")
    assert status == exits.USAGE
    assert "plain records" in errors
    rchan.remove("plain")


def test_follow_shows_events_at_once(filled):
    """Packets that are not finished, then new events and types, until Ctrl-C."""
    command = [sys.executable, "-m", "rchan.cli", "events", "app", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            first = [json.loads(process.stdout.readline()) for _ in range(11)]
            assert [row["fields"].get("user") for row in first] == [*range(10), None]
            for i in range(5):
                filled.event(f"later{i}", i=int)(i)
                assert json.loads(process.stdout.readline())["fields"] == {"i": i}
            filled.flush()
            filled.event("last")()
            assert json.loads(process.stdout.readline())["event"] == "last"
            process.send_signal(signal.SIGINT)
            assert process.stdout.read() == ""
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert filled.channel.stats().total.readable.records == 17  # nothing was consumed


def test_follow_ends_with_the_channel(filled, capsys):
    filled.channel.finalize()
    assert users(capsys, "-f") == [*range(10), None]
    with pytest.raises(rchan.WrongType, match="only a Channel"):
        rchan.events.read("/", follow=True)


def test_follow_many(channels):
    """More than the channel holds: in order, each once, and what is missing is counted."""
    with rchan.Tracer("app", n_buffers=1, subbuf_size=4096, n_subbufs=4, overwrite=True) as trace:
        event = trace.event("event", number=int)
        reading = rchan.events.read(trace.channel, follow=True)
        got = []
        for start in range(0, 2000, 20):
            for number in range(start, start + 20):
                event(number)
            got.append(next(reading).fields["number"])
        trace.channel.finalize()
        got += [event.fields["number"] for event in reading]
        assert got == sorted(set(got))
        assert got[-1] == 1999


def test_export(filled, capsys, tmp_path):
    assert main(["export", "app", "-f", "text", "-o", str(tmp_path / "out")]) == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 11
    assert main(["export", "app", "-f", "text", "-o", str(tmp_path / "out")]) == exits.EXISTS
    assert "is there already" in capsys.readouterr().err
    assert main(["export", "app", "-f", "png", "-o", "x"]) == exits.USAGE
    assert main(["export", "app", "-f", "blktrace", "-o", str(tmp_path / "b")]) == exits.FAILURE
    assert "no block events" in capsys.readouterr().err


def test_export_to_standard_output(filled):
    command = [sys.executable, "-m", "rchan.cli", "export", "app", "-f", "jsonl", "-o", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 11


def test_times_that_no_calendar_has(filled):
    event = next(iter(rchan.events.read(filled.channel)))._replace(time_ns=2**63 - 1)
    assert text.line(event).startswith("2262-")


# ---- what people type ----


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--where", "user == 3"], [3]),
        (["--where", 'path="/7"'], [7]),
        (["--where", f"pid={os.getpid()}", "--where", "user<2"], [0, 1]),
        (["--where", "cpu=100000"], []),
        (["--since", "5min"], [*range(10), None]),
        (["--until", "5min"], []),
        (["--last", "1h", "-e", "request"], range(10)),
    ],
)
def test_conditions_as_people_write_them(filled, capsys, arguments, wanted):
    assert users(capsys, *arguments) == list(wanted)


def test_times_of_today():
    """HH:MM is of this day, in local time."""
    midnight = datetime.combine(datetime.now(), datetime.min.time())
    assert conditions.time("00:00") == int(midnight.timestamp()) * 10**9
    assert conditions.time("01:00:00.5") - conditions.time("01:00") == 5 * 10**8


def test_the_last_before_the_newest_of_all_events(filled, capsys, tmp_path):
    """However long ago that was, and although the newest is not printed."""
    ctf.write_trace(filled.channel, tmp_path)
    times = [json.loads(line)["time_ns"] for line in run(capsys, str(tmp_path), "--json")[1]]
    assert times == sorted(times)
    span = (times[-1] - times[7]) / 1e9
    options = Namespace(event=["request"], since=None, until=None, cpu=None, pid=None, where=[])
    options.last = span + 1e-9
    with rchan.events.read(tmp_path) as events:
        assert [event.time_ns for event in conditions.chosen(events, options)] == times[7:10]


def test_levels_are_compared_by_what_they_are_worth(channels, capsys):
    handler = rchan.LogHandler("logs")
    log = logging.Logger("shop", 1)
    log.addHandler(handler)
    for level in (5, logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL):
        log.log(level, "of %d", level)
    handler.close()
    for condition, count in (
        ("level>=WARNING", 2),
        ("level<info", 2),
        ("level=20", 1),
        ("level!=INFO", 4),
        ("level=NOSUCH", 0),
    ):
        assert len(run(capsys, "logs", "--where", condition)[1]) == count, condition


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-e", "Request"], "rchan: no event is called 'Request'\n"),
        (
            ["--where", "sec>1"],
            "rchan: no event has a field 'sec' (--json shows which there are)\n",
        ),
        (
            ["--where", "user>1 and user<3"],
            (
                "rchan: 'user' is a number, '1 and user<3' is none "
                "(several conditions: several --where)\n"
            ),
        ),
        (["--where", "user>100"], ""),
        (["--where", "sec>1", "-e", "tick"], None),
    ],
)
def test_nothing_fits(filled, capsys, arguments, said):
    status, lines, errors = run(capsys, "app", *arguments)
    assert (status, lines) == (0, [])
    assert errors == said or (said is None and "'sec'" in errors)


def test_what_cannot_be_followed(filled, capsys, tmp_path):
    ctf.write_trace(filled.channel, tmp_path)
    status, _, errors = run(capsys, str(tmp_path), "--follow")
    assert status == exits.USAGE
    assert "only a channel can be followed" in errors
    assert run(capsys, "app", "--follow", "--last", "2s")[0] == exits.USAGE


@pytest.mark.parametrize("command", ["tail", "cat"])
def test_bytes_of_events_in_a_pipe(filled, command):
    """They are what was asked for, perhaps: so it is said, and done."""
    base = [sys.executable, "-m", "rchan.cli", command, "app"]
    done = subprocess.run(base, check=True, capture_output=True)
    assert b"rchan events app" in done.stderr
    assert b"/3" in done.stdout
    filled.event("tick")()
    assert not subprocess.run([*base, "--raw"], check=True, capture_output=True).stderr
