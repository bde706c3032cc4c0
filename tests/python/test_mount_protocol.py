"""Requests of any kind, also malformed ones, on a connection that is not mounted."""

import contextlib
import errno
import os
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rchan
from rchan import _core
from rchan.mount import protocol
from rchan.mount.filesystem import Filesystem
from rchan.mount.fuse import Session
from rchan.mount.nodes import Nodes
from rchan.mount.protocol import Malformed, Op, decode

HEAD = struct.Struct("<IIQQIIIHH")


def request(op, body=b"", node=1, unique=7, pid=1):
    return HEAD.pack(HEAD.size + len(body), op, unique, node, 0, 0, pid, 0, 0) + body


class Kernel:
    """The other end of the connection: one message in, at most one out."""

    def __init__(self, root):
        self.end, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        self.device = device
        self.said = []
        self.files = Filesystem(str(root))
        device.setblocking(False)
        self.stop, self.stopping = os.pipe()
        self.polls = _core.Polls(device.fileno(), self.stop)
        self.session = Session(device.fileno(), self.files, self.polls, report=self.said.append)

    def raw(self, message):
        self.session.handle(bytearray(message), len(message))
        with contextlib.suppress(BlockingIOError):
            return self.end.recv(1 << 20)
        return None

    def ask(self, op, body=b"", node=1, unique=7, pid=1):
        """(errno, payload), or None: no answer."""
        answer = self.raw(request(op, body, node, unique, pid))
        if answer is None:
            return None
        length, number, to = struct.unpack_from("<IiQ", answer)
        assert length == len(answer) and to == unique
        return -number, answer[16:]

    def lookup(self, name, node=1):
        number, payload = self.ask(Op.LOOKUP, os.fsencode(name) + b"\0", node)
        return struct.unpack_from("<Q", payload)[0] if not number else -number

    def open(self, node, flags=os.O_RDONLY):
        number, payload = self.ask(Op.OPEN, struct.pack("<II", flags, 0), node)
        return struct.unpack_from("<Q", payload)[0] if not number else -number

    def read(self, fh, size=4096, offset=0, how=protocol.READ_LOCKOWNER):
        return self.ask(Op.READ, protocol.READ_IN.pack(fh, offset, size, how, 0, 0, 0))

    def close(self):
        self.session.close()
        self.polls.close()
        self.end.close()
        self.device.close()
        os.close(self.stop)
        os.close(self.stopping)


@pytest.fixture
def kernel(channels, four_cpus):
    found = Kernel(channels)
    yield found
    found.close()


@pytest.fixture
def app(four_cpus):
    with rchan.create("app", subbuf_size=64, n_subbufs=4, n_buffers=2) as channel:
        yield channel


def init(minor=45, flags=0xFFFFFFFF, flags2=0xFFFFFFFF):
    return struct.pack("<IIIII44x", 7, minor, 131072, flags, flags2)


def test_hello(kernel):
    number, payload = kernel.ask(Op.INIT, init())
    assert number == 0 and len(payload) == 64
    major, minor = struct.unpack_from("<II", payload)
    assert (major, minor) == (7, 40)
    assert struct.unpack_from("<I", payload, 20)[0] == protocol.MAX_WRITE
    assert struct.unpack_from("<H", payload, 28)[0] == 256
    assert kernel.session.ready


def test_hello_with_a_timeout(channels):
    found = Kernel(channels)
    found.session.timeout = 30
    for flags2, timeout in ((0xFFFFFFFF, 30), (0, 0)):
        _, payload = found.ask(Op.INIT, init(flags2=flags2))
        assert struct.unpack_from("<H", payload, 40)[0] == timeout
    found.close()


def test_a_kernel_that_is_too_old_or_too_new(kernel):
    assert kernel.ask(Op.INIT, struct.pack("<IIIII", 7, 8, 0, 0, 0))[0] == errno.EINVAL
    assert not kernel.session.ready
    number, payload = kernel.ask(Op.INIT, struct.pack("<IIIII", 8, 0, 0, 0, 0))
    assert number == 0 and struct.unpack_from("<I", payload)[0] == 7
    assert not kernel.session.ready


def test_a_read_is_consumed_when_it_is_delivered(kernel, app):
    app.write(b"abcdef", cpu=0)
    fh = kernel.open(kernel.lookup("app0"))
    assert kernel.read(fh, 4) == (0, b"abcd")
    assert kernel.read(fh, 4) == (0, b"ef")
    assert kernel.read(fh, 4) == (0, b"")
    assert app.stats()[0].consumed == (0, 6)


def test_a_reply_that_is_refused_is_unread(kernel, app):
    app.write(b"abcdef", cpu=0)
    fh = kernel.open(kernel.lookup("app0"))
    kernel.end.shutdown(socket.SHUT_RD)
    assert kernel.raw(request(Op.READ, protocol.READ_IN.pack(fh, 0, 4, 2, 0, 0, 0))) in (None, b"")
    assert app.stats()[0].consumed == (0, 0)
    assert app.buffers[0].read(99) == b"abcdef"


def test_an_open_that_nobody_hears_of_is_closed(kernel, app):
    node = kernel.lookup("app0")
    kernel.end.close()
    for op in (Op.OPEN, Op.OPENDIR):
        message = request(op, bytes(8), node if op is Op.OPEN else 1)
        kernel.session.handle(message, len(message))
    assert len(kernel.session._handles) == 0 and len(app.producers()) == 1
    message = request(Op.LOOKUP, b"app1\0")
    kernel.session.handle(message, len(message))
    assert len(kernel.session._nodes) == 2


def test_the_page_cache_gets_nothing(kernel, app):
    app.write(b"abcdef", cpu=0)
    fh = kernel.open(kernel.lookup("app0"))
    assert kernel.read(fh, how=0) == (errno.EINVAL, b"")
    assert kernel.read(fh) == (0, b"abcdef")


REFUSED = [
    (Op.SYMLINK, errno.EPERM),
    (Op.MKNOD, errno.EPERM),
    (Op.UNLINK, errno.EPERM),
    (Op.RENAME, errno.EPERM),
    (Op.RENAME2, errno.EPERM),
    (Op.LINK, errno.EPERM),
    (Op.CREATE, errno.EACCES),
    (Op.SETXATTR, errno.EOPNOTSUPP),
    (Op.READLINK, errno.EINVAL),
    (Op.IOCTL, errno.ENOTTY),
    (Op.FLUSH, errno.ENOSYS),
    (46, errno.ENOSYS),
    (9999, errno.ENOSYS),
    (0, errno.ENOSYS),
]


@pytest.mark.parametrize(("op", "number"), REFUSED)
def test_what_is_refused(kernel, op, number):
    assert kernel.ask(op, b"x\0y\0") == (number, b"")


def test_a_file_cannot_be_opened_for_writing_nor_changed(kernel, app):
    node = kernel.lookup("app0")
    assert kernel.open(node, os.O_WRONLY) == -errno.EACCES
    assert kernel.open(node, os.O_RDWR) == -errno.EACCES
    setattr_size = struct.pack("<IIQQ", protocol.SETATTR_SIZE, 0, 0, 0) + bytes(64)
    assert kernel.ask(Op.SETATTR, setattr_size, node)[0] == errno.EACCES
    setattr_mode = struct.pack("<IIQQ", 1, 0, 0, 0) + bytes(64)
    assert kernel.ask(Op.SETATTR, setattr_mode, node)[0] == errno.EPERM
    control = kernel.lookup("app.ctl")
    assert kernel.ask(Op.SETATTR, setattr_size, control)[0] == 0


def test_numbers_that_were_never_given(kernel, app):
    assert kernel.ask(Op.GETATTR, bytes(16), node=99)[0] == errno.ENOENT
    assert kernel.read(77)[0] == errno.EBADF
    assert kernel.ask(Op.POLL, protocol.POLL_IN.pack(77, 1, 1, 0))[0] == errno.EBADF
    assert kernel.ask(Op.RELEASE, bytes(24))[0] == 0
    assert kernel.ask(Op.FORGET, struct.pack("<Q", 5), node=99) is None


def test_nodes_are_forgotten(kernel, app):
    nodes: Nodes = kernel.session._nodes
    node = kernel.lookup("app0")
    assert kernel.lookup("app0") == node and len(nodes) == 2
    kernel.ask(Op.FORGET, struct.pack("<Q", 1), node)
    assert len(nodes) == 2
    kernel.ask(Op.BATCH_FORGET, struct.pack("<IIQQQQ", 2, 0, node, 1, 1, 99))
    assert len(nodes) == 1


def test_a_channel_of_the_same_name_is_another_node(kernel):
    with rchan.create("again", subbuf_size=64, n_buffers=1):
        first = kernel.lookup("again0")
    with rchan.create("again", subbuf_size=64, n_buffers=1):
        assert kernel.lookup("again0") != first
        assert kernel.open(first) == -errno.ENOENT


def test_directories_are_read_in_pieces(kernel, app):
    _, payload = kernel.ask(Op.OPENDIR, bytes(8))
    fh, found, offset = struct.unpack_from("<Q", payload)[0], [], 0
    while True:
        body = protocol.READ_IN.pack(fh, offset, 80, 0, 0, 0, 0)
        number, data = kernel.ask(Op.READDIR, body)
        assert number == 0
        if not data:
            break
        while data:
            _, offset, length, _ = struct.unpack_from("<QQII", data)
            found.append(data[24 : 24 + length].decode())
            data = data[24 + -(-length // 8) * 8 :]
    assert found == [".", "..", "app.ctl", "app.info", "app.stat", "app0", "app1"]


@pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
def test_a_damaged_channel_is_reported(kernel, app, channels):
    app.write(b"x", cpu=0)
    with open(channels / "app.chan", "r+b") as file:
        file.write(b"\xff" * 4096)
    assert kernel.open(kernel.lookup("app0")) == -errno.EIO
    assert len(kernel.said) == 1 and "app" in kernel.said[0]


@pytest.mark.parametrize("op", [op for op in Op if op is not Op.INIT])
@pytest.mark.parametrize("length", [0, 1, 7, 8, 15, 39])
def test_requests_that_are_too_short(kernel, app, op, length):
    kernel.ask(op, b"\xff" * length)
    assert kernel.lookup("app0") > 1, "and it goes on"


def test_messages_that_are_none(kernel):
    for message in (b"", b"x", bytes(39), bytes(40), request(Op.LOOKUP, b"x\0")[:-1]):
        assert kernel.raw(message) is None
    assert len(kernel.said) == 5


@given(
    op=st.one_of(st.sampled_from(list(Op)), st.integers(0, 2**32 - 1)),
    node=st.sampled_from([0, 1, 2, 3, 4, 5, 6, 2**64 - 1]),
    body=st.one_of(
        st.binary(max_size=120),
        st.lists(
            st.sampled_from([0, 1, 2, 3, 4, 5, 8, 64, 2**32, 2**63, 2**64 - 1]), max_size=9
        ).map(lambda words: struct.pack(f"<{len(words)}Q", *words)),
        st.sampled_from([b"app0\0", b"app.ctl\0", b"..\0", b"\xff\0", b"a/b\0", b"flush\n"]),
    ),
)
@settings(max_examples=150)
def test_no_request_breaks_the_server(op, node, body):
    root = rchan.names.root()
    kernel = Kernel(root)
    with rchan.create("app", subbuf_size=64, n_subbufs=4, n_buffers=1) as channel:
        channel.write(b"data")
        for name in ("app0", "app.ctl", "app.stat"):
            fh = kernel.open(kernel.lookup(name), os.O_WRONLY if name == "app.ctl" else 0)
            assert fh > 0
        kernel.ask(op, body, node)
        assert not any("internal error" in said for said in kernel.said), kernel.said
        assert kernel.ask(Op.GETATTR, bytes(16))[0] == 0
        for made in os.scandir(root):
            if made.is_dir():
                os.rmdir(made)
        kernel.close()


@given(st.binary(max_size=200))
def test_the_decoder_raises_malformed_only(message):
    with contextlib.suppress(Malformed):
        found = decode(message, len(message))
        for reader in (protocol.forgets, protocol.write_data, protocol.getxattr_fields):
            with contextlib.suppress(Malformed):
                reader(found)
