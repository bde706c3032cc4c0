"""Progress of a command that reads or writes bytes for a while."""

from time import monotonic
from typing import Final, TextIO

from rchan.cli.screen import amount_text, say

_LIVE: Final = 0.1  # seconds between two looks of a line on a terminal
_PLAIN: Final = 10.0  # and of lines elsewhere


class ByteProgress:
    """One line that is written anew on a terminal; a plain line now and then elsewhere."""

    def __init__(self, what: str, stream: TextIO, quiet: bool) -> None:
        self._what = what
        self._stream = stream
        self._quiet = quiet
        self._live = stream.isatty()
        self._start = monotonic()
        self._next = self._start + (_LIVE if self._live else _PLAIN)
        self._shown = False

    def show(self, done: int) -> None:
        """So many bytes so far. May be called as often as you like."""
        if self._quiet or monotonic() < self._next:
            return
        now = monotonic()
        self._next = now + (_LIVE if self._live else _PLAIN)
        text = f"{self._what} {amount_text(done)}, {amount_text(done / (now - self._start))}/s"
        if self._live:
            self._shown = True
            self._write(f"\r\x1b[K{text}")
        else:
            say(f"rchan: {text}", self._stream)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._quiet = True
