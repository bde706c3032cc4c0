"""COMMAND as a child process, and the signals that reach rchan while it records."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from os import (
    O_CLOEXEC,
    O_NOCTTY,
    O_RDONLY,
    WNOHANG,
    kill,
    posix_spawnp,
    tcgetpgrp,
    waitpid,
    waitstatus_to_exitcode,
)
from os import open as os_open
from signal import (
    SIG_BLOCK,
    SIG_SETMASK,
    SIGHUP,
    SIGINT,
    SIGPIPE,
    SIGTERM,
    SIGXFSZ,
    Signals,
    pthread_sigmask,
    sigtimedwait,
)
from time import sleep
from typing import Final

from rchan.cli import exits
from rchan.recorder import TICK

Mask = AbstractSet[Signals | int]  # as pthread_sigmask gives it
_ENDING: Final = frozenset((SIGINT, SIGTERM, SIGHUP))
_SI_KERNEL: Final = 0x80  # sent by the terminal: COMMAND has had it from there, too


@contextmanager
def held_signals() -> Iterator[Mask]:
    """SIGINT, SIGTERM and SIGHUP wait to be asked for: none can cut a write short.

    Gives the signal mask as it was, for child processes.
    """
    before = pthread_sigmask(SIG_BLOCK, _ENDING)
    try:
        yield before
    finally:
        while sigtimedwait(_ENDING, 0) is not None:
            pass
        pthread_sigmask(SIG_SETMASK, before)


class Command:
    """A running child process. Raises OSError if it cannot be started."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], mask: Mask) -> None:
        self._pid = posix_spawnp(
            arguments[0], arguments, environment, setsigmask=mask, setsigdef=(SIGPIPE, SIGXFSZ)
        )
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status as a shell would give it; None while it runs."""
        if self._status is None:
            pid, status = waitpid(self._pid, WNOHANG)
            if pid:
                code = waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else exits.SIGNAL - code
        return self._status

    def send(self, signal: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            kill(self._pid, signal)


class Terminal:
    """The terminal that controls this process, if it has one: does it go away?"""

    def __init__(self) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os_open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC)

    @property
    def gone(self) -> bool:
        """There was one, and there is none any more."""
        if self._fd < 0:
            return False
        try:
            tcgetpgrp(self._fd)
        except OSError:
            return True
        return False


class Ending:
    """Is it time to end? Use it as the recorder's `stop`, with the signals held.

    Without a command: after the first SIGINT or SIGTERM. With one: when it has ended; these two are
    passed on to it, and a second SIGINT says not to wait for it any more. SIGHUP calls `rotate`,
    unless it is the terminal's last word: then it is as SIGTERM.
    """

    def __init__(self, command: Command | None, rotate: Callable[[], None]) -> None:
        self._command = command
        self._rotate = rotate
        self._terminal = Terminal()
        self._signals = 0
        self._interrupts = 0

    def __call__(self) -> bool:
        while (info := sigtimedwait(_ENDING, 0)) is not None:
            from_terminal = info.si_code == _SI_KERNEL
            if info.si_signo == SIGHUP and not (from_terminal or self._terminal.gone):
                self._rotate()
                continue
            self._signals += 1
            self._interrupts += info.si_signo == SIGINT
            if self._command is not None and not from_terminal:
                self._command.send(info.si_signo)
        if self._command is None:
            return self._signals > 0
        return self._command.poll() is not None or self._interrupts > 1

    def wait(self) -> None:
        """Wait for COMMAND to end, with nothing to record; without one there is nothing to do."""
        while self._command is not None and not self():
            sleep(TICK)

    @property
    def status(self) -> int:
        """The exit status that the ending itself gives, if all else is fine."""
        if self._command is None:
            return exits.OK
        status = self._command.poll()
        return exits.INTERRUPTED if status is None else status
