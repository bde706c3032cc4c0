"""`rchan cat`, `tail` and `snapshot`: what comes out, and what is left in the channel."""

import base64
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_calls import call

import rchan
from rchan.cli import exits
from rchan.cli.streams import printable

RCHAN = [sys.executable, "-m", "rchan.cli"]
LINES = [b"line %d\n" % number for number in range(2000)]


@pytest.fixture
def app() -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8, n_buffers=2) as channel:
        yield channel


@pytest.fixture
def flight() -> Iterator[rchan.Channel]:
    """Overwrites: a little of LINES is left."""
    with rchan.create(
        "flight", subbuf_size=4096, n_subbufs=2, n_buffers=1, overwrite=True
    ) as channel:
        for line in LINES:
            channel.write(line)
        yield channel


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*RCHAN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )


def end(process: subprocess.Popen[bytes], number: int = 0) -> tuple[int, bytes, bytes]:
    """Tell it to stop, if a signal is given; status and what is left to read."""
    if number:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    return process.returncode, out, err


class TestCat:
    def test_all_of_it_and_it_is_consumed(self, app: rchan.Channel) -> None:
        for line in LINES[:700]:
            app.write(line, cpu=0)
        done = call("cat", "app")
        assert (done.status, done.out, done.err) == (0, b"".join(LINES[:700]), "")
        stats = app.stats().total
        assert (stats.readable.records, stats.consumed.records) == (0, 700)
        assert call("cat", "app").out == b""

    def test_in_the_order_of_time(self, app: rchan.Channel) -> None:
        for cpu, line in ((1, b"first\n"), (0, b"second\n")):
            app.write(line, cpu=cpu)
        assert call("cat", "app").out == b"first\nsecond\n"

    def test_one_buffer(self, app: rchan.Channel) -> None:
        app.write(b"zero", cpu=0)
        app.write(b"one", cpu=1)
        assert call("cat", "--cpu", "1", "app").out == b"one"
        assert app.stats()[0].readable.records == 1
        assert call("cat", "--cpu", "99999", "app").status == exits.USAGE

    def test_json(self, app: rchan.Channel) -> None:
        app.write(b"text", cpu=0)
        app.write(b"\xff", cpu=1)
        first, second = call("cat", "--json", "app").json_lines
        assert (first["text"], first["cpu"], first["records"]) == ("text", 0, 1)
        assert base64.b64decode(second["base64"]) == b"\xff"
        assert first["first_ns"] <= second["first_ns"]

    def test_says_what_was_lost(self, flight: rchan.Channel) -> None:
        done = call("cat", "flight")
        lost = len(LINES) - done.out.count(b"\n")
        assert b"".join(LINES).endswith(done.out)
        assert done.err == f"rchan: lost: {lost:,} overwritten\n"
        assert call("cat", "--quiet", "flight").err == ""

    def test_says_what_was_lost_after_the_last_one(self, app: rchan.Channel) -> None:
        """It makes room in a full channel: what did not fit is told now, not by the next one."""
        written = 0
        while app.write(b"%07d\n" % written, cpu=0):
            written += 1
        app.write(b"another\n", cpu=0)
        done = call("cat", "app")
        assert done.out.count(b"\n") == written
        assert done.err == "rchan: lost: 2 full\n"

    def test_says_what_was_lost_earlier(self, app: rchan.Channel) -> None:
        earlier = "rchan: lost earlier, since the channel was made"
        for told in ([], [f"{earlier}: 1 disabled"]):
            assert app.write(b"before\n", cpu=0)
            app.enabled = False
            app.write(b"never\n", cpu=0)
            app.enabled = True
            done = call("cat", "app")
            assert done.out == b"before\n"
            assert done.err.splitlines() == ["rchan: lost: 1 disabled", *told]
        assert call("cat", "app").err == f"{earlier}: 2 disabled\n"
        assert call("cat", "--quiet", "app").err == ""

    def test_held_by_another_reader(self, app: rchan.Channel) -> None:
        app.write(b"record", cpu=0)
        app.flush()
        held = app.buffers[0].take()
        done = call("cat", "app")
        assert (done.status, done.out) == (exits.UNFINISHED, b"")
        assert "buffer 0" in done.err
        held.put_down()
        assert call("cat", "app").out == b"record"

    def test_what_nobody_got_is_not_consumed(self, app: rchan.Channel) -> None:
        app.write(b"record", cpu=0)
        reader, output = os.pipe()
        os.close(reader)
        done = subprocess.run([*RCHAN, "cat", "app"], stdout=output, stderr=-1, check=False)
        os.close(output)
        assert (done.returncode, done.stderr) == (exits.OUTPUT_CLOSED, b"")
        assert app.stats().total.readable.records == 1

    def test_follow(self, app: rchan.Channel) -> None:
        app.write(b"first\n", cpu=0)
        process = start("cat", "-f", "app")
        assert process.stdout.read(6) == b"first\n"
        app.write(b"second\n", cpu=1)
        assert process.stdout.read(7) == b"second\n"
        app.write(b"third\n", cpu=0)
        app.finalize()
        assert end(process) == (0, b"third\n", b"")

    def test_follow_until_told(self, app: rchan.Channel) -> None:
        app.write(b"first\n", cpu=0)
        process = start("cat", "-f", "app")
        assert process.stdout.read(6) == b"first\n"
        assert end(process, signal.SIGINT) == (exits.INTERRUPTED, b"", b"")
        assert app.stats().total.consumed.records == 1


class TestTail:
    def test_the_last_lines(self, flight: rchan.Channel) -> None:
        for count in (0, 1, 10, 50):
            done = call("tail", "-n", str(count), "flight")
            assert done.out == b"".join(LINES[len(LINES) - count :])
        assert call("tail", "flight").out == b"".join(LINES[-10:])
        assert flight.stats().total.consumed.records == 0

    @pytest.mark.parametrize("text", [b"", b"\n", b"a", b"a\n", b"\n\n", b"a\n\nb", b"a\nb\nc\n"])
    def test_as_tail_does(self, app: rchan.Channel, text: bytes, tmp_path: Path) -> None:
        for at in range(len(text)):
            app.write(text[at : at + 1], cpu=0)
            app._flush(0)  # lines go over several sub-buffers
        file = tmp_path / "text"
        file.write_bytes(text)
        for count in ("0", "1", "2", "9"):
            theirs = subprocess.run(["tail", "-n", count, file], capture_output=True, check=True)
            assert call("tail", "-n", count, "app").out == theirs.stdout

    def test_bytes_and_all(self, flight: rchan.Channel) -> None:
        everything = call("tail", "--all", "flight").out
        assert everything == flight.snapshot().data()
        assert call("tail", "-c", "5000", "flight").out == everything[-5000:]
        assert call("tail", "-c", "1M", "flight").out == everything

    def test_json(self, flight: rchan.Channel) -> None:
        (told,) = call("tail", "--json", "-n", "1", "flight").json_lines
        assert told["text"].encode().endswith(LINES[-1])
        assert told["finished"] is False
        assert told["offset"] == 0

    def test_follow(self, app: rchan.Channel) -> None:
        app.write(b"first\n", cpu=0)
        process = start("tail", "-f", "app")
        assert process.stdout.read(6) == b"first\n"
        app.write(b"second\n", cpu=0)  # in the same, unfinished sub-buffer
        assert process.stdout.read(7) == b"second\n"
        app.write(b"third\n", cpu=1)  # in a buffer that was empty
        assert process.stdout.read(6) == b"third\n"
        app.reset()
        app.write(b"again\n", cpu=0)
        assert process.stdout.read(6) == b"again\n"
        rchan.remove("app")
        assert end(process) == (0, b"", b"")

    def test_follow_gets_each_line_once(self, app: rchan.Channel) -> None:
        process = start("tail", "-n", "0", "-f", "app")
        while not select.select([process.stdout], [], [], 0.05)[0]:
            app.write(b"begin\n", cpu=0)
        for line in LINES:
            app.write(line, cpu=0)
        app.finalize()
        status, out, _ = end(process)
        assert status == 0
        assert out.replace(b"begin\n", b"") == b"".join(LINES)

    def test_a_terminal_gets_text(self, app: rchan.Channel) -> None:
        app.write(b"\x1b[2Jred\xff\n", cpu=0)
        ours, theirs = pty.openpty()
        for options, shown in ((), rb"\x1b[2Jred\xff"), (("--raw",), b"\x1b[2Jred\xff"):
            subprocess.run([*RCHAN, "tail", *options, "app"], stdout=theirs, check=True)
            got = b""
            while not got.endswith(b"\n"):  # a terminal hands on what it has so far
                got += os.read(ours, 100)
            assert got == shown + b"\r\n"
        os.close(ours)
        os.close(theirs)

    def test_printable(self) -> None:
        assert printable("Ω\ttab\n\x7f\x85\u2028".encode()) == "Ω\ttab\n\\x7f\\x85\u2028".encode()


class TestSnapshot:
    def test_to_a_file(self, flight: rchan.Channel, tmp_path: Path) -> None:
        file = tmp_path / "crash.log"
        done = call("snapshot", "flight", "-o", file)
        assert done.status == 0
        assert file.read_bytes() == flight.snapshot().data()
        assert file.stat().st_mode & 0o777 == 0o600
        assert os.listdir(tmp_path) == ["crash.log"]
        assert flight.stats().total.consumed.records == 0

    def test_a_file_that_is_there(self, flight: rchan.Channel, tmp_path: Path) -> None:
        file = tmp_path / "crash.log"
        file.write_bytes(b"precious")
        assert call("snapshot", "flight", "-o", file).status == exits.EXISTS
        assert file.read_bytes() == b"precious"
        assert call("snapshot", "--force", "flight", "-o", file).status == 0
        assert file.read_bytes() == flight.snapshot().data()

    def test_to_standard_output(self, flight: rchan.Channel) -> None:
        assert call("snapshot", "flight", "-o", "-").out == flight.snapshot().data()
        assert call("snapshot", "--json", "flight", "-o", "-").status == exits.USAGE

    def test_json(self, flight: rchan.Channel, tmp_path: Path) -> None:
        told = call("snapshot", "--json", "flight", "-o", tmp_path / "x").json
        assert told["bytes"] == (tmp_path / "x").stat().st_size
        assert told["missed"] == {"subbufs": 0, "records": 0, "bytes": 0}
        assert told["books"]["total"]["attempted"]["records"] == len(LINES)

    def test_only_what_is_unread(self, app: rchan.Channel, tmp_path: Path) -> None:
        app.write(b"read", cpu=0)
        call("cat", "app")
        app.write(b"unread", cpu=0)
        call("snapshot", "app", "-o", tmp_path / "all")
        call("snapshot", "--unread", "app", "-o", tmp_path / "rest")
        assert (tmp_path / "all").read_bytes() == b"readunread"
        assert (tmp_path / "rest").read_bytes() == b"unread"

    def test_a_file_that_cannot_be_written(self, flight: rchan.Channel, tmp_path: Path) -> None:
        for file in ("/missing/file", "/dev/full/x", "/proc/x"):
            done = call("snapshot", "flight", "-o", file)
            assert done.status == exits.RECORDING_FAILED
            assert done.err.startswith(f"rchan: {file}: ")
            assert len(done.err.splitlines()) == 1
        assert os.listdir(tmp_path) == []

    def test_no_space(self, flight: rchan.Channel, tmp_path: Path) -> None:
        limited = f"ulimit -f 1; {sys.executable} -m rchan.cli snapshot flight -o {tmp_path}/x"
        done = subprocess.run(["bash", "-c", limited], capture_output=True, check=False)
        assert done.returncode == exits.RECORDING_FAILED
        assert done.stderr == f"rchan: {tmp_path}/x: File too large\n".encode()
        assert os.listdir(tmp_path) == []


def test_json_lines_are_json(flight: rchan.Channel) -> None:
    for line in call("tail", "--json", "-n", "9", "flight").out.splitlines():
        assert json.loads(line)["cpu"] == 0
