"""In a process of a program that `rchan run` started."""

import atexit
import os
import socket
from contextlib import suppress
from typing import Any, Final

from rchan.channel import open as open_channel
from rchan.clients.hooks import install
from rchan.errors import ChannelNotFound
from rchan.events.tracer import Tracer

START, END, EXCEPTION = b"start", b"end", b"exception"
_TOLD_WITHIN: Final = 1.0  # seconds: nobody listens, or not soon enough: the program goes on


def begin() -> None:
    """Record this process, and those that it forks. Raises what `rchan.open` raises."""
    name, parent = os.environ["RCHAN_CHANNEL"], os.environ["RCHAN_PARENT"]
    path = os.environ["RCHAN_RUN"]
    try:
        tracer = Tracer(open_channel(name, parent))
    except ChannelNotFound:
        return  # the recording is over, the program is not
    if path:
        _watched(path)
    install(tracer, logs=True, told=lambda: _tell(path, EXCEPTION))


def _watched(path: str) -> None:
    _tell(path, START)
    atexit.register(_tell, path, END)
    os.register_at_fork(after_in_child=lambda: _tell(path, START))
    leave = os._exit

    def leave_and_tell(status: int) -> Any:
        _tell(path, END)
        leave(status)

    os._exit = leave_and_tell
    for name in ("execv", "execve"):
        setattr(os, name, _telling(path, getattr(os, name)))


def _telling(path: str, become: Any) -> Any:
    """Another program is none of ours."""

    def become_and_tell(*arguments: Any) -> Any:
        _tell(path, END)
        try:
            return become(*arguments)
        finally:
            _tell(path, START)

    return become_and_tell


def _tell(path: str, news: bytes) -> None:
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_TOLD_WITHIN)
        sender.sendto(news, path)
