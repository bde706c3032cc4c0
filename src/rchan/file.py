"""RelayFile: a buffer as a file, with the semantics of the kernel's relay files."""

import errno
import io
import os
import re
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from rchan import _core
from rchan.callbacks import Callbacks, check_callbacks, overridden
from rchan.channel import Channel, open
from rchan.errors import BadName, ChannelClosed, ChannelNotFound, GeometryError, WrongType
from rchan.groups import Group
from rchan.names import CONTROL_SUFFIX, buffer_names

if TYPE_CHECKING:
    from typing_extensions import Buffer as _Bytes

_To = TypeVar("_To")
_Got = TypeVar("_Got", bytes, int)
_HELD_PAUSE: Final = 0.002  # seconds, while another reader holds a sub-buffer


class RelayFile(io.RawIOBase):
    """One opening of a buffer (relay_file_operations). All openings share one consumption state.

    It keeps the buffer alive, so what is in it can be read to the end after the channel was
    closed or removed. Raises ChannelClosed after `close`; WrongType if made of anything else.
    """

    def __init__(
        self,
        buffer: _core.Buffer,
        callbacks: Callbacks | None = None,
        *,
        blocking: bool = False,
    ) -> None:
        """buffer: such as `channel.buffers[0]`. callbacks: whose buf_mapped, buf_unmapped.

        blocking: read and readinto wait until there is something, or the channel is finalized.
        """
        super().__init__()
        self._buffer: _core.Buffer | None = None  # close() comes also where this fails
        self._bell: _core.Bell | None = None
        if not isinstance(buffer, _core.Buffer):
            raise WrongType(f"a RelayFile is of a Buffer, not of a {type(buffer).__name__}")
        self._buffer = buffer
        self.blocking = bool(blocking)
        self._callbacks = check_callbacks(callbacks)
        self.name = buffer.file_name
        self.mode = "rb"

    def __repr__(self) -> str:
        ended = " (closed)" if self.closed else ""
        return f"<rchan.RelayFile {self.name!r}{ended}>"

    def write(self, data: object, /) -> NoReturn:
        """Not for a buffer file: `Channel.write` writes. data: anything.

        Raises io.UnsupportedOperation.
        """
        raise io.UnsupportedOperation("a buffer file is only read: write with channel.write(data)")

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
        """Up to size bytes, consumed; b"" means that nothing is there (now); blocks if `blocking`.

        Runs over sub-buffer boundaries, skips padding, includes what is already written to the
        unfinished sub-buffer. size < 0 or None: all that is there. While another reader holds a
        sub-buffer nothing is there for this one.

        A blocking read sleeps as poll does, until a sub-buffer is finished (or data announced);
        then b"" means that the channel is finalized and read to its end.
        """
        buffer, bell = self._buffer, self._bell
        if buffer is None or self.blocking or size is None or size < 0:
            return self._read_otherwise(size)
        try:
            got = buffer.read(size)
        except BlockingIOError:
            got = b""
        if bell is not None:
            bell.settle(buffer, got)
        return got

    def _read_otherwise(self, size: int | None) -> bytes:
        if size is None or size < 0:
            return self.readall()
        return self._read_with(self.buffer.read, size, b"", bool(size))

    def readall(self) -> bytes:
        """All that is there now, at most one buffer's worth."""
        return self.read(self.buffer.alloc_size)

    def readinto(self, into: "_Bytes", /) -> int:
        """Like read, into a writable bytes-like object; the number of bytes."""
        with memoryview(into) as view:
            wanted = bool(view.nbytes)
        return self._read_with(self.buffer.readinto, into, 0, wanted)

    def _read_with(self, read: Callable[[_To], _Got], to: _To, nothing: _Got, wanted: bool) -> _Got:
        got = nothing
        while True:
            ended, held = self.buffer.finalized, False  # nothing more comes after that look
            try:
                got = read(to)
            except BlockingIOError:
                held = True
            if got or not (wanted and self.blocking) or (ended and not held):
                break
            if held:  # giving back wakes nobody
                sleep(_HELD_PAUSE)
            else:
                self.buffer.wait()
        self._settle(got)
        return got

    def poll(self, timeout_ms: float | None = 0) -> int:
        """Mask of what is there (poll): select.POLLIN | POLLRDNORM, POLLERR once finalized, else 0.

        timeout_ms: how long to sleep for it; 0: not at all, None: for ever. Announced are
        finished sub-buffers only. A signal whose handler raises ends the sleep with that.
        """
        if timeout_ms != 0:
            mask = self.buffer.wait(None if timeout_ms is None else timeout_ms / 1000)
            self._settle(False)
            return mask
        self._settle(False)
        return self.buffer.poll()

    def fileno(self) -> int:
        """A descriptor to wait on with select, poll, epoll, selectors or asyncio; not to read from.

        Readable: rung, since poll() is nonzero, or was, or another buffer of the channel had news.
        Then call poll, read, readinto, splice or sendfile: each leaves it readable if poll() still
        is nonzero, and else makes it unreadable until the next news. None are missed. Finalized:
        readable for good. In a forked child ask again: it gets a descriptor of its own.

        Raises Unsupported for a buffer-only channel, ChannelBusy if all of a channel's bells are
        in use, ChannelClosed.
        """
        buffer = self.buffer
        if self._bell is not None:
            with suppress(ChannelClosed):  # the parent's
                return self._bell.fileno()
        self._bell = buffer._bell()
        self._settle(True)
        return self._bell.fileno()

    def _settle(self, had_news: object) -> None:
        """From now on the bell is readable if there is something, or as soon as there is."""
        if self._bell is not None:
            self._bell.settle(self.buffer, had_news)

    def mmap(self, length: int | None = None, offset: int = 0) -> memoryview:
        """The live buffer, read-only (relay_file_mmap). length: exactly buffer.alloc_size
        (None: that).

        buf_mapped is told now, buf_unmapped when the view and its slices are gone. Raises
        GeometryError for any other length or offset (the kernel's EINVAL).
        """
        buffer = self.buffer
        if length is None:
            length = buffer.alloc_size
        if (length, offset) != (buffer.alloc_size, 0):
            raise GeometryError(
                f"mmap of {length} bytes at {offset}: a buffer is mapped as a whole, "
                f"{buffer.alloc_size} bytes at 0"
            )
        view = buffer.memory
        if self._callbacks is not None:
            if overridden(self._callbacks, "buf_unmapped"):
                ended = weakref.finalize(view.obj, self._callbacks.buf_unmapped, buffer, self)
                ended.atexit = False
            self._callbacks.buf_mapped(buffer, self)
        return view

    def splice(self, fd: int, length: int, nonblock: bool = False) -> int:
        """Move up to length bytes of one finished sub-buffer to a pipe (splice_read).

        fd: of the pipe. Gives the bytes moved, padding not counted; what it did not take stays.
        Nothing finished: 0, or BlockingIOError (EAGAIN) with nonblock, also if the pipe is full
        then. The pipe gets a copy: what was delivered never changes. Raises GeometryError (length <
        0).
        """
        moved = 0
        _raise_if_negative(length)
        if length > 0:
            moved = self._deliver(length, lambda chunk: _into_pipe(chunk, fd, nonblock))
            if nonblock and not moved:
                raise BlockingIOError(errno.EAGAIN, f"nothing finished in {self.name!r}")
        return moved

    def sendfile(self, fd: int, length: int | None = None) -> int:
        """Write up to length bytes of finished sub-buffers to a file, socket or pipe.

        length: None: all that are finished. Gives the bytes written, padding not counted; what
        fd did not take is not consumed. Nothing finished: 0. fd gets a copy: what was delivered
        never changes. Raises GeometryError (length < 0), and the write's OSError (BlockingIOError:
        fd is full) if nothing was written.
        """
        moved = 0
        _raise_if_negative(length)
        while length is None or moved < length:
            rest = self.buffer.subbuf_size if length is None else length - moved
            try:
                part = self._deliver(rest, lambda chunk: os.write(fd, chunk))
            except OSError:
                if moved:
                    break
                raise
            moved += part
            if not part:
                break
        return moved

    def _deliver(self, length: int, write: Callable[[bytes], int]) -> int:
        """Hand write a copy of length bytes of one finished sub-buffer; consume what it took."""
        moved = 0
        while not moved and (held := self._take()) is not None:
            with held.data as data, data[:length] as part:
                chunk = bytes(part)
            if held.whole:
                moved = _hand_over(held, chunk, write)
                break
            held.put_down()  # overwritten meanwhile: the next take goes on behind it
        self._settle(moved)
        return moved

    def _take(self) -> _core.Subbuf | None:
        try:
            return self.buffer.take()
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Drop this opening (release). A second call does nothing."""
        if self._bell is not None:
            self._bell.close()
        self._bell = self._buffer = None
        super().close()


def _raise_if_negative(length: int | None) -> None:
    if length is not None and length < 0:
        raise GeometryError(f"length is {length}: it must not be below 0")


def _hand_over(held: _core.Subbuf, chunk: bytes, write: Callable[[bytes], int]) -> int:
    moved = 0
    try:
        moved = write(chunk)
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


def open_file(
    path: str | os.PathLike[str],
    callbacks: Callbacks | None = None,
    *,
    blocking: bool = False,
    group: Group = None,
) -> RelayFile:
    """Open a buffer's file such as `…/app0`, by its path, to read it as a relay file (open).

    callbacks: whose buf_mapped and buf_unmapped to tell. blocking: read waits until there is
    something, or the channel is finalized. group: as of `rchan.open`. Raises ChannelNotFound,
    BadName, CorruptChannel, IncompatibleChannel, NotPermitted, WrongType.
    """
    try:
        place = Path(path).absolute()
    except TypeError:
        raise WrongType(f"path must be a str or a path, not {type(path).__name__}") from None
    channel, index = _channel_of(str(place.parent), place.name, group)
    with channel:
        buffer = channel._buffers().get(index)
        if buffer is None:
            raise ChannelNotFound(f"channel {channel.name!r} has no file {place.name!r}")
        return RelayFile(buffer, callbacks, blocking=blocking)


def _channel_of(where: str, file_name: str, group: Group) -> tuple[Channel, int]:
    """The channel whose name and CPU number make file_name (`app11` is of app1, or of app)."""
    if not re.search(r"[0-9]\Z", file_name):
        raise BadName(
            f"{file_name!r} is no buffer file: give the path of one, which ends in a CPU number, "
            "such as '/dev/shm/rchan-1000/app0'"
        )
    for base, number in buffer_names(file_name):
        if not Path(where, base + CONTROL_SUFFIX).exists():
            continue
        channel = open(base, where, group=group)
        if number in channel._buffers():
            return channel, number
        channel.close()
    raise ChannelNotFound(f"no channel in {where!r} has a buffer file {file_name!r}")
