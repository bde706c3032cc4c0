"""Callbacks: what a client may decide or be told. They run in the process that causes them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rchan import _core
from rchan.errors import WrongType

if TYPE_CHECKING:
    from rchan._core import _Hooks as Hooks


class IsGlobal:
    """The out-parameter of create_buf_file: `value = True` asks for one buffer for all CPUs."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = False


class Callbacks:
    """Subclass it and override what you need (the kernel's struct rchan_callbacks).

    A method that is not overridden costs nothing. One that raises counts as false, is reported
    through `sys.unraisablehook` and never breaks a write. A write to the same buffer from
    inside one is dropped and counted (contended). The memoryviews end when the method returns.
    """

    def subbuf_start(
        self,
        buf: _core.Buffer,
        subbuf: memoryview,
        prev_subbuf: memoryview | None,
        prev_padding: int,
    ) -> bool:
        """May sub-buffer `subbuf` begin? False: the buffer is full for now (subbuf_start).

        subbuf, prev_subbuf: their memory, writable; prev_subbuf is None for the first one of a
        buffer, whose answer is ignored. prev_padding: bytes that stayed free in prev_subbuf.
        Asked again, with the same prev_subbuf and prev_padding, at each attempt while full.
        `buf.subbuf_start_reserve(length)` keeps room for a header.
        """
        return not buf.full

    def buf_full(self, buf: _core.Buffer, subbuf_idx: int, subbuf: memoryview) -> None:
        """Told once when a buffer becomes full (buf_full of relayfs, 2005).

        buf: the buffer. subbuf_idx, subbuf: index and memory of the sub-buffer that was finished
        last. A reader's flush that fills the buffer tells it, too; not if there is a subbuf_start,
        which is asked by the next writer only.
        """

    def deliver(self, buf: _core.Buffer, subbuf_idx: int, subbuf: memoryview) -> None:
        """Told exactly once for each finished sub-buffer (deliver of relayfs, 2005).

        buf: the buffer. subbuf_idx, subbuf: index and memory of that sub-buffer.
        """

    def buf_mapped(self, buf: _core.Buffer, filp: object) -> None:
        """Told when a file of this process maps buffer buf (buf_mapped). filp: the RelayFile."""

    def buf_unmapped(self, buf: _core.Buffer, filp: object) -> None:
        """Told when such a mapping of buf has gone (buf_unmapped). filp: as of buf_mapped."""

    def create_buf_file(
        self,
        filename: str | None,
        parent: str,
        mode: int,
        buf: _core.Buffer,
        is_global: IsGlobal,
    ) -> object:
        """Give a buffer its file (create_buf_file). A false answer means refused.

        filename: such as `app0`; None: a buffer-only channel, there is no file to make, only
        is_global counts. parent: absolute path of the directory. mode: 0o400, what readers see.
        buf: the buffer.
        `is_global.value = True` on the first call of a channel: one buffer for all CPUs.
        The default gives the buffer's memory the name parent/filename and returns that path.
        """
        if filename is None:
            return True
        buf.link(filename)
        return str(Path(parent, filename))

    def remove_buf_file(self, path: str | None) -> object:
        """Remove the file (remove_buf_file). path: absolute; None: the buffer never had one."""
        if path is not None:
            Path(path).unlink()
        return None


def check_callbacks(callbacks: object) -> Callbacks | None:
    """The callbacks, if they are some. Raises WrongType."""
    if callbacks is None:
        return None
    if not isinstance(callbacks, Callbacks):
        given = callbacks.__name__ if isinstance(callbacks, type) else type(callbacks).__name__
        raise WrongType(f"callbacks must be an instance of rchan.Callbacks, not {given}")
    for name in ("create_buf_file", "remove_buf_file"):
        if not callable(getattr(callbacks, name)):
            raise WrongType(f"callbacks.{name} must be a method: files are made and removed by it")
    return callbacks


def overridden(callbacks: Callbacks | None, name: str) -> bool:
    """Does the client have its own method of this name (in its class or in the object)?"""
    method = getattr(callbacks, name, None)
    return method is not None and getattr(method, "__func__", method) is not vars(Callbacks)[name]


def hooks(callbacks: Callbacks | None) -> "Hooks | None":
    """What the binding calls: a hook for each overridden method, None for the others."""
    if callbacks is None:
        return None
    return (
        _create_hook(callbacks) if overridden(callbacks, "create_buf_file") else None,
        _remove_hook(callbacks) if overridden(callbacks, "remove_buf_file") else None,
        _start_hook(callbacks) if overridden(callbacks, "subbuf_start") else None,
        _deliver_hook(callbacks) if overridden(callbacks, "deliver") else None,
        _full_hook(callbacks) if overridden(callbacks, "buf_full") else None,
    )


def _create_hook(callbacks: Callbacks) -> Callable[[_core.Buffer, str | None], int]:
    def create_buf_file(buf: _core.Buffer, filename: str | None) -> int:
        is_global = IsGlobal()
        made = callbacks.create_buf_file(filename, buf.directory, 0o400, buf, is_global)
        if not made:
            return 0
        return 2 if is_global.value else 1

    return create_buf_file


def _remove_hook(callbacks: Callbacks) -> Callable[[_core.Buffer, str | None], object]:
    def remove_buf_file(buf: _core.Buffer, filename: str | None) -> object:
        path = None if filename is None else str(Path(buf.directory, filename))
        return callbacks.remove_buf_file(path)

    return remove_buf_file


def _start_hook(
    callbacks: Callbacks,
) -> Callable[[_core.Buffer, int, int | None, int], object]:
    def subbuf_start(buf: _core.Buffer, index: int, prev: int | None, prev_padding: int) -> bool:
        with buf.subbuf(index) as subbuf:
            if prev is None:
                return bool(callbacks.subbuf_start(buf, subbuf, None, prev_padding))
            with buf.subbuf(prev) as prev_subbuf:
                return bool(callbacks.subbuf_start(buf, subbuf, prev_subbuf, prev_padding))

    return subbuf_start


def _deliver_hook(callbacks: Callbacks) -> Callable[[_core.Buffer, int], object]:
    def deliver(buf: _core.Buffer, index: int) -> None:
        with buf.subbuf(index) as subbuf:
            callbacks.deliver(buf, index, subbuf)

    return deliver


def _full_hook(callbacks: Callbacks) -> Callable[[_core.Buffer, int], object]:
    def buf_full(buf: _core.Buffer, index: int) -> None:
        with buf.subbuf(index) as subbuf:
            callbacks.buf_full(buf, index, subbuf)

    return buf_full
