"""Mount: the channels of a directory, served at a mount point until it is unmounted."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self
from weakref import WeakSet

from rchan import _core
from rchan.closing import Closing
from rchan.errors import RchanError
from rchan.mount.errors import MountFailed
from rchan.mount.filesystem import Filesystem
from rchan.mount.fuse import Session
from rchan.mount.mounting import check_point, mount, unmount
from rchan.mount.protocol import REQUEST_MAX
from rchan.names import Parent, directory

DEFAULT_TIMEOUT: Final = 30
"""Seconds that the kernel waits for a server that hangs."""
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Mount(Closing):
    """Channels mounted at a directory. A context manager: unmounted at the end.

    `serve` answers until the unmount; `start` does that in a thread of its own. A client of the
    same process must not be the thread that serves.
    """

    def __init__(
        self,
        point: str | os.PathLike[str],
        root: Parent = None,
        *,
        allow_other: bool = False,
        timeout: int = DEFAULT_TIMEOUT,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Mount. point: an empty directory. root: what to show; None: the default directory.

        allow_other: other users may look, too; the files' modes hold for them. timeout: seconds
        after which the kernel ends the mount if this server hangs (Linux 6.15 and later); 0: never.
        report: gets words about damaged channels and the like.

        Raises BadMountPoint, AlreadyMounted, MountFailed, NotPermitted, ChannelNotFound (root).
        """
        self.root = directory(root)
        self.point = check_point(point, self.root)
        self._stop, self._stopping = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._device = -1
        self._thread: threading.Thread | None = None
        self._ended = False
        try:
            self._device = mount(self.point, allow_other)
            self._polls = _core.Polls(self._device, self._stop)
            filesystem = Filesystem(self.root)
            self._session = Session(
                self._device, filesystem, self._polls, timeout=timeout, report=report
            )
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        self._close_pipe()
        if self._device >= 0:
            os.close(self._device)
            with suppress(RchanError):
                unmount(self.point, lazy=True)

    @property
    def ready(self) -> bool:
        """Has the kernel said hello?"""
        return self._session.ready

    @property
    def timeout(self) -> int:
        """Seconds after which the kernel ends the mount if its server hangs; 0: never."""
        return self._session.timeout

    def serve(self, when_ready: Callable[[], None] = lambda: None) -> None:
        """Answer requests until the mount is gone, or `stop` was called.

        when_ready: called once, when clients can use it.
        """
        told = False
        message = bytearray(REQUEST_MAX)
        try:
            while length := self._polls.receive(message):
                self._session.handle(message, length)
                if not told and self.ready:
                    told = True
                    when_ready()
        finally:
            self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        # First the connection: then nobody can wait for an answer of ours, not even the unmount.
        self._session.close()
        self._polls.close()
        os.close(self._device)
        with suppress(RchanError):
            unmount(self.point, lazy=True)

    def start(self) -> Self:
        """Serve in a thread; returns when clients can use the mount. Raises MountFailed."""
        ready = threading.Event()
        _in_threads.add(self)
        self._thread = threading.Thread(
            target=self._serve_in_thread, args=(ready,), name="rchan mount", daemon=True
        )
        self._thread.start()
        ready.wait()
        if not self.ready:
            raise MountFailed(f"the kernel did not open the mount at {self.point!r}")
        return self

    def _serve_in_thread(self, ready: threading.Event) -> None:
        try:
            self.serve(ready.set)
        finally:
            ready.set()

    def stop(self) -> None:
        """Make `serve` end and unmount; from any thread or signal handler."""
        with suppress(BlockingIOError):
            if self._stopping >= 0:
                os.write(self._stopping, b"x")

    def close(self) -> None:
        """Stop, and wait for the end. A second call does nothing."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        else:
            self._end()
        self._close_pipe()

    def _close_pipe(self) -> None:
        for fd in (self._stop, self._stopping):
            if fd >= 0:
                os.close(fd)
        self._stop = self._stopping = -1

    def forget(self) -> None:
        """In the parent of a fork whose child serves: it is the child's now."""
        self._ended = True
        self._polls.close()
        os.close(self._device)

    def _leave_to_parent(self) -> None:
        """In the child of a fork: the thread that serves is the parent's, and so is the mount.

        With the connection open here, too, its clients would wait for ever if the parent died.
        """
        self._thread = None
        if not self._ended:
            self._ended = True
            os.close(self._device)
        self._close_pipe()

    def stop_at_signals(self) -> None:
        """SIGTERM, SIGINT and SIGHUP unmount. For the main thread."""
        # The wait ends also when a signal comes just before it begins.
        signal.set_wakeup_fd(self._stopping, warn_on_full_buffer=False)
        for number in _ENDING:
            signal.signal(number, lambda *_: self.stop())

    def __enter__(self) -> Self:
        return self.start() if self._thread is None else self


_in_threads: WeakSet[Mount] = WeakSet()


def _after_in_child() -> None:
    for mounted in list(_in_threads):
        mounted._leave_to_parent()


os.register_at_fork(after_in_child=_after_in_child)
