"""Buffers as relay files."""

import gc
import io
import os
import select
import shutil
import signal
import socket
import threading
import time

import pytest

import rchan


@pytest.fixture
def file(small):
    with rchan.RelayFile(small.buffers[0]) as file:
        yield file


def test_open_file_by_path(small, channels, open_files):
    small.write(b"by path", 1)
    with rchan.open_file(channels / "small1") as file:
        assert (file.name, file.mode, file.readable(), file.writable()) == (
            "small1",
            "rb",
            True,
            False,
        )
        assert file.read() == b"by path"
    with rchan.open_file(str(channels / "small1")) as file:
        assert file.read() == b""
    del file
    gc.collect()


def test_open_file_finds_names_that_end_in_digits(four_cpus, channels):
    with rchan.create("app1", subbuf_size=64, n_buffers=2) as channel:
        channel.write(b"right", 1)
        assert rchan.open_file(channels / "app11").read() == b"right"
        with pytest.raises(rchan.ChannelNotFound):
            rchan.open_file(channels / "app12")


@pytest.mark.parametrize("name", ["small", "small9", "small01", "other0", "7"])
def test_open_file_of_what_is_none(small, channels, name):
    with pytest.raises((rchan.ChannelNotFound, rchan.BadName)):
        rchan.open_file(channels / name)
    with pytest.raises(rchan.WrongType):
        rchan.open_file(7)


def test_it_is_a_raw_io(small, file):
    assert isinstance(file, io.RawIOBase)
    assert not file.seekable()
    with pytest.raises(io.UnsupportedOperation):
        file.seek(0)
    for number in range(3):
        small.write(b"line %d\n" % number, 0)
    assert file.readline() == b"line 0\n"
    assert list(io.BufferedReader(file)) == [b"line 1\n", b"line 2\n"]


def test_read_runs_over_boundaries(small, file):
    small.write(b"a" * 20, 0)
    small.write(b"b" * 20, 0)
    small.write(b"c" * 20, 0)
    assert file.read(0) == b""
    assert file.read(30) == b"a" * 20 + b"b" * 10
    into = bytearray(100)
    assert file.readinto(into) == 30
    assert into[:30] == b"b" * 10 + b"c" * 20
    assert file.read(100) == file.read() == b""
    assert file.readinto(into) == 0


def test_all_openings_share_the_position(small, file):
    small.write(b"abcdef", 0)
    with rchan.RelayFile(small.buffers[0]) as other:
        assert file.read(3) == b"abc"
        assert other.read(9) == b"def"


def test_size_grows_by_what_finished_subbufs_hold(small, file):
    small.write(b"a" * 20, 0)
    assert file.size == 0
    small.write(b"b" * 20, 0)
    assert file.size == 20
    small.flush()
    assert file.size == 40


def test_poll(small, file):
    assert file.poll() == 0
    small.write(b"unfinished", 0)
    assert file.poll() == file.poll(1) == 0
    small.flush()
    announced = select.POLLIN | select.POLLRDNORM
    assert file.poll() == file.poll(None) == file.poll(1000) == announced
    file.read()
    assert file.poll() == 0
    small.finalize()
    assert file.poll() == file.poll(None) == select.POLLERR


def test_poll_sleeps_until_a_switch(small, file):
    masks = []
    sleeper = threading.Thread(target=lambda: masks.append(file.poll(60_000)))
    sleeper.start()
    small.write(b"x", 0)
    small.flush()
    sleeper.join()
    assert masks == [select.POLLIN | select.POLLRDNORM]


def test_poll_goes_on_after_a_signal_and_ends_with_its_exception(small, file):
    def interrupt_until(done, seen):
        while not done.wait(0.001):
            os.kill(os.getpid(), signal.SIGUSR1)
            if len(seen) == 3:
                small.write(b"x", 0)
                small.flush()

    def run(handler, timeout_ms, seen=()):
        done = threading.Event()
        before = signal.signal(signal.SIGUSR1, handler)
        sender = threading.Thread(target=interrupt_until, args=(done, seen))
        try:
            sender.start()
            return file.poll(timeout_ms)
        finally:
            done.set()
            sender.join()
            signal.signal(signal.SIGUSR1, before)

    start = time.monotonic()
    assert run(lambda *_: None, 50) == 0
    assert time.monotonic() - start >= 0.05
    seen = []
    assert run(lambda *_: seen.append(1), None, seen) == select.POLLIN | select.POLLRDNORM
    assert len(seen) >= 3
    while file.poll():
        file.read()

    failed = []

    def fail(*_):
        if not failed:  # once: later signals may come while we clean up
            failed.append(1)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(fail, None)


def test_a_blocking_read_waits_for_something_and_for_the_end(small, channels):
    got = []

    def read_all():
        with rchan.open_file(channels / "small0", blocking=True) as file:
            assert file.blocking
            into = bytearray(8)
            got.append(file.read(0))
            got.append(file.read(8))
            got.append(bytes(into[: file.readinto(into)]))
            got.append(file.readinto(bytearray()))
            got.append(file.read())
            got.append(file.read())

    reader = threading.Thread(target=read_all)
    reader.start()
    for record in (b"first", b"second"):
        buffer = small.buffers[0]
        small.write(record, 0)
        small.flush()
        while buffer.subbufs_consumed < buffer.subbufs_produced:
            os.sched_yield()
    small.finalize()
    reader.join()
    assert got == [b"", b"first", b"second", 0, b"", b""]


def test_a_blocking_read_waits_while_another_holds_it_even_at_the_end(small, channels):
    small.write(b"held", 0)
    small.flush()
    with rchan.open("small") as other:
        held = other.buffers[0].take()
        small.finalize()
        got = []
        file = rchan.open_file(channels / "small0", blocking=True)
        reader = threading.Thread(target=lambda: got.append(file.read()))
        reader.start()
        held.put_down()
    reader.join()
    assert got == [b"held"]
    file.close()


def test_buffered_reader_and_copyfileobj_to_the_end(small, channels):
    for number in range(3):
        small.write(b"line %d\n" % number, 0)
    small.finalize()
    with io.BufferedReader(rchan.open_file(channels / "small0", blocking=True)) as reader:
        assert reader.readline() == b"line 0\n"
        into = io.BytesIO()
        shutil.copyfileobj(reader, into)
    assert into.getvalue() == b"line 1\nline 2\n"


def test_a_file_is_readable_after_the_channel_is_gone(small, channels):
    small.write(b"kept", 0)
    file = rchan.open_file(channels / "small0")
    again = rchan.open_file(channels / "small0")
    small.close()
    assert list(channels.iterdir()) == []
    assert file.read(2) == b"ke"
    file.close()
    assert again.read() == b"pt"
    again.close()


def test_sendfile_to_a_regular_file(small, file, tmp_path):
    for fill in (b"a", b"b", b"c"):
        small.write(fill * 20, 0)
    small.flush()
    with open(tmp_path / "out", "w+b", buffering=0) as out:
        assert file.sendfile(out.fileno(), 0) == 0
        assert file.sendfile(out.fileno(), 30) == 30
        assert file.sendfile(out.fileno()) == 30
        assert file.sendfile(out.fileno()) == 0
        small.reset()
        small.write(b"z" * 30, 0)  # over what was delivered
        out.seek(0)
        assert out.read() == b"a" * 20 + b"b" * 20 + b"c" * 20


def test_sendfile_to_a_socket_consumes_what_it_takes(four_cpus):
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far, rchan.create("big", subbuf_size=1 << 20, n_subbufs=2, n_buffers=1) as channel:
        data = os.urandom(1 << 20)
        channel.write(data)
        channel.flush()
        file = rchan.RelayFile(channel.buffers[0])
        got = bytearray()
        with pytest.raises(BlockingIOError):
            while True:
                file.sendfile(near.fileno())
        while len(got) < len(data):
            got += far.recv(1 << 20)
            file.sendfile(near.fileno())
        assert got == data
        assert channel.stats().total.consumed == (1, 1 << 20)


def test_sendfile_to_what_is_none_loses_nothing(small, file):
    small.write(b"kept", 0)
    small.flush()
    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(BrokenPipeError):
        file.sendfile(near.fileno())
    with pytest.raises(OSError):
        file.sendfile(-1)
    assert file.read() == b"kept"


@pytest.mark.parametrize("length", [0, 1, 4095, 4097, 8192])
def test_mmap_of_another_length(file, length):
    with pytest.raises(rchan.GeometryError, match="4096"):
        file.mmap(length)
    with pytest.raises(rchan.GeometryError):
        file.mmap(4096, 4096)


def test_mmap_shows_the_live_buffer(small, file):
    assert file.mmap().nbytes == 4096
    view = file.mmap(4096)
    assert view.readonly
    assert view.nbytes == 4096
    small.write(b"live", 0)
    assert bytes(view[:5]) == b"live\0"
    file.close()
    small.close()
    assert bytes(view[:5]) == b"live\0"


@pytest.fixture
def pipe():
    source, into = os.pipe()
    yield source, into
    os.close(source)
    os.close(into)


def test_splice_gives_one_subbuf_a_call(small, file, pipe):
    source, into = pipe
    small.write(b"a" * 20, 0)
    small.write(b"b" * 30, 0)
    small.flush()
    assert file.splice(into, 8) == 8
    assert file.splice(into, 100) == 12
    assert file.read(10) == b"b" * 10
    assert file.splice(into, 100) == 20
    assert file.splice(into, 100) == file.splice(into, 0, nonblock=True) == 0
    assert os.read(source, 100) == b"a" * 20 + b"b" * 20
    assert small.stats().total.consumed == (2, 50)


def test_splice_consumes_what_the_pipe_takes(four_cpus, pipe):
    source, into = pipe
    os.set_blocking(into, False)
    with rchan.create("big", subbuf_size=100_000, n_subbufs=2, n_buffers=1) as channel:
        data = os.urandom(100_000)
        channel.write(data)
        channel.flush()
        file = rchan.RelayFile(channel.buffers[0])
        got = b""
        with pytest.raises(BlockingIOError):
            while True:
                file.splice(into, 1_000_000, nonblock=True)
        assert channel.buffers[0].subbufs_consumed == 0
        while len(got) < len(data):
            got += os.read(source, 1_000_000)
            if len(got) < len(data):
                file.splice(into, 1_000_000, nonblock=True)
        assert got == data
        assert channel.buffers[0].subbufs_consumed == 1
        assert channel.stats().total.consumed == (1, 100_000)


def test_splice_to_what_is_none_loses_nothing(small, file):
    small.write(b"kept", 0)
    small.flush()
    source, into = os.pipe()
    os.close(source)
    with pytest.raises(OSError):
        file.splice(into, 100)
    os.close(into)
    with pytest.raises(OSError):
        file.splice(into, 100)
    assert file.read() == b"kept"


def test_while_another_holds_a_subbuf_nothing_is_there(small, file):
    small.write(b"held", 0)
    small.flush()
    with rchan.open("small") as other:
        held = other.buffers[0].take()
        assert file.read() == b""
        assert file.splice(1, 100) == 0
        held.put_down()
    assert file.read() == b"held"


def test_after_close(small, file):
    file.close()
    file.close()
    assert file.closed
    for call in (file.read, file.poll, lambda: file.readinto(bytearray(1)), lambda: file.size):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(rchan.WrongType):
        rchan.RelayFile("small0")
