"""The same world with its files opened through a real mount."""

import contextlib
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import replayed_world

import rchan

_MASK = select.POLLIN | select.POLLRDNORM


class MountedFile:
    """What Descriptor needs of a RelayFile, by system calls on a file of the mount.

    The buffer is kept as the kernel's open file keeps it; nothing is read from it.
    """

    def __init__(self, path: Path, buffer: rchan.Buffer) -> None:
        self.buffer = buffer
        self._fd = os.open(path, os.O_RDONLY)

    def read(self, count: int) -> bytes:
        return os.read(self._fd, count)

    def poll(self) -> int:
        poller = select.poll()
        poller.register(self._fd, _MASK)
        return sum(mask for _, mask in poller.poll(0))

    def mmap(self, length: int) -> bytes:
        if length != self.buffer.alloc_size:
            # The kernel maps as much as is asked for without asking the server.
            raise rchan.GeometryError("not through a mount")
        with mmap.mmap(self._fd, length, prot=mmap.PROT_READ) as view:
            return view[:]

    def close(self) -> None:
        os.close(self._fd)
        del self.buffer


class MountWorld(replayed_world.World):
    """Every world is a directory of its own in one mount."""

    def __init__(self) -> None:
        self._root = tempfile.TemporaryDirectory(prefix="rchan-replay-", dir="/dev/shm")
        self._point = tempfile.TemporaryDirectory(prefix="rchan-replay-")
        command = [sys.executable, "-m", "rchan.cli", "mount", "--foreground"]
        command += ["--root", self._root.name, self._point.name]
        self._server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self._server.stderr.readline()
        if "is mounted at" not in line:
            sys.exit(f"replay: {line}")
        super().__init__()

    def _make_directory(self) -> Any:
        return tempfile.TemporaryDirectory(dir=self._root.name)

    def _open_file(self, buf: rchan.Buffer) -> MountedFile:
        return MountedFile(self._shown(buf.file_name), buf)

    def _shown(self, name: str) -> Path:
        return Path(self._point.name, Path(self.directory.name).name, name)

    def op_fopen(self, name: str) -> dict[str, Any]:
        record = super().op_fopen(name)
        if record["r"] == "ENOENT":
            base = self.client.base if self.client else ""
            with contextlib.suppress(OSError):
                os.close(os.open(self._shown(name), os.O_RDONLY))
                return {"r": f"{base}: the mount has it"}
        return record

    def shut(self) -> None:
        """Unmount."""
        self._server.send_signal(signal.SIGTERM)
        self._server.wait()
        self._point.cleanup()
        self._root.cleanup()
