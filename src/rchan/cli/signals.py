"""Being told to stop, between two steps and never inside one."""

import os
import signal
from collections.abc import Callable
from select import poll
from types import FrameType
from typing import Any, Final, Self

_ALL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """A context in which SIGINT, SIGTERM and SIGHUP only set `told`; a SIGINT after that raises.

    patient: the first SIGINT alone is no reason to stop. Ctrl-C at a pipeline reaches all of it,
    and the program before us may have more to say: its end is ours.
    """

    def __init__(self, patient: bool = False) -> None:
        self.told = 0
        self.raising = False  # while something is read that may wait for ever
        self._patient = patient
        self._interrupts = 0
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._pipe = (-1, -1)
        self._wakeup = -1

    def __enter__(self) -> Self:
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for number in _ALL:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup: let it be
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        for fd in self._pipe:
            os.close(fd)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1 + self._patient:
                raise KeyboardInterrupt
            if self._interrupts <= self._patient:
                return
        self.told = self.told or number
        if self.raising:
            raise KeyboardInterrupt

    def wait_for(self, fd: int) -> bool:
        """Until there is something to read (or its end); False: told to stop."""
        waiter = poll()
        waiter.register(fd)
        waiter.register(self._pipe[0])
        while not self.told:
            ready = dict(waiter.poll())
            if self._pipe[0] in ready:
                os.read(self._pipe[0], 64)
            if fd in ready and not self.told:
                return True
        return False

    @property
    def status(self) -> int:
        """The exit status that being told to stop gives: 128 + the signal's number; else 0."""
        return 128 + self.told if self.told else 0
