"""NAME.ctl: the control that relay clients always had to invent, as lines of text."""

from collections.abc import Callable
from errno import EINVAL
from typing import Final

from rchan.channel import Channel, open

COMMANDS: Final = "flush, reset, pause, resume, or consumed CPU N"


class BadCommand(OSError):
    """Not a command (EINVAL)."""

    def __init__(self, line: bytes) -> None:
        super().__init__(EINVAL, f"{line[:80]!r} is no command: write {COMMANDS}")


def perform(place: str, base: str, data: bytes) -> int:
    """Do the commands in data, one a line; the number of bytes that were understood and done.

    Raises, if it was the first line that failed, BadCommand, NoSuchBuffer, ChannelBusy,
    BlockingIOError, CorruptChannel, ChannelNotFound.
    """
    lines = data.splitlines(keepends=True)
    if lines:
        _parsed(lines[0])  # before anything is opened
    channel = open(base, place)
    done = 0
    try:
        for line in lines:
            act = _parsed(line)
            if act is not None:
                act(channel)
            done += len(line)
    except Exception:
        if not done:
            raise
        # else the writer hears of it when it writes the rest
    finally:
        channel.detach()
    return done


def _set_enabled(channel: Channel, enabled: bool) -> None:
    channel.enabled = enabled


_WORDS: Final[dict[bytes, Callable[[Channel], None]]] = {
    b"flush": lambda channel: channel.flush(),
    b"reset": lambda channel: channel.reset(),
    b"pause": lambda channel: _set_enabled(channel, False),
    b"resume": lambda channel: _set_enabled(channel, True),
}


def _parsed(line: bytes) -> Callable[[Channel], None] | None:
    """What the line asks for; None: it is empty."""
    words = line.split()
    if not words:
        return None
    if len(words) == 1 and words[0] in _WORDS:
        return _WORDS[words[0]]
    if len(words) == 3 and words[0] == b"consumed":
        cpu, count = words[1], words[2]
        if all(word.isdigit() and len(word) <= 9 for word in (cpu, count)):
            return lambda channel: _consume(channel, line, int(cpu), int(count))
    raise BadCommand(line)


def _consume(channel: Channel, line: bytes, cpu: int, count: int) -> None:
    if channel.buffers.get(cpu) is None or count > channel.n_subbufs:
        raise BadCommand(line)
    channel.subbufs_consumed(cpu, count)
