"""Words and numbers for people: sizes, counts, the live line, one line a failure."""

import sys
from collections.abc import Collection, Sequence
from os import environ, get_terminal_size
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TextIO

if TYPE_CHECKING:
    from rchan.channel import Channel
    from rchan.recorder import Recording
    from rchan.stats import Count

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_CLEAR: Final = "\r\x1b[K"


class Progress(Protocol):
    """How far it has come, as the live line shows it."""

    @property
    def seconds(self) -> float: ...
    @property
    def records(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def lost(self) -> "dict[str, Count]": ...
    @property
    def stalled(self) -> str | None: ...  # why nothing is consumed just now


class Step(NamedTuple):
    """One moment of it."""

    seconds: float
    records: int
    bytes: int
    lost: "dict[str, Count]"
    stalled: str | None = None


def complain(message: str, status: int) -> int:
    """Say it in one line on standard error; gives the status back."""
    say(f"rchan: {harmless(message)}", sys.stderr)
    return status


def harmless(text: str) -> str:
    """One line that does nothing to a terminal, whatever names and arguments are in it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    from json import dumps

    sys.stdout.write(dumps(value, indent=1) + "\n")


_COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


def coloured(stream: TextIO) -> bool:
    """May there be colours: a terminal that can, and nobody asked for none (NO_COLOR)?"""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO) -> str:
    """The text in red, green, yellow or bold, if the stream may have colours."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[m" if coloured(stream) else text


def say(line: str, stream: TextIO) -> None:
    """Write a line for people; that nobody can read it is no reason to stop."""
    try:
        stream.write(line + "\n")
        stream.flush()
    except (OSError, ValueError):
        pass


def parse_size(text: str) -> int:
    """Bytes of '256K', '1M', '4096'. Raises ValueError."""
    upper = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = upper[-1:] if upper[-1:] in ("K", "M", "G") else ""
    number = upper.removesuffix(unit)
    if not (number.isascii() and number.isdigit()):
        raise ValueError(f"{text!r} is not a size such as 4096, 256K or 1M")
    return int(number) * _UNITS[unit]


def size_text(size: int) -> str:
    """A sub-buffer's size, exact: '256 KiB', '1 MiB', '100 bytes'."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit:,} {name}"
    return f"{size:,} bytes"


def amount_text(size: float) -> str:
    """So many bytes, about: '212.4 MB'."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:.0f} B"


def lost_text(lost: "dict[str, Count]") -> str:
    """'lost 0', 'lost 12: full', or 'lost 1,204: 1,200 full, 4 too big'."""
    causes = {cause.replace("_", " "): count.records for cause, count in lost.items()}
    causes = {cause: count for cause, count in causes.items() if count}
    total = sum(causes.values())
    if len(causes) < 2:
        return ": ".join([f"lost {total:,}", *causes])
    return f"lost {total:,}: " + ", ".join(f"{n:,} {cause}" for cause, n in causes.items())


def name_text(name: str) -> str:
    """A channel's name that does nothing to a terminal."""
    return name if name.isprintable() else ascii(name)  # in quotes: it is not quite the name


def count_text(count: int) -> str:
    """So many, in six characters at most: '99,999', '123 k', '4.5 M'."""
    if count < 100_000:
        return f"{count:,}"
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.0f} k"


def duration_text(seconds: float) -> str:
    """'00:12', '1:02:03'."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def shape_text(channel: "Channel") -> str:
    """'app (2 buffers of 8 x 256 KiB, no-overwrite)'."""
    mode = "overwrite" if channel.overwrite else "no-overwrite"
    buffer = f"{channel.n_subbufs} x {size_text(channel.subbuf_size)}"
    return f"{channel.name} ({many(channel.n_buffers, 'buffer')} of {buffer}, {mode})"


def summary_lines(recording: "Recording") -> tuple[str, str]:
    """What was recorded, and where it is."""
    amount = f"{many(recording.records, 'record')}, {amount_text(recording.bytes)}"
    result = f"{amount} in {recording.seconds:.1f} s, {lost_text(recording.lost)}"
    if recording.expired.records:
        result += f", {recording.expired.records:,} older ones in files that were let go"
    files = many(len(recording.files), "file")
    return f"{recording.channel}: {result}", f"{recording.directory}: {files}"


def many(number: int, thing: str) -> str:
    """'1 record', '2 records'."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


class LiveLine:
    """One line on a terminal that is written anew at every call; nothing on anything else."""

    def __init__(self, label: str, stream: TextIO) -> None:
        self._label = label
        self._stream = stream
        self.live = stream.isatty()
        self._colour = coloured(stream)
        self._last: Progress | None = None
        self._rate = 0.0

    def show(self, progress: Progress) -> None:
        """Write the line anew."""
        if not self.live:
            return
        before, self._last = self._last, progress
        if before is not None and progress.seconds > before.seconds:
            rate = (progress.bytes - before.bytes) / (progress.seconds - before.seconds)
            self._rate += (rate - self._rate) * 0.3  # smooth enough to be read
        self._write(_CLEAR + self._painted(self._text(progress)))

    def clear(self) -> None:
        """Take the line away, for what is to stand in its place."""
        if self.live:
            self._write(_CLEAR)

    def _text(self, progress: Progress) -> tuple[str, str, str]:
        """What comes first; what follows; and what follows where that is too long."""
        if progress.stalled is not None:
            beginning = f"{duration_text(progress.seconds)}  not consuming: "
            return beginning, progress.stalled, progress.stalled.split(": ")[-1]
        numbers = (
            f"{duration_text(progress.seconds)}  {self._label}  "
            f"{progress.records:>11,} records  {amount_text(progress.bytes):>8}  "
            f"{amount_text(self._rate):>8}/s  "
        )
        lost = lost_text(progress.lost)
        return numbers, lost, lost.split(":")[0]

    def _painted(self, text: tuple[str, str, str]) -> str:
        width = self._width()
        beginning = text[0][:width]
        rest = text[1] if len(text[0]) + len(text[1]) <= width else text[2]
        rest = rest[: width - len(beginning)]
        if self._colour and not text[1].endswith(" 0"):
            rest = f"\x1b[31m{rest}\x1b[m"
        return beginning + rest

    def _width(self) -> int:
        try:
            return (get_terminal_size(self._stream.fileno()).columns or 80) - 1
        except OSError:
            return 79

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self.live = False


def table_lines(rows: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Rows in aligned columns: those in `left` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
