"""What rchan says to somebody who sees it for the first time: what was wrong, and what to do."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

import rchan
from rchan import events, tracefile
from rchan.recorder import Options, record
from rchan.stats import Count, Stats


def test_a_channel_that_is_not_there_is_named_in_quotes(channels: Path) -> None:
    with pytest.raises(rchan.ChannelNotFound, match="no channel 'nowhere' in"):
        rchan.open("nowhere")
    with rchan.create("app"), pytest.raises(rchan.ChannelExists, match="channel 'app' exists in"):
        rchan.create("app")


@pytest.mark.parametrize("data", [5, None, [1, 2], 1.5])
def test_what_is_no_bytes(channels: Path, data: object) -> None:
    with rchan.create("app") as app, pytest.raises(rchan.WrongType, match="must be bytes, or"):
        app.write(data)  # type: ignore[arg-type]


def test_a_directory_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCHAN_DIR", str(tmp_path / "no" / "where"))
    with pytest.raises(rchan.ChannelNotFound, match=r"mkdir.*RCHAN_DIR"):
        rchan.create("app")


def test_a_channel_where_a_trace_is_wanted(channels: Path) -> None:
    with pytest.raises(rchan.ChannelNotFound, match=r"rchan\.open\(name\)"):
        list(events.read("app"))


def test_a_buffer_file_is_only_read(channels: Path) -> None:
    with rchan.create("app", n_buffers=1) as app, rchan.RelayFile(app.buffers[0]) as file:
        assert repr(file) == "<rchan.RelayFile 'app0'>"
        with pytest.raises(io.UnsupportedOperation, match=r"channel\.write"):
            file.write(b"a record")
    with pytest.raises(rchan.BadName, match="ends in a CPU number, such as"):
        rchan.open_file("app")


def test_a_record_that_is_too_big_names_the_limit(channels: Path) -> None:
    app = rchan.create("app", subbuf_size=4096)
    assert not app.write(bytes(5000))
    with pytest.warns(rchan.RchanWarning, match=r"subbuf_size=4,096.* 5,000 bytes"):
        app.close()


def test_books_are_shown_without_what_is_nothing() -> None:
    books = Stats(attempted=Count(2, 9), dropped_full=Count(2, 9), subbufs_produced=3)
    assert repr(books) == (
        "Stats(attempted=Count(records=2, bytes=9), dropped_full=Count(records=2, bytes=9), "
        "subbufs_produced=3)"
    )
    assert eval(repr(books)) == books


def test_everything_says_what_it_is(four_cpus: None, channels: Path, tmp_path: Path) -> None:
    with rchan.create("app", n_buffers=2, subbuf_size=64, n_subbufs=4) as app:
        with app.reserve(8) as slot:
            assert repr(slot) == "<rchan.Reservation of 8 bytes, open>"
        assert repr(slot) == "<rchan.Reservation of 8 bytes, committed>"
        app.enabled = False
        assert repr(app.reserve(8)) == "<rchan.Reservation of 8 bytes, refused>"
        (copy,) = app.snapshot()
        where = f"sub-buffer 0 of CPU {copy.cpu}, "
        assert repr(copy) == f"<rchan.SubbufCopy: {where}1 records, 8 bytes, unfinished>"
        app.flush()
        sub = app.buffers[copy.cpu].take()
        assert repr(sub) == f"<rchan.Subbuf: {where}8 bytes>"
        sub.put_down()
        assert repr(sub) == f"<rchan.Subbuf: {where}8 bytes, not held any more>"
        assert repr(app.buffers) == f"<rchan.BufferMap of 'app': {list(app.buffers)} of 2>"
        with app.tap() as tap:
            assert repr(tap) == "<rchan.Tap of 'app'>"
            assert repr(tap.take()) == f"<rchan.SubbufCopy: {where}1 records, 8 bytes>"
        record("app", tmp_path, options=Options(until_empty=True))
    with tracefile.open(tmp_path) as trace:
        assert repr(trace) == "<rchan.tracefile.Trace of ['app']>"
        assert repr(trace.channels[0]).startswith("<rchan.tracefile.RecordedChannel 'app' in '")


def test_a_slip_of_the_pen_is_told_the_right_name() -> None:
    command = [sys.executable, "-c", "import rchan; rchan.Chanel"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Did you mean: 'Channel'?" in done.stderr


def test_an_empty_name_of_an_event(channels: Path) -> None:
    with rchan.Tracer("app") as trace, pytest.raises(rchan.SchemaError, match="name '' has 0"):
        trace.event("")
    rchan.remove("app")


def test_python_m_rchan_is_the_command(channels: Path) -> None:
    command = [sys.executable, "-m", "rchan", "write", "app", "--create"]
    done = subprocess.run(command, input="one line\n", capture_output=True, text=True, check=True)
    assert done.stderr == "rchan: wrote 1 record, 9 B, to app; dropped 0\n"


def test_no_room_says_how_much_there_is_without_what_was_tried() -> None:
    """Even if part of it had been taken already when it turned out that there is no room."""
    script = 'mount -t tmpfs -o size=64M none /dev/shm && exec $0 -c "$1"'
    code = "import rchan; rchan.create('big', '/dev/shm/own', 1 << 20, 128, n_buffers=1)"
    code = "import os; os.mkdir('/dev/shm/own', 0o700); " + code
    command = ["unshare", "--mount", "--map-root-user", "bash", "-c", script, sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "NoSpace" not in done.stderr:
        pytest.skip(f"no mount of our own here: {done.stderr[-200:]}")
    free = int(done.stderr.partition("has ")[2].partition(" KiB free")[0])
    assert 60_000 < free <= 65_536
