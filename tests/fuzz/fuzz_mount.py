"""Target, in Python: a connection to the kernel on which any requests come, whole or not. Each is
answered once at most; no error inside the server; afterwards it still answers as it should."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import struct
import sys
import tempfile
from functools import cache
from pathlib import Path

try:
    import atheris
except ImportError:  # the tests play it without
    from rchan.mount import protocol
    from rchan.mount.filesystem import Filesystem
    from rchan.mount.fuse import Session
else:
    with atheris.instrument_imports(include=["rchan.mount"]):
        from rchan.mount import protocol
        from rchan.mount.filesystem import Filesystem
        from rchan.mount.fuse import Session

from script import Input

import rchan
from rchan import _core
from rchan.mount.protocol import Op

HEAD = struct.Struct("<IIQQIIIHH")
ANSWER = struct.Struct("<IiQ")
ROOT, MOST = 1, 24
NAMES = (b"app0", b"app.ctl", b"app.stat", b"app.info", b".", b"..", b"", b"a/b", b"\xff", b"made")
BODIES = (b"flush\n", b"reset\n", b"pause\nresume\n", b"consumed 0 1\n", b"nonsense", b"\0" * 48)
# Numbers of nodes, handles, offsets and sizes; and what is none of them.
NUMBERS = (0, 1, 2, 3, 4, 5, 64, 4096, 1 << 20, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
OPS = sorted(Op)


class Kernel:
    """The other end of the connection."""

    def __init__(self, root: Path) -> None:
        self.end, self.device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        self.said: list[str] = []
        self.files = Filesystem(str(root))
        self.stop = os.eventfd(0)
        self.polls = _core.Polls(self.device.fileno(), self.stop)
        device = self.device.fileno()
        self.session = Session(device, self.files, self.polls, report=self.said.append)

    def answers(self) -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.end.recv(1 << 20))
        return found

    def send(self, message: bytes) -> None:
        """Each answer is one message of the length that it says; as many as requests, at most."""
        self.session.handle(bytearray(message), len(message))
        answers = self.answers()
        for answer in answers:
            length, number, _ = ANSWER.unpack_from(answer)
            assert length == len(answer)
            assert -4096 < number <= 0 or not answer[8:16].strip(b"\0")
        assert len([answer for answer in answers if answer[8:16].strip(b"\0")]) <= 1

    def close(self) -> None:
        self.session.close()
        self.polls.close()
        os.close(self.stop)
        self.end.close()
        self.device.close()


def header(op: int, node: int, length: int) -> bytes:
    return HEAD.pack(length & 0xFFFFFFFF, op, 7, node, 0, 0, 1, 0, 0)


def message(rest: Input) -> bytes:
    """A request, as the input says: mostly one that could be."""
    how, op = rest.number(), OPS[rest.number() % len(OPS)]
    node = NUMBERS[rest.number() % len(NUMBERS)]
    body = b""
    if how & 1:
        body = NAMES[rest.number() % len(NAMES)] + b"\0"
    elif how & 2:
        words = [NUMBERS[rest.number() % len(NUMBERS)] for _ in range(rest.number() % 8)]
        body = struct.pack(f"<{len(words)}Q", *words)
    more = BODIES[rest.number() % len(BODIES)] if how & 8 else b""
    if how & 7 == 4:  # of a read or a write
        fh, offset, size = rest.number() % 8, rest.number(), len(more) or 1 << rest.number() % 32
        body = protocol.READ_IN.pack(fh, offset, size, how >> 3, 0, 0, 0)
    body += more
    if how & 16:
        body += rest.bytes(rest.number() % 64)
    number = int(op) if how & 224 else rest.number() << 24 | rest.number()
    length = HEAD.size + len(body) - (rest.number() if how & 224 == 32 else 0)
    whole = header(number, node, length) + body
    return whole[: rest.number()] if how & 224 == 64 else whole


@cache
def ground() -> Path:
    """A directory of this process, until its end."""
    place = tempfile.mkdtemp(prefix="rchan-fuzz-", dir=os.environ.get("RCHAN_FUZZ_DIR"))
    os.chmod(place, 0o700)
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)


@cache
def channel() -> rchan.Channel:
    made = rchan.create("app", parent=ground(), subbuf_size=64, n_subbufs=4, n_buffers=1)
    atexit.register(made.close)
    return made


def begin(kernel: Kernel) -> None:
    """Say hello, look up and open what there is: nodes 2 to 4, handles 1 to 3."""
    hello = struct.pack("<IIIII44x", 7, 45, 0, 2**32 - 1, 0)
    kernel.send(header(Op.INIT, 0, HEAD.size + len(hello)) + hello)
    for number, name in enumerate((b"app0", b"app.ctl", b"app.stat")):
        kernel.send(header(Op.LOOKUP, ROOT, HEAD.size + len(name) + 1) + name + b"\0")
        flags = os.O_WRONLY if name.endswith(b"ctl") else os.O_RDONLY
        kernel.send(header(Op.OPEN, number + 2, HEAD.size + 8) + struct.pack("<II", flags, 0))


def play(data: bytes) -> None:
    app, rest = channel(), Input(data)
    app.write(b"data")
    kernel = Kernel(ground())
    try:
        if rest.number() % 8:
            begin(kernel)
        for _ in range(MOST):
            if not rest:
                break
            kernel.send(message(rest))
        assert not any("internal error" in said for said in kernel.said), kernel.said
        kernel.session.handle(header(Op.GETATTR, ROOT, HEAD.size + 16) + bytes(16), HEAD.size + 16)
        assert ANSWER.unpack_from(kernel.answers()[-1])[1] == 0, "it does not answer any more"
    finally:
        kernel.close()
        app.enabled = True
        app.reset()
        for made in os.scandir(ground()):
            if made.is_dir():
                os.rmdir(made)


def main() -> None:
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
