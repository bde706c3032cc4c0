"""From two looks at a channel to what happens in a second. Pure: no clock, no channel."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rchan.cli.look import Look
from rchan.stats import Stats

HISTORY: Final = 60
CAUSES: Final = (
    "overwritten",
    "discarded",
    "dropped_full",
    "dropped_too_big",
    "dropped_disabled",
    "dropped_contended",
)


@dataclass(frozen=True, slots=True)
class Rate:
    """What happened in a second, between two looks at one buffer or channel."""

    written_records: float = 0.0
    written_bytes: float = 0.0
    read_records: float = 0.0
    read_bytes: float = 0.0
    lost_records: float = 0.0
    wakeups: float = 0.0


def rate(before: Stats, now: Stats, seconds: float, wakeups: int = 0) -> Rate:
    """Between the books before and now. Nothing if no time has passed; never below 0."""
    if seconds <= 0:
        return Rate()

    def each(start: int, end: int) -> float:
        return max(0, end - start) / seconds

    return Rate(
        each(before.written.records, now.written.records),
        each(before.written.bytes, now.written.bytes),
        each(before.consumed.records, now.consumed.records),
        each(before.consumed.bytes, now.consumed.bytes),
        each(before.lost.records, now.lost.records),
        max(0, wakeups) / seconds,
    )


def channel_rate(before: Look, now: Look) -> Rate:
    """Of a whole channel; nothing if it was made anew in between."""
    if before.created_ns != now.created_ns:
        return Rate()
    seconds = (now.when_ns - before.when_ns) / 1e9
    return rate(before.stats.total, now.stats.total, seconds, now.wakeups - before.wakeups)


def buffer_rates(before: Look, now: Look) -> dict[int, Rate]:
    """Of each buffer that is there now."""
    if before.created_ns != now.created_ns:
        return {index: Rate() for index in now.stats}
    seconds = (now.when_ns - before.when_ns) / 1e9
    return {
        index: rate(before.stats.buffers.get(index, Stats()), stats, seconds)
        for index, stats in now.stats.items()
    }


def mean_rate(look: Look) -> Rate:
    """Since the channel was made."""
    return rate(Stats(), look.stats.total, look.age, look.wakeups)


def losses(stats: Stats) -> dict[str, int]:
    """Records lost so far by cause, those that there are."""
    counts = {cause: getattr(stats, cause).records for cause in CAUSES}
    return {cause: count for cause, count in counts.items() if count}


class Watched:
    """A channel over time: its last look, the rates now, and their history."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.rate = Rate()
        self.buffers: dict[int, Rate] = {}
        self.written: deque[float] = deque(maxlen=HISTORY)
        self.read: deque[float] = deque(maxlen=HISTORY)
        self.lost: deque[float] = deque(maxlen=HISTORY)

    def take(self, look: Look) -> None:
        """The next look; a channel that was made anew under this name begins anew."""
        if look.created_ns != self.look.created_ns:
            self.__init__(look)  # type: ignore[misc]
            return
        self.rate = channel_rate(self.look, look)
        self.buffers = buffer_rates(self.look, look)
        self.look = look
        self.written.append(self.rate.written_bytes)
        self.read.append(self.rate.read_bytes)
        self.lost.append(self.rate.lost_records)


class Watch:
    """All channels of a directory over time."""

    def __init__(self) -> None:
        self.channels: dict[str, Watched] = {}

    def take(self, looks: Iterable[Look]) -> None:
        """One round of looks; who is not among them is gone."""
        now = {look.name: look for look in looks}
        self.channels = {name: watched for name, watched in self.channels.items() if name in now}
        for name, look in now.items():
            if name in self.channels:
                self.channels[name].take(look)
            else:
                self.channels[name] = Watched(look)
