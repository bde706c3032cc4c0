"""Where recorded sub-buffers go: one sink for each buffer."""

from collections.abc import Callable
from os import get_blocking, set_blocking, write
from socket import socket
from typing import Final, Protocol

from rchan import _core
from rchan.recorder.errors import RecordingFailed

EMPTY: Final = _core.DRAINED_EMPTY  # nothing finished is left
LIMIT: Final = _core.DRAINED_LIMIT  # as many as were asked for
BUSY: Final = _core.DRAINED_BUSY  # another reader holds the buffer


class Sink:
    """Takes the finished sub-buffers of one buffer, in order, each once.

    Derive from it and write `store`. A sub-buffer counts as read only after `store` returned.
    """

    def __init__(self) -> None:
        self.subbufs = 0
        """Sub-buffers taken so far."""
        self.records = 0
        """Records in them."""
        self.bytes = 0
        """Bytes in them, without padding."""
        self._copy: bytearray | None = None

    def store(self, sub: _core.Subbuf, data: memoryview) -> None:
        """All of `data`, the bytes of `sub`, or nothing of it: then raise RecordingFailed.

        `data` is valid during the call only.
        """
        raise NotImplementedError

    def sync(self) -> None:
        """Make what was taken survive a power cut. RecordingFailed if that cannot be said."""

    def rotate(self) -> None:
        """Begin a new file, if this is a kind that has files."""

    def close(self) -> None:
        """Let go of what the sink holds. Not an error twice."""

    def drain(self, buffer: _core.Buffer, most: int) -> int:
        """Take at most so many sub-buffers; how it ended: EMPTY, LIMIT or BUSY.

        Raises RecordingFailed; the sub-buffer that could not be stored is still in the channel.
        """
        for _ in range(most):
            try:
                sub = buffer.take()
            except BlockingIOError:
                return BUSY
            if sub is None:
                return EMPTY
            try:
                if self._taken_before(sub):
                    sub.give_back()
                elif self._store_whole(sub, buffer):
                    self._count(sub)
                    sub.give_back()
            finally:
                if sub.held:
                    sub.put_down()
        return LIMIT

    def _taken_before(self, sub: _core.Subbuf) -> bool:
        """Did an earlier process take it, and die before it gave it back?"""
        return False

    def _store_whole(self, sub: _core.Subbuf, buffer: _core.Buffer) -> bool:
        """False: writers destroyed it meanwhile; the next take says what was lost."""
        if self._copy is None:
            self._copy = bytearray(buffer.subbuf_size)
        with memoryview(self._copy)[: sub.length] as copy:
            with sub.data as data:
                copy[:] = data
            if not sub.whole:
                return False
            with copy.toreadonly() as data:
                self.store(sub, data)
        return True

    def _count(self, sub: _core.Subbuf) -> None:
        self.subbufs += 1
        self.records += sub.records
        self.bytes += sub.length


class NullSink(Sink):
    """Throws everything away, counted."""

    def store(self, sub: _core.Subbuf, data: memoryview) -> None:
        """Nothing to do."""


class CallbackSink(Sink):
    """Calls a function with each sub-buffer and its bytes (a memoryview, for the call only).

    An OSError that it raises becomes RecordingFailed; others go through.
    """

    def __init__(self, call: Callable[[_core.Subbuf, memoryview], object]) -> None:
        super().__init__()
        self._call = call

    def store(self, sub: _core.Subbuf, data: memoryview) -> None:
        """Call it."""
        try:
            self._call(sub, data)
        except OSError as error:
            raise RecordingFailed.because(f"the callback for buffer {sub.cpu}", error) from error


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class PipeSink(Sink):
    """Writes the bytes to a pipe or socket, whose other end takes its time.

    target: a descriptor, file or socket; it stays open, and is made blocking, so that a slow
    reader holds up the recorder, not the writers. Several buffers may share one target: sub-buffers
    are never mixed. A sub-buffer of which only a part could be written is remembered: the next
    attempt goes on where this one failed.
    """

    def __init__(self, target: int | socket | _HasFileno) -> None:
        super().__init__()
        self._fd = target if isinstance(target, int) else target.fileno()
        self._begun: tuple[int, int, int] | None = None  # resets, number, bytes written
        if not get_blocking(self._fd):
            set_blocking(self._fd, True)

    def store(self, sub: _core.Subbuf, data: memoryview) -> None:
        """Write it all."""
        done = 0
        if self._begun is not None and self._begun[:2] == (sub.resets, sub.seq):
            done = self._begun[2]
        try:
            while done < len(data):
                with data[done:] as rest:
                    done += write(self._fd, rest)
        except OSError as error:
            self._begun = (sub.resets, sub.seq, done)
            raise RecordingFailed.because("cannot write to the pipe", error) from error
        self._begun = None
