"""Polls: the requests about known files that the server's C part answers, and what it tells."""

import errno
import os
import select
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from forking import forked

import rchan
from rchan import _core
from rchan.mount import protocol
from rchan.mount.protocol import Op

HEAD = struct.Struct("<IIQQIIIHH")
OUT = struct.Struct("<IiQ")
IN, ERR = select.POLLIN | select.POLLRDNORM, select.POLLERR
FILE, KERNELS = 5, 77  # the server's number of the file, and the kernel's for who polls it


class Device:
    """A connection whose other end is the test, and Polls on it."""

    def __init__(self):
        self.end, self.device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        self.device.setblocking(False)
        self.stop, self.stopping = os.pipe()
        self.polls = _core.Polls(self.device.fileno(), self.stop)
        self.message = bytearray(8192)

    def ask(self, op, body=b""):
        """Send a request, and receive until the server's Python has something to do."""
        self.end.send(HEAD.pack(HEAD.size + len(body), op, 9, 1, 0, 0, 0, 0, 0) + body)

    def poll(self, fh=FILE, kh=KERNELS, schedule=True):
        self.ask(Op.POLL, protocol.POLL_IN.pack(fh, kh, int(schedule), 0))

    def run(self):
        """Receive up to a request that is not answered there."""
        self.ask(Op.STATFS)
        length = self.polls.receive(self.message)
        assert length == HEAD.size and HEAD.unpack_from(self.message)[1] == Op.STATFS

    def said(self):
        """What came from the server: ("mask", m) for answers, ("news", kh) for news."""
        found = []
        while True:
            try:
                message = self.end.recv(4096)
            except BlockingIOError:
                return found
            length, notice, unique = OUT.unpack_from(message)
            assert length == len(message)
            if unique:
                assert (notice, unique) == (0, 9)
                found.append(("mask", struct.unpack_from("<I", message, 16)[0]))
            else:
                assert notice == 1, "FUSE_NOTIFY_POLL"
                found.append(("news", struct.unpack_from("<Q", message, 16)[0]))

    def answers(self, **how):
        self.poll(**how)
        self.run()
        return self.said()

    def close(self):
        self.polls.close()
        self.end.close()
        self.device.close()
        os.close(self.stop)
        os.close(self.stopping)


@pytest.fixture
def device():
    found = Device()
    yield found
    found.close()


@pytest.fixture
def app(four_cpus, device):
    with rchan.create("app", subbuf_size=64, n_subbufs=4, n_buffers=2) as channel:
        reader = rchan.open("app")
        device.polls.add(FILE, reader._buffers()[0])
        yield channel
        device.polls.close()
        reader.detach()


def finish(channel, cpu=0):
    assert channel.write(b"x", cpu=cpu)
    channel.buffers[cpu].flush()


def test_polls_of_unknown_files_are_the_callers(device):
    device.poll()
    assert device.polls.receive(device.message) == HEAD.size + protocol.POLL_IN.size
    assert HEAD.unpack_from(device.message)[1] == Op.POLL
    assert device.said() == []
    assert device.polls.answer(9, FILE, None) is False


def test_what_is_not_whole_is_the_callers(device, app):
    device.ask(Op.POLL, b"short")
    assert device.polls.receive(device.message) == HEAD.size + 5


def test_answers(device, app):
    assert device.answers() == [("mask", 0)]
    finish(app)
    device.run()
    assert device.said() == [("news", KERNELS)]
    assert device.answers() == [("mask", IN)]
    app.buffers[0].read(99)
    assert device.answers() == [("mask", 0)]
    app.finalize()
    device.run()
    assert device.said() == [("news", KERNELS)]
    assert device.answers() == [("mask", ERR)]


def test_news_are_told_once(device, app):
    device.answers()
    for _ in range(3):
        finish(app)
        device.run()
    assert device.said() == [("news", KERNELS)]


def test_more_of_the_same_is_news(device, app):
    """For edges: each poll that found something is told of the next finished sub-buffer."""
    for _ in range(3):
        finish(app)
        device.run()
        device.said()
        assert device.answers() == [("mask", IN)]
        device.run()
        assert device.said() == [], "but not of what it was answered"


def test_an_end_is_told_once(device, app):
    """Else a client that sleeps for edges and the server would keep each other awake."""
    app.finalize()
    for _ in range(3):
        assert device.answers() == [("mask", ERR)]
        device.run()
        assert device.said() == []


def test_without_a_handle_nobody_is_told(device, app):
    assert device.answers(schedule=False) == [("mask", 0)]
    finish(app)
    device.run()
    assert device.said() == []


def test_news_of_another_buffer_are_not_told_but_its_own_that_follow_are(device, app):
    device.answers()
    finish(app, cpu=1)
    device.run()
    assert device.said() == []
    finish(app, cpu=0)
    device.run()
    assert device.said() == [("news", KERNELS)]


def test_what_was_only_announced_is_news(device, app):
    """Without a finished sub-buffer: the wake-up mode announces single records."""
    app.wakeup = ("records", 1)
    device.answers()
    assert app.write(b"x", cpu=0)
    device.run()
    assert device.said() == [("news", KERNELS)]
    assert device.answers() == [("mask", IN)]


def test_several_files_of_a_channel(device, app):
    buffers = rchan.open("app")
    device.polls.add(6, buffers._buffers()[0])
    device.polls.add(6 + 256, buffers._buffers()[1])
    for fh in (FILE, 6, 6 + 256):
        assert device.answers(fh=fh, kh=1000 + fh) == [("mask", 0)]
    finish(app)
    device.run()
    assert sorted(device.said()) == [("news", 1000 + FILE), ("news", 1006)]
    device.polls.drop(6)
    device.polls.drop(6)
    assert device.polls.answer(9, 6, None) is False
    for fh in (FILE, 6 + 256):
        assert device.polls.answer(9, fh, None) is True
    device.polls.drop(6 + 256)
    buffers.detach()


def bells(place):
    return [name for name in os.listdir(place) if name.endswith(".bell")]


def test_a_bell_hangs_only_while_a_file_is_known(device, app, channels):
    assert bells(channels) == ["app.0.bell"]
    device.answers()
    device.polls.drop(FILE)
    assert bells(channels) == []
    finish(app)
    device.run()
    assert device.said() == []


@pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
def test_a_channel_that_was_cut_has_an_error(device, channels):
    pid = os.fork()
    if pid == 0:
        rchan.create("cut", subbuf_size=64, n_buffers=1).write(b"x")
        os._exit(0)
    os.waitpid(pid, 0)
    reader = rchan.open("cut")
    device.polls.add(FILE, reader._buffers()[0])
    assert device.answers() == [("mask", 0)]
    os.truncate(channels / "cut.chan", 0)
    for _ in range(2):
        assert device.answers() == [("mask", ERR)]
    assert reader._buffers()[0]._is_whole() is False
    device.polls.close()
    reader.detach()


def test_the_end(device, app):
    os.write(device.stopping, b"x")
    device.ask(Op.STATFS)
    for _ in range(2):
        assert device.polls.receive(device.message) == 0
    device.polls.close()
    device.polls.close()
    for act in (lambda: device.polls.receive(device.message), lambda: device.polls.drop(FILE)):
        with pytest.raises(ValueError, match="closed"):
            act()


def test_one_thread_at_a_time(device, app):
    """The other one is refused, and the first goes on."""
    found = []
    thread = threading.Thread(target=lambda: found.append(device.polls.receive(device.message)))
    thread.start()
    while thread.is_alive():
        try:
            device.polls.drop(999)
        except ValueError:
            break
    with pytest.raises(ValueError, match="another thread"):
        device.polls.close()
    os.write(device.stopping, b"x")
    thread.join()
    assert found == [0]


def test_wrong_arguments(device, app):
    with pytest.raises(TypeError):
        device.polls.add(1, object())
    with pytest.raises(BufferError):
        device.polls.receive(b"cannot be written")
    with pytest.raises(OSError) as caught:
        _core.Polls(-1, -1)
    assert caught.value.errno == errno.EBADF


def test_a_child_that_has_the_bell_open_does_not_keep_it(device, app):
    """Else the dropped channel's memory would be looked at when somebody rings."""

    def watched():
        found = 0
        for fd in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                text = Path(f"/proc/self/fdinfo/{fd}").read_text()
                found += text.count("tfd:")
        return found

    assert device.answers() == [("mask", 0)]
    with forked(lambda: None):
        assert watched() == 3, "device, stop, bell"
        device.polls.drop(FILE)
        assert watched() == 2
        device.run()


def test_a_child_leaves_its_parents_bells_alone(device, app):
    assert device.answers() == [("mask", 0)]
    with forked(lambda: device.polls.drop(FILE)):
        finish(app)
        device.run()
        assert device.said() == [("news", KERNELS)]
