"""RelayFile: a buffer as a file, with the semantics of the kernel's relay files."""

import errno
import io
import os
import re
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from rchan import _core
from rchan.callbacks import Callbacks, check_callbacks, overridden
from rchan.channel import Channel, open
from rchan.errors import BadName, ChannelClosed, ChannelNotFound, GeometryError, WrongType
from rchan.names import CONTROL_SUFFIX

if TYPE_CHECKING:
    from typing_extensions import Buffer as _Bytes


class RelayFile(io.RawIOBase):
    """One opening of a buffer (relay_file_operations). All openings share one consumption state.

    It keeps the buffer alive, so what is in it can be read to the end after the channel was
    closed or removed. Raises ChannelClosed after `close`.
    """

    def __init__(self, buffer: _core.Buffer, callbacks: Callbacks | None = None) -> None:
        """buffer: such as `channel.buffers[0]`. callbacks: whose buf_mapped, buf_unmapped."""
        super().__init__()
        if not isinstance(buffer, _core.Buffer):
            raise WrongType(f"a RelayFile is of a Buffer, not of a {type(buffer).__name__}")
        self._buffer: _core.Buffer | None = buffer
        self._callbacks = check_callbacks(callbacks)
        self.name = buffer.file_name
        self.mode = "rb"

    @property
    def buffer(self) -> _core.Buffer:
        """The buffer that this file reads."""
        if self._buffer is None:
            raise ChannelClosed(f"file {self.name!r} is closed")
        return self._buffer

    @property
    def size(self) -> int:
        """Size of the file as the kernel shows it: bytes that finished sub-buffers ever held."""
        return self.buffer.file_size or 0

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to size bytes, consumed; never blocks; b"" means that nothing is there (now).

        Runs over sub-buffer boundaries, skips padding, includes what is already written to the
        unfinished sub-buffer. size < 0 or None: all that is there. While another reader holds a
        sub-buffer nothing is there for this one.
        """
        if size is None or size < 0:
            return self.readall()
        try:
            return self.buffer.read(size)
        except BlockingIOError:
            return b""

    def readall(self) -> bytes:
        """All that is there now, at most one buffer's worth."""
        return self.read(self.buffer.alloc_size)

    def readinto(self, into: "_Bytes", /) -> int:
        """Like read, into a writable bytes-like object; the number of bytes."""
        try:
            return self.buffer.readinto(into)
        except BlockingIOError:
            return 0

    def poll(self, timeout_ms: float | None = 0) -> int:
        """Mask of what is there: select.POLLIN | POLLRDNORM, POLLERR once finalized, else 0.

        timeout_ms: how long to sleep for it; 0: not at all, None: for ever. Announced are
        finished sub-buffers only.
        """
        if timeout_ms == 0:
            return self.buffer.poll()
        return self.buffer.wait(None if timeout_ms is None else timeout_ms / 1000)

    def mmap(self, length: int, offset: int = 0) -> memoryview:
        """The live buffer, read-only (relay_file_mmap). length: exactly buffer.alloc_size.

        buf_mapped is told now, buf_unmapped when the view is gone. Raises GeometryError for
        any other length or offset (the kernel's EINVAL).
        """
        buffer = self.buffer
        if (length, offset) != (buffer.alloc_size, 0):
            raise GeometryError(
                f"mmap of {length} bytes at {offset}: a buffer is mapped as a whole, "
                f"{buffer.alloc_size} bytes at 0"
            )
        view = buffer.memory
        if self._callbacks is not None:
            if overridden(self._callbacks, "buf_unmapped"):
                ended = weakref.finalize(view, self._callbacks.buf_unmapped, buffer, self)
                ended.atexit = False
            self._callbacks.buf_mapped(buffer, self)
        return view

    def splice(self, fd: int, length: int, nonblock: bool = False) -> int:
        """Move up to length bytes of one finished sub-buffer to a pipe (splice_read).

        Gives the bytes moved, padding not counted; what the pipe did not take stays. Nothing
        finished: 0, or BlockingIOError (EAGAIN) with nonblock, also if the pipe is full then.
        The pipe gets a copy: what was delivered never changes.
        """
        if length <= 0:
            return 0
        while (held := self._take()) is not None:
            with held.data as data, data[:length] as part:
                chunk = bytes(part)
            if held.whole:
                return _hand_over(held, chunk, fd, nonblock)
            held.put_down()  # overwritten meanwhile: the next take goes on behind it
        if nonblock:
            raise BlockingIOError(errno.EAGAIN, f"nothing finished in {self.name!r}")
        return 0

    def _take(self) -> _core.Subbuf | None:
        try:
            return self.buffer.take()
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Drop this opening (release). A second call does nothing."""
        self._buffer = None
        super().close()


def _hand_over(held: _core.Subbuf, chunk: bytes, fd: int, nonblock: bool) -> int:
    moved = 0
    try:
        moved = _into_pipe(chunk, fd, nonblock)
    finally:
        if moved:
            held.give_back(moved)
        else:
            held.put_down()
    return moved


def _into_pipe(chunk: bytes, fd: int, nonblock: bool) -> int:
    """Through a pipe of our own: splice(2) does not wait if told so, write(2) has no such flag."""
    source, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        taken = os.write(into, chunk)
        return os.splice(source, fd, taken, flags=os.SPLICE_F_NONBLOCK if nonblock else 0)
    finally:
        os.close(source)
        os.close(into)


def open_file(path: str | os.PathLike[str], callbacks: Callbacks | None = None) -> RelayFile:
    """Open a buffer's file such as `…/app0`, by its path, to read it as a relay file.

    callbacks: whose buf_mapped and buf_unmapped to tell. Raises ChannelNotFound, BadName,
    CorruptChannel, IncompatibleChannel, NotPermitted, WrongType.
    """
    try:
        place = Path(path).absolute()
    except TypeError:
        raise WrongType(f"path must be a str or a path, not {type(path).__name__}") from None
    channel, index = _channel_of(str(place.parent), place.name)
    with channel:
        buffer = channel._buffers().get(index)
        if buffer is None:
            raise ChannelNotFound(f"channel {channel.name!r} has no file {place.name!r}")
        return RelayFile(buffer, callbacks)


def _channel_of(where: str, file_name: str) -> tuple[Channel, int]:
    """The channel whose name and CPU number make file_name (`app11` is of app1, or of app)."""
    digits = re.search(r"[0-9]*\Z", file_name)
    first_digit = digits.start() if digits else len(file_name)
    if first_digit == len(file_name):
        raise BadName(f"{file_name!r} is no buffer file: those end in a CPU number")
    for split in range(len(file_name) - 1, max(first_digit, 1) - 1, -1):
        base, number = file_name[:split], file_name[split:]
        if str(int(number)) != number or base.endswith(CONTROL_SUFFIX):
            continue
        if not Path(where, base + CONTROL_SUFFIX).exists():
            continue
        channel = open(base, where)
        if int(number) in channel._buffers():
            return channel, int(number)
        channel.close()
    raise ChannelNotFound(f"no channel in {where!r} has a buffer file {file_name!r}")
