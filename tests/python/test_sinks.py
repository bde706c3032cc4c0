"""One suite for all sinks: each sub-buffer once, in order, all or nothing; and what each adds."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import rchan
from rchan.recorder import (
    CallbackSink,
    FileOptions,
    FileSink,
    NullSink,
    Options,
    PipeSink,
    RecordingFailed,
    RotatingSink,
    Rotation,
    Sink,
    ZstdFileSink,
    record,
)
from rchan.recorder.files import StreamName
from rchan.recorder.place import Place
from rchan.recorder.sinks import BUSY, EMPTY, LIMIT
from rchan.tracefile.index import Entry, Index
from rchan.zstd import decompress

SIZE = 64
HAS_ZSTD = find_spec("zstandard") is not None or find_spec("compression") is not None


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=SIZE, n_subbufs=8, n_buffers=1) as channel:
        yield channel


class Harness:
    """A sink, and what came out of it."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.place = Place.at(directory)
        self.got: list[bytes] = []
        self.broken = False
        self.ends: list[socket.socket | int] = []
        self.sink = getattr(self, f"_{kind}")()

    def _null(self) -> Sink:
        return NullSink()

    def _callback(self) -> Sink:
        def call(sub: rchan.Subbuf, data: memoryview) -> None:
            if self.broken:
                raise OSError(28, "full")
            self.got.append(bytes(data))

        return CallbackSink(call)

    def _pipe(self) -> Sink:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self.ends = [reader, writer]
        return PipeSink(writer)

    def _socket(self) -> Sink:
        near, far = socket.socketpair()
        far.setblocking(False)
        near.setblocking(False)
        self.ends = [far, near]
        return PipeSink(near)

    def _options(self) -> FileOptions:
        return FileOptions(compression="zstd" if self.kind == "zstd" else None)

    def _open(self, chunk: int, after: Entry | None) -> FileSink:
        kind = ZstdFileSink if self.kind == "zstd" else FileSink
        suffix = ".zst" if self.kind == "zstd" else ""
        name = StreamName("app", 0, chunk, suffix)
        sink = kind(self.place, name, SIZE, (1, 2), self._options())
        if after is not None:
            sink.goes_on_after(after)
        return sink

    def _file(self) -> Sink:
        return self._open(0, None)

    _zstd = _file

    def _rotating(self) -> Sink:
        return RotatingSink(self._open, Rotation(subbufs=1))

    def output(self) -> bytes | None:
        """All that came out; None: nothing ever does."""
        if self.kind == "null":
            return None
        if self.kind == "callback":
            return b"".join(self.got)
        if self.kind in ("pipe", "socket"):
            while part := self._received():
                self.got.append(part)
            return b"".join(self.got)
        paths = sorted(self.directory.glob("app.0*"))
        if self.kind == "zstd":
            return self._frames(paths[0].read_bytes())
        return b"".join(path.read_bytes() for path in paths)

    def _received(self) -> bytes:
        end = self.ends[0]
        try:
            return os.read(end if isinstance(end, int) else end.fileno(), 4096)
        except BlockingIOError:
            return b""

    def _frames(self, data: bytes) -> bytes:
        index = Index((self.directory / ".rchan" / "app.0.zst.index").read_bytes())
        return b"".join(
            decompress(data[e.offset : e.offset + e.stored], e.length) for e in index.whole()
        )

    def end(self) -> None:
        self.sink.close()
        self.place.close()
        for end in self.ends:
            os.close(end) if isinstance(end, int) else end.close()


KINDS = ["null", "callback", "pipe", "socket", "file", "rotating", "zstd"]


@pytest.fixture(params=KINDS)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    if request.param == "zstd" and not HAS_ZSTD:
        pytest.skip("there is no zstd in this Python")
    made = Harness(request.param, tmp_path)
    yield made
    made.end()


def fill(app: rchan.Channel, count: int, first: int = 0) -> bytes:
    lines = [b"%05d\n" % number for number in range(first, first + count)]
    assert all(app.write(line, cpu=0) for line in lines)
    app.flush()
    return b"".join(lines)


class TestConformance:
    def test_each_once_in_order(self, app: rchan.Channel, harness: Harness) -> None:
        written = fill(app, 45)
        sink, buffer = harness.sink, app.buffers[0]
        assert sink.drain(buffer, 2) == LIMIT
        assert sink.subbufs == 2
        assert sink.drain(buffer, 100) == EMPTY
        assert sink.drain(buffer, 100) == EMPTY
        assert (sink.subbufs, sink.records, sink.bytes) == (5, 45, len(written))
        assert harness.output() in (written, None)
        assert app.stats().total.consumed.records == 45

    def test_nothing_of_nothing(self, app: rchan.Channel, harness: Harness) -> None:
        assert harness.sink.drain(app.buffers[0], 0) == LIMIT
        assert harness.sink.drain(app.buffers[0], 9) == EMPTY
        assert harness.output() in (b"", None)

    def test_another_reader(self, app: rchan.Channel, harness: Harness) -> None:
        written = fill(app, 10)
        held = app.buffers[0].take()
        assert held is not None
        assert harness.sink.drain(app.buffers[0], 9) == BUSY
        assert harness.output() in (b"", None)
        held.put_down()
        assert harness.sink.drain(app.buffers[0], 9) == EMPTY
        assert harness.output() in (written, None)

    def test_overwritten_ones_are_left_out(self, four_cpus: None, harness: Harness) -> None:
        with rchan.create("over", None, SIZE, 4, overwrite=True, n_buffers=1) as app:
            fill(app, 100)
            assert harness.sink.drain(app.buffers[0], 100) == EMPTY
            output = harness.output()
            assert output is None or output.endswith(b"00099\n")
            total = app.stats().total
            assert total.overwritten.records == 100 - harness.sink.records

    def test_a_reset(self, app: rchan.Channel, harness: Harness) -> None:
        written = fill(app, 10)
        harness.sink.drain(app.buffers[0], 9)
        app.reset()
        written += fill(app, 10, 10)
        harness.sink.drain(app.buffers[0], 9)
        assert harness.output() in (written, None)

    def test_sync_rotate_and_close_twice(self, app: rchan.Channel, harness: Harness) -> None:
        written = fill(app, 10)
        harness.sink.rotate()
        harness.sink.drain(app.buffers[0], 9)
        harness.sink.sync()
        harness.sink.rotate()
        written += fill(app, 10, 10)
        harness.sink.drain(app.buffers[0], 9)
        harness.sink.close()
        assert harness.output() in (written, None)
        harness.sink.close()


BREAK: dict[str, Callable[[Harness], None]] = {
    "callback": lambda harness: setattr(harness, "broken", True),
    "pipe": lambda harness: os.dup2(os.open("/dev/full", os.O_WRONLY), harness.ends[1]),
    "file": lambda harness: os.dup2(os.open("/dev/full", os.O_WRONLY), harness.sink._data_fd),
    "index": lambda harness: os.dup2(os.open("/dev/full", os.O_WRONLY), harness.sink._index_fd),
}


@pytest.mark.parametrize("what", BREAK)
def test_what_fails_is_still_in_the_channel(app: rchan.Channel, tmp_path: Path, what: str) -> None:
    harness = Harness("file" if what == "index" else what, tmp_path)
    first = fill(app, 10)
    harness.sink.drain(app.buffers[0], 9)
    second = fill(app, 10, 10)
    BREAK[what](harness)
    with pytest.raises(RecordingFailed, match="No space"):
        harness.sink.drain(app.buffers[0], 9)
    assert (harness.sink.subbufs, harness.sink.records) == (1, 10)
    assert app.stats().total.readable.records == 10
    rest = NullSink()
    rest.drain(app.buffers[0], 9)
    assert rest.bytes == len(second)
    if what == "callback":
        assert harness.output() == first
    harness.end()


def test_a_slow_pipe_holds_up_only_the_recorder(app: rchan.Channel) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sink, got = PipeSink(writer), []
    count = 0
    thread = threading.Thread(
        target=lambda: [got.append(part) for part in iter(lambda: os.read(reader, 999), b"")]
    )
    written = b""
    thread.start()
    for first in range(0, 20000, 40):
        written += fill(app, 40, first % 90000)
        count += sink.drain(app.buffers[0], 99) == EMPTY
    os.close(writer)
    thread.join()
    os.close(reader)
    assert b"".join(got) == written
    assert count == 500


def test_a_ring_keeps_the_newest_files(app: rchan.Channel, tmp_path: Path) -> None:
    harness = Harness("null", tmp_path)
    removed: list[str] = []
    ring = RotatingSink(
        harness._open, Rotation(subbufs=1, keep=2), remove=lambda file: removed.append(file.file)
    )
    for first in range(0, 40, 10):
        fill(app, 10, first)
        ring.drain(app.buffers[0], 9)
    assert removed == ["app.0", "app.0.000001"]
    assert [file.file for file in ring.files] == ["app.0.000002", "app.0.000003"]
    assert (ring.expired.records, ring.expired_files, ring.records) == (20, 2, 40)
    ring.close()
    harness.end()


def test_record_into_sinks(app: rchan.Channel) -> None:
    written = fill(app, 10)
    assert app.write(b"rest\n", cpu=0)
    got: list[bytes] = []

    def open_sink(channel: rchan.Channel, buffer: rchan.Buffer) -> Sink:
        assert channel.name == "app"
        return CallbackSink(lambda sub, data: got.append(bytes(data)))

    (done,) = record(app, sink=open_sink, stop=lambda: True)
    assert b"".join(got) == written + b"rest\n"
    assert (done.records, done.bytes) == (11, len(written) + 5)
    with pytest.raises(rchan.WrongType):
        record(app)


def test_zstd_is_asked_for_before_anything_is_touched(tmp_path: Path) -> None:
    if HAS_ZSTD:
        pytest.skip("there is zstd in this Python")
    with rchan.create("app") as app, pytest.raises(rchan.Unsupported, match=r"rchan\[zstd\]"):
        record(app, tmp_path / "x", options=Options(files=FileOptions(compression="zstd")))
    assert not (tmp_path / "x").exists()
