"""`rchan export` says how far it has come: on a terminal, and nowhere else."""

import re

import pytest
from commands import Terminal, run

import rchan
from rchan.events import ctf
from rchan.export import FORMATS, export

COUNT = 60_000  # takes longer than a line waits before it first appears (0.1 s)
SEEN = re.compile(rb"\r\x1b\[Kread [\d.,]+ [kM]?B, [\d.,]+ [kM]?B/s")


def written(count, path):
    """A trace directory."""
    with rchan.Tracer("app", n_buffers=1, subbuf_size=1 << 16, n_subbufs=64) as trace:
        event = trace.event("event", number=int, text=str)
        assert all(event(number, "text") for number in range(count))
        return ctf.write_trace(trace.channel, path)


@pytest.fixture
def long(channels, tmp_path):
    return written(COUNT, tmp_path / "trace")


def test_on_a_terminal(long, tmp_path):
    terminal = Terminal("export", long, "-f", "jsonl", "-o", tmp_path / "out")
    seen = terminal.rest()
    assert terminal.wait() == 0
    assert SEEN.search(seen), seen
    assert seen.endswith(b"\r\x1b[K"), seen  # it is taken away
    assert len((tmp_path / "out").read_bytes().splitlines()) == COUNT


def test_not_between_the_events(long):
    """Standard output is the same terminal."""
    terminal = Terminal("export", long, "-f", "text", "-o", "-")
    seen = terminal.rest()
    assert terminal.wait() == 0
    assert b"\x1b[K" not in seen
    assert seen.count(b"\n") == COUNT


def test_elsewhere_nothing(long, tmp_path):
    done = run("export", long, "-f", "jsonl", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"blktrace"}))
def test_every_format_tells(channels, tmp_path, format):
    source = written(3000, tmp_path / "trace")
    told = []
    export(source, format, tmp_path / "out", progress=told.append)
    assert told == sorted(told)
    size = (source / "stream_0").stat().st_size
    assert told[-1] == (2 * size if format == "ctf" else size)


def test_several_traces_are_added_up(channels, tmp_path):
    written(3000, tmp_path / "all" / "app")
    with rchan.Tracer("other", n_buffers=1) as trace:
        assert trace.event("event", number=int)(1)
        ctf.write_trace(trace.channel, tmp_path / "all" / "other")
    told = []
    export(tmp_path / "all", "text", tmp_path / "out", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == sum(file.stat().st_size for file in (tmp_path / "all").glob("*/stream_*"))
