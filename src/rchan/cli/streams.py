"""Sub-buffers to standard output: their bytes, the same for a terminal, or a line of JSON each."""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from rchan._core import DROP_CAUSES
from rchan.channel import Channel
from rchan.cli import exits
from rchan.cli.screen import complain, paint, say
from rchan.errors import WrongChannel

_STDOUT: Final = 1
_UNPRINTABLE: Final = re.compile(r"[^\t\n -~\xa0-\ud7ff\ue000-\U0010ffff]")


def write_all(fd: int, data: "bytes | memoryview") -> None:
    """All of it, also to a descriptor that takes only a part. Raises OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # somebody made it non-blocking
            from select import select

            select((), (fd,), ())


class Output:
    """Standard output, for the data of sub-buffers."""

    def __init__(self, json: bool = False, raw: bool = False) -> None:
        """json: a line of JSON each. raw: a terminal gets control characters, too."""
        self._json = json
        self._escape = not raw and os.isatty(_STDOUT)
        sys.stdout.flush()

    def put(self, data: "bytes | memoryview", facts: dict[str, Any]) -> None:
        """facts: what JSON tells besides the data. Raises OSError."""
        if self._json:
            write_all(_STDOUT, _json_line(bytes(data), facts))
        elif self._escape:
            write_all(_STDOUT, printable(bytes(data)))
        else:
            write_all(_STDOUT, data)


def check_printable(channel: Channel, json: bool, raw: bool) -> None:
    """Raise WrongChannel if what a terminal would get is not for people; tell others of it."""
    if not channel.events or json or raw:
        return
    told = (
        f"channel {channel.name} holds typed events, which are no text: "
        f"'rchan events {channel.name}' prints them ('--raw': their bytes)"
    )
    if os.isatty(_STDOUT):
        raise WrongChannel(told)
    complain(told, exits.OK)


def printable(data: bytes) -> bytes:
    """The same as text that does nothing to a terminal: what is none is shown as \\xNN."""
    text = data.decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text).encode("utf-8", "replace")


def _json_line(data: bytes, facts: dict[str, Any]) -> bytes:
    from json import dumps

    try:
        content = {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        from base64 import b64encode

        content = {"base64": b64encode(data).decode("ascii")}
    return dumps(facts | content).encode() + b"\n"


def facts_of(sub: Any, missed: dict[str, int]) -> dict[str, Any]:
    """Of a TakenSubbuf or a SubbufCopy. missed: records by cause, just before it."""
    return {
        "cpu": sub.cpu,
        "seq": sub.seq,
        "records": sub.records,
        "first_ns": sub.first_ns,
        "last_ns": sub.last_ns,
        "lost": missed,
    }


def lost_before(copy: Any) -> dict[str, int]:
    """Of a SubbufCopy: records by cause that are missing before it."""
    return by_cause(copy.missed[1], copy.lost)


def by_cause(overwritten: int, drops: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Records by cause, those that there are. drops: as _core.DROP_CAUSES."""
    named = zip(("overwritten", *DROP_CAUSES), (overwritten, *(n for n, _ in drops)), strict=True)
    return {cause: count for cause, count in named if count}


class Losses:
    """Says on standard error what is missing in the output: at most once a second."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._counts: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._said = float("-inf")

    def add(self, lost: dict[str, int]) -> None:
        """Records by cause."""
        for counts in (self._counts, self._told):
            for cause, count in lost.items():
                counts[cause] = counts.get(cause, 0) + count

    def say(self, now: float = float("inf")) -> None:
        """now: time.monotonic(); left out: at the end."""
        if not self._counts or now < self._said + 1:
            return
        self._said = now
        self._say(f"lost: {_causes(self._counts)}")
        self._counts = {}

    def say_all(self, books: dict[str, int]) -> None:
        """At the end. books: all that was lost since the channel was made, by cause."""
        self.say()
        earlier = {cause: count - self._told.get(cause, 0) for cause, count in books.items()}
        earlier = {cause: count for cause, count in earlier.items() if count > 0}
        if earlier:
            self._say(f"lost earlier, since the channel was made: {_causes(earlier)}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            say(paint(f"rchan: {text}", "red", sys.stderr), sys.stderr)


def _causes(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {cause.replace('_', ' ')}" for cause, count in counts.items())
