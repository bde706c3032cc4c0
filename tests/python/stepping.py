"""Runs a function in a child process and kills it at its n-th system call: at each, in turn."""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

import pytest

_TRACEME, _SYSCALL, _SETOPTIONS = 0, 24, 0x4200
_EXITKILL, _SYSGOOD = 1 << 20, 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data: int) -> None:
    if _libc.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _child(act: Callable[[], None]) -> None:
    """Ready to be traced, then act; never returns."""
    try:
        if _libc.ptrace(_TRACEME, 0, None, None) < 0:
            os._exit(77)
        os.kill(os.getpid(), signal.SIGSTOP)
        act()
        os._exit(0)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        os._exit(1)


def killed_at(stop: int, act: Callable[[], None]) -> bool:
    """Kill it at its stop-th system call stop (each has two: before and after it).

    False: it came to its end before.
    """
    pid = os.fork()
    if pid == 0:
        _child(act)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        pytest.skip("ptrace is not permitted here")
    _ptrace(_SETOPTIONS, pid, _EXITKILL | _SYSGOOD)
    seen, deliver = 0, 0
    while True:
        _ptrace(_SYSCALL, pid, deliver)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the child failed by itself"
            return False
        assert os.WIFSTOPPED(status)
        deliver = 0 if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80 else os.WSTOPSIG(status)
        if deliver:
            continue
        seen += 1
        if seen == stop:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True
