"""`rchan write`: standard input into a channel, and how it is cut into records."""

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from cli_calls import call
from hypothesis import given, settings
from hypothesis import strategies as st

import rchan
from rchan.cli import exits
from rchan.cli.framing import PREFIXES, Blocks, Lines, Prefixed

RCHAN = [sys.executable, "-m", "rchan.cli"]


def content(name: str) -> bytes:
    channel = rchan.open(name)
    try:
        return channel.snapshot().data()
    finally:
        channel.detach()


def books(name: str) -> rchan.Stats:
    channel = rchan.open(name)
    try:
        return channel.stats().total
    finally:
        channel.detach()


class TestFraming:
    @given(
        st.lists(st.binary(max_size=40)),
        st.integers(1, 30),
        st.lists(st.integers(1, 9), min_size=1),
    )
    @settings(max_examples=60)
    def test_lines_lose_no_byte(self, parts: list[bytes], limit: int, cuts: list[int]) -> None:
        stream = b"\n".join(parts)
        framing, records, at, turn = Lines(limit), [], 0, 0
        while at < len(stream):
            step = cuts[turn % len(cuts)]
            records += framing.feed(stream[at : at + step])
            at, turn = at + step, turn + 1
        records += framing.end()
        assert b"".join(records) == stream
        assert all(0 < len(record) <= limit for record in records)
        whole = stream.splitlines(keepends=True) if b"\r" not in stream else None
        if whole is not None and not any(byte in stream for byte in b"\x0b\x0c\x1c\x1d\x1e\x85"):
            assert framing.cut == sum(len(line) > limit for line in whole)

    @given(st.binary(max_size=200), st.integers(1, 30), st.integers(1, 50))
    @settings(max_examples=40)
    def test_blocks(self, stream: bytes, size: int, step: int) -> None:
        framing = Blocks(size)
        records = [
            r for at in range(0, len(stream), step) for r in framing.feed(stream[at:][:step])
        ]
        records += framing.end()
        assert records == [stream[at : at + size] for at in range(0, len(stream), size)]

    @given(
        st.sampled_from(sorted(PREFIXES)),
        st.lists(st.binary(max_size=200)),
        st.booleans(),
        st.integers(1, 40),
    )
    @settings(max_examples=60)
    def test_prefixed(self, kind: str, records: list[bytes], keep: bool, step: int) -> None:
        width, order = PREFIXES[kind]
        framed = [len(record).to_bytes(width, order) + record for record in records]
        limit = 100
        framing, found, too_long, stream = Prefixed(kind, limit, keep), [], [], b"".join(framed)
        for at in range(0, len(stream), step):
            found += framing.feed(stream[at : at + step])
            too_long += framing.too_long()
        assert framing.end() == []
        wanted = framed if keep else records
        assert found == [record for record in wanted if len(record) <= limit]
        assert too_long == [len(record) for record in wanted if len(record) > limit]
        assert not framing.broken

    def test_prefixed_that_ends_inside(self) -> None:
        for stream in (b"\x05abc", b"\x05", b"\xff" + bytes(20)):
            framing = Prefixed("u8", 100)
            assert framing.feed(stream) == []
            framing.end()
            assert framing.broken
            assert "ends inside a record" in framing.remarks()[-1]


class TestWrite:
    def test_lines(self) -> None:
        text = b"first\nsecond\nlast without a newline"
        done = call("write", "app", "--create", "--size", "64K", stdin=text)
        assert done.status == 0
        assert "wrote 3 records" in done.err
        assert content("app") == text
        assert books("app").written == (3, len(text))
        # finished, for readers to see
        assert rchan.open("app").buffers[0].subbufs_produced == 1

    def test_a_bounded_flight_recorder(self) -> None:
        lines = b"".join(b"line %d\n" % number for number in range(20_000))
        done = call("write", "flight", "--overwrite", "--size", "64K", stdin=lines)
        assert done.status == 0
        kept = content("flight")
        assert lines.endswith(kept)
        assert 7 * 8192 - 100 <= len(kept) <= 65536
        assert books("flight").overwritten.records > 0

    def test_a_channel_that_is_not_there(self) -> None:
        done = call("write", "app", stdin=b"x\n")
        assert (done.status, "--create" in done.err) == (exits.NOT_FOUND, True)

    def test_a_channel_that_is_there(self) -> None:
        with rchan.create("app", subbuf_size=4096) as app:
            assert call("write", "app", "--size", "1M", stdin=b"x\n").status == 0
            assert app.stats().total.written == (1, 2)

    def test_long_lines(self) -> None:
        text = b"a" * 10_000 + b"\nshort\n"
        options = ("--create", "--subbuf-size", "4096", "--json")
        done = call("write", "app", *options, stdin=text)
        assert (done.status, done.json["cut"], done.json["records"]) == (0, 1, 4)
        assert "1 line longer than a sub-buffer (4,096 bytes) stored in pieces" in done.err
        assert content("app") == text
        assert call("write", "app", "--strict", stdin=text).status == exits.BAD_INPUT

    def test_binary_input(self) -> None:
        data = b"text\n" + bytes(range(256)) * 3
        done = call("write", "app", "--create", "--size", "64K", stdin=data)
        assert done.status == 0
        assert "not text (a NUL byte in line 2)" in done.err
        assert content("app") == data

    def test_blocks(self) -> None:
        data = bytes(100)
        done = call("write", "app", "--size", "64K", "--blocks", "64", "--json", stdin=data)
        assert (done.json["records"], done.json["bytes"]) == (2, 100)
        for wrong in ("0", "1M"):
            done = call("write", "app", "--blocks", wrong, stdin=data)
            assert (done.status, len(done.err.splitlines())) == (exits.USAGE, 1)

    def test_prefixed(self) -> None:
        data = b"".join(struct.pack(">H", n) + b"x" * n for n in (0, 5, 300))
        options = ("--prefixed", "u16be", "--no-prefix", "--json", "--size", "64K")
        done = call("write", "app", *options, stdin=data + b"\0")
        assert done.status == exits.BAD_INPUT
        assert done.json["bytes"] == 305
        assert "ends inside a record: 1 of 2 bytes" in done.err
        assert call("write", "app", "--no-prefix").status == exits.USAGE

    def test_prefixed_too_long_is_in_the_books(self) -> None:
        data = struct.pack("<I", 10**6) + bytes(10**6) + struct.pack("<I", 2) + b"ok"
        done = call("write", "app", "--prefixed", "u32le", "--size", "64K", "--json", stdin=data)
        assert done.json["dropped"] == {"records": 1, "bytes": 10**6 + 4}
        assert books("app").dropped_too_big == (1, 10**6 + 4)
        assert content("app") == data[-6:]

    def test_what_is_dropped_is_said(self) -> None:
        with rchan.create("app", subbuf_size=4096, n_subbufs=2, n_buffers=1) as app:
            app.enabled = False
            done = call("write", "app", "--strict", stdin=b"a\nb\n")
            assert done.status == exits.BAD_INPUT
            assert "dropped 2 (the channel is paused)" in done.err
            app.enabled = True
            assert call("write", "app", "--quiet", stdin=b"0123456\n" * 2000).err == ""
            assert app.stats().total.dropped_full.records > 0

    def test_tee(self) -> None:
        text = b"x\n" * 1000
        assert call("write", "app", "--size", "64K", "--tee", stdin=text).out == text
        assert call("write", "app", "--tee", "--json").status == exits.USAGE

    def test_tee_to_nobody(self) -> None:
        reader, output = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*RCHAN, "write", "app", "--size", "64K", "--tee"],
            input=b"a line\n",
            stdout=output,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(output)
        assert (done.returncode, done.stderr) == (exits.OUTPUT_CLOSED, b"")
        assert content("app") == b"a line\n"

    def test_somebody_makes_it_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def late(*_: object, **__: object) -> None:
            rchan.create("app", subbuf_size=4096).detach()
            raise rchan.ChannelExists("app")

        monkeypatch.setattr("rchan.cli.write.create", late)
        assert call("write", "app", "--create", stdin=b"x\n").status == 0
        assert content("app") == b"x\n"

    def test_nothing(self) -> None:
        assert call("write", "app", "--create").status == 0
        assert books("app").attempted == (0, 0)


class TestWhileItRuns:
    """In a process of its own."""

    @pytest.fixture
    def writer(self):
        process = subprocess.Popen(
            [*RCHAN, "write", "app", "--size", "64K"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdin.write(b"first\n")
        process.stdin.flush()
        while not rchan.list():
            os.sched_yield()
        self.until(process, 1)
        yield process
        process.kill()
        process.wait()
        process.stderr.close()

    def until(self, process: subprocess.Popen[bytes], records: int) -> None:
        channel = rchan.open("app")
        try:
            while channel.stats().total.attempted.records < records:
                assert process.poll() is None
                os.sched_yield()
        finally:
            channel.detach()

    def say(self, process: subprocess.Popen[bytes], text: bytes) -> None:
        process.stdin.write(text)
        process.stdin.flush()

    def test_the_first_interrupt_is_the_producers(self, writer) -> None:
        writer.send_signal(signal.SIGINT)
        self.say(writer, b"the last words\n")
        self.until(writer, 2)
        writer.stdin.close()
        assert writer.wait() == 0
        assert content("app") == b"first\nthe last words\n"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_told_to_stop(self, writer, number: int) -> None:
        writer.send_signal(number)
        assert writer.wait() == 128 + number
        assert content("app") == b"first\n"
        writer.stdin.close()

    def test_channel_removed_meanwhile(self, writer) -> None:
        rchan.remove("app")
        self.say(writer, b"dropped\n")
        rchan.create("app", subbuf_size=4096).detach()  # another one of that name
        writer.stdin.close()
        assert writer.wait() == exits.ENDED
        assert writer.stderr.read().count(b"removed") == 2
        assert content("app") == b""


def test_a_terminal_that_has_gone_is_the_end(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*RCHAN, "write", "app", "--size", "64K", "--quiet"], stdin=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    os.write(ours, b"a line\n")
    while not rchan.list() or books("app").written.records < 1:
        os.sched_yield()
    os.close(ours)
    assert process.wait() == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    assert content("app") == b"a line\n"
