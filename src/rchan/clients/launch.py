"""The environment in which every Python process of a program is recorded, and who of them dies."""

import os
import select
import socket
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

from rchan.channel import Channel
from rchan.clients.launched import END, EXCEPTION, START

STARTUP: Final = Path(__file__).parent / "startup"
_LONGEST: Final = 16
_CREDENTIALS: Final = struct.Struct("=iII")


def environment(
    channel: Channel, watch: "Watch | None", before: Mapping[str, str]
) -> dict[str, str]:
    """For a program all of whose Python processes are to write into this channel.

    The program can join it too: RCHAN_CHANNEL is its name, RCHAN_PARENT its directory. Processes
    that are started with -I, -E or -S, or without this environment, are not recorded.
    """
    paths = [str(STARTUP), *filter(None, [before.get("PYTHONPATH")])]
    return {
        **before,
        "PYTHONPATH": os.pathsep.join(paths),
        "RCHAN_CHANNEL": str(channel.name),
        "RCHAN_PARENT": channel.directory,
        "RCHAN_RUN": "" if watch is None else watch.path,
    }


class Death(NamedTuple):
    """A process that ended otherwise than by its own will."""

    pid: int
    why: str


class Watch:
    """Hears when processes begin, end, or raise what nobody catches; a context manager.

    A process that is gone and has not said that it ends was killed (or left by C's `_exit`).
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="rchan-run-")
        self.path = os.path.join(self._directory.name, "watch")
        """Of the socket that processes tell their news to."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self.path)
        self._living: dict[int, int] = {}  # process -> pidfd
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for fd in self._living.values():
            os.close(fd)
        self._socket.close()
        self._directory.cleanup()

    def wait(self, seconds: float) -> list[Death]:
        """Who has died; at most so long until somebody says something."""
        ready = {fd for fd, _ in self._poll.poll(round(seconds * 1000))}
        # What a process said before it ended is there by now.
        found = self._hear()
        for pid, fd in list(self._living.items()):
            if fd in ready:
                self._forget(pid)
                found.append(Death(pid, "killed"))
        return found

    def _hear(self) -> list[Death]:
        found: list[Death] = []
        while True:
            try:
                words, ancillary, _, _ = self._socket.recvmsg(_LONGEST, socket.CMSG_SPACE(12))
            except BlockingIOError:
                return found
            if not ancillary:
                continue
            pid, _, _ = _CREDENTIALS.unpack(ancillary[0][2])
            if words == START and pid not in self._living:
                try:
                    self._living[pid] = fd = os.pidfd_open(pid)
                except ProcessLookupError:
                    found.append(Death(pid, "killed"))
                else:
                    self._poll.register(fd, select.POLLIN)
            elif words == END:
                self._forget(pid)
            elif words == EXCEPTION:
                found.append(Death(pid, "exception"))

    def _forget(self, pid: int) -> None:
        fd = self._living.pop(pid, None)
        if fd is not None:
            self._poll.unregister(fd)
            os.close(fd)
