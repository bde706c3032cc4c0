"""Real mounts for tests: a server in a process of its own, detached whatever happens."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from leaks import descriptors

from rchan.mount import NotMounted, unmount


@dataclass
class Mounted:
    """A mount point, the directory of channels behind it, and its server."""

    point: Path
    root: Path
    server: subprocess.Popen

    def read(self, name: str) -> bytes:
        return (self.point / name).read_bytes()

    def held(self) -> list[str]:
        """Files of channels that the server has open or mapped."""
        links = list(descriptors(self.server.pid).values())
        maps = Path(f"/proc/{self.server.pid}/maps").read_text().splitlines()
        links += [line.split(maxsplit=5)[-1] for line in maps]
        return sorted(link for link in links if link.startswith(f"{self.root}/"))

    def until_free(self, base: str) -> None:
        """The kernel tells of a close a moment later; that must come, and not be forgotten."""
        until = time.monotonic() + 60
        while any(f"/{base}" in name for name in self.held()):
            assert time.monotonic() < until, self.held()
            os.sched_yield()

    def names(self, below: str = "") -> list[str]:
        return sorted(os.listdir(self.point / below))


def why_not() -> str | None:
    """Why nothing can be mounted here; None: it can."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse here"
    with tempfile.TemporaryDirectory() as point, tempfile.TemporaryDirectory() as root:
        done = serve(point, root, "--foreground")
        try:
            line = done.stderr.readline()
            return None if "is mounted at" in line else f"nothing can be mounted here: {line}"
        finally:
            end(done, point)


def serve(point: str | Path, root: str | Path, *options: str, **how) -> subprocess.Popen:
    command = [sys.executable, "-m", "rchan.cli", "mount", str(point), "--root", str(root)]
    return subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, **how
    )


def end(server: subprocess.Popen, point: str | Path) -> None:
    """However it is: no server and no mount is left."""
    with server:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    detach(point)


def detach(point: str | Path) -> None:
    with contextlib.suppress(NotMounted):
        while True:
            unmount(point, lazy=True)


def refusal(act, *args) -> int | None:
    """The errno that it fails with."""
    with pytest.raises(OSError) as caught:
        act(*args)
    return caught.value.errno


def polled(fd: int, timeout: int = 0) -> list[int]:
    """What poll finds within so many milliseconds."""
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLRDNORM)
    return [mask for _, mask in poller.poll(timeout)]


@contextlib.contextmanager
def mounted(*options: str) -> Iterator[Mounted]:
    with (
        tempfile.TemporaryDirectory(prefix="rchan-mount-") as point,
        tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as root,
    ):
        server = serve(point, root, "--foreground", *options)
        try:
            line = server.stderr.readline()
            assert "is mounted at" in line, line
            yield Mounted(Path(point), Path(root), server)
        finally:
            end(server, point)


@pytest.fixture(scope="module")
def relay() -> Iterator[Mounted]:
    """One mount for all tests of a module; give channels names of their own."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with mounted() as found:
        yield found
