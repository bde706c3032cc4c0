"""sd_notify: tells the service manager how the recorder is, if there is one."""

from contextlib import suppress
from os import environ, getpid
from socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket
from time import monotonic


class Manager:
    """The service manager that started this process ($NOTIFY_SOCKET); without one nothing happens.

    It is told only once to be ready, and about the status only when that changes.
    """

    def __init__(self) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._status = ""
        self._alive_at = 0.0
        self._interval = _watchdog_interval()

    def tell(self, text: str) -> None:
        """Send text, lines such as READY=1; that nobody hears it is no reason to stop."""
        if self._address[:1] not in ("/", "@"):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with suppress(OSError), socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC) as out:
            out.sendto(text.encode(), address)

    def status(self, text: str) -> None:
        """Send text, one line for people."""
        if text != self._status:
            self._status = text
            self.tell(f"STATUS={text}")

    def alive(self) -> None:
        """Keep the watchdog calm; may be called as often as you like."""
        if self._interval and monotonic() >= self._alive_at:
            self._alive_at = monotonic() + self._interval
            self.tell("WATCHDOG=1")


def _watchdog_interval() -> float:
    """Half of what the manager waits, in seconds; 0: it does not watch us."""
    if environ.get("WATCHDOG_PID", str(getpid())) != str(getpid()):
        return 0.0
    try:
        return int(environ.get("WATCHDOG_USEC", "0")) / 2e6
    except ValueError:
        return 0.0
