"""Child processes by fork that do one thing and are then killed."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@contextlib.contextmanager
def forked(act: Callable[[], None]) -> Iterator[int]:
    """A child that acts, says so, and then waits to be killed; at the end it is dead."""
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os.write(say, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(say)
    try:
        assert os.read(ready, 1) == b"x", "the child failed"
        yield pid
    finally:
        os.close(ready)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            kill(pid)
