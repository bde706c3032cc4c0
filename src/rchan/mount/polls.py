"""Who polls which buffer, and when the kernel is told to look again."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from os import read
from select import POLLERR
from typing import Final

from rchan.errors import CorruptChannel
from rchan.mount.opened import OpenBuffer, OpenChannel

_MANY: Final = 4096  # rings
_LOOK_AGAIN: Final = 0.02  # seconds, for channels that have no bell left


@dataclass(slots=True)
class _Waiting:
    """Those who wait for news of one channel: by poll handle, the buffer and what it was then."""

    channel: OpenChannel
    bell: int | None
    handles: dict[int, tuple[OpenBuffer, tuple[int, int]]] = field(default_factory=dict)
    armed: bool = False


class Polls:
    """Waits for the news of all channels that somebody polls, on one bell each.

    A bell is armed only while somebody polls: writers of other channels pay nothing.
    """

    def __init__(self, watch: Callable[[int], None], forget: Callable[[int], None]) -> None:
        """watch, forget: begin and end to call `rung` when a descriptor is readable."""
        self._watch, self._forget = watch, forget
        self._by_channel: dict[OpenChannel, _Waiting] = {}
        self._by_bell: dict[int, _Waiting] = {}

    @property
    def timeout(self) -> float | None:
        """Seconds until `look_again` is due; None: never."""
        lonely = any(w.bell is None and w.handles for w in self._by_channel.values())
        return _LOOK_AGAIN if lonely else None

    def poll(self, opened: OpenBuffer, handle: int | None) -> int:
        """The mask now; with a handle, the next news of the buffer are told to it, once."""
        if handle is not None:
            waiting = self._waiting(opened.owner)
            self._arm(waiting)
            # Even if there is something already: an edge may be waited for.
            waiting.handles[handle] = opened, opened.signature()
        return _mask(opened)

    def _waiting(self, channel: OpenChannel) -> _Waiting:
        waiting = self._by_channel.get(channel)
        if waiting is None:
            bell = channel.ring_at_news()
            waiting = self._by_channel[channel] = _Waiting(channel, bell)
            if bell is not None:
                self._by_bell[bell] = waiting
                self._watch(bell)
        return waiting

    def _arm(self, waiting: _Waiting) -> None:
        bell = waiting.channel.bell
        if bell is not None and not waiting.armed:
            bell.rearm()
            waiting.armed = True

    def rung(self, bell: int) -> list[int]:
        """A bell was rung: the handles to tell."""
        waiting = self._by_bell.get(bell)
        if waiting is None or waiting.channel.bell is None:
            return []
        with suppress(BlockingIOError):  # unreadable again, but not armed: perhaps nobody polls now
            read(waiting.channel.bell.fileno(), _MANY)
        waiting.armed = False
        return self._news(waiting)

    def look_again(self) -> list[int]:
        """The handles to tell of channels that have no bell."""
        lonely = [waiting for waiting in self._by_channel.values() if waiting.bell is None]
        return [handle for waiting in lonely for handle in self._news(waiting)]

    def _news(self, waiting: _Waiting) -> list[int]:
        told = _told(waiting)
        if waiting.handles:
            self._arm(waiting)
            told += _told(waiting)  # what came before it was armed
        return told

    def drop(self, handle: int, opened: OpenBuffer) -> None:
        """The file was closed."""
        waiting = self._by_channel.get(opened.owner)
        if waiting is not None:
            waiting.handles.pop(handle, None)

    def drop_channel(self, channel: OpenChannel) -> None:
        """Nothing of it is open any more; call it before the channel is closed."""
        waiting = self._by_channel.pop(channel, None)
        if waiting is not None and waiting.bell is not None:
            del self._by_bell[waiting.bell]
            self._forget(waiting.bell)


def _told(waiting: _Waiting) -> list[int]:
    """Handles whose buffer has news; they wait no more."""
    told = [
        handle
        for handle, (opened, signature) in waiting.handles.items()
        if _mask(opened) & (POLLERR if opened.signature() == signature else ~0)
    ]
    for handle in told:
        del waiting.handles[handle]
    return told


def _mask(opened: OpenBuffer) -> int:
    try:
        return opened.poll()
    except CorruptChannel:
        return POLLERR
