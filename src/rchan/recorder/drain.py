"""Takes finished sub-buffers, writes them to sinks, gives them back: in that order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep

from rchan._core import DROP_CAUSES, Buffer, Channel, Subbuf
from rchan.recorder.sinks import Sink
from rchan.stats import Count, Stats, buffer_stats

BACKOFF = 0.01  # seconds between two looks at a buffer that somebody else holds


@dataclass(slots=True)
class Tally:
    """What was recorded of one buffer so far.

    Losses before the first recorded sub-buffer are not this recording's, unless nobody has
    read anything of the buffer before: then all are.
    """

    before: tuple[Count, ...]  # by cause
    discarded_before: Count
    overwritten_before: Count
    is_first: bool  # nobody has read anything of the buffer before
    subbufs: int = 0
    bytes: int = 0
    records: int = 0
    first_seq: int | None = None
    last_seq: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    overwritten: Count = field(default_factory=Count)

    @classmethod
    def start(cls, buffer: Buffer) -> "Tally":
        stats = buffer_stats(buffer)
        is_first = not any((*stats.consumed, *stats.discarded))
        before = (Count(),) * len(DROP_CAUSES) if is_first else _drops(stats)
        overwritten = Count() if is_first else stats.overwritten
        return cls(before, stats.discarded, overwritten, is_first)

    def add(self, sub: Subbuf) -> None:
        if self.first_seq is None:
            self.first_seq, self.first_ns = sub.seq, sub.first_ns
            if not self.is_first:
                self.before = tuple(Count(*drop) for drop in sub.drops)
        self.last_seq, self.last_ns = sub.seq, sub.last_ns
        self.subbufs += 1
        self.bytes += sub.length
        self.records += sub.records
        self.overwritten = _minus(Count(*sub.overwritten), self.overwritten_before)

    def lost(self, stats: Stats) -> dict[str, Count]:
        """Records and bytes that are missing in this recording, by cause."""
        drops = zip(DROP_CAUSES, _drops(stats), self.before, strict=True)
        return {
            "overwritten": self.overwritten,
            "discarded": _minus(stats.discarded, self.discarded_before),
            **{cause: _minus(now, before) for cause, now, before in drops},
        }


def _drops(stats: Stats) -> tuple[Count, ...]:
    return tuple(getattr(stats, f"dropped_{cause}") for cause in DROP_CAUSES)


def _minus(now: Count, before: Count) -> Count:
    return Count(now.records - before.records, now.bytes - before.bytes)


class Drain:
    """Moves a channel's finished sub-buffers to sinks, one sink per buffer.

    A sub-buffer is consumed only after its sink has taken it, so what a killed recorder had
    not written is still in the channel. open_sink makes the sink of a buffer when it is first seen.
    """

    def __init__(self, channel: Channel, open_sink: Callable[[Buffer], Sink]) -> None:
        self.channel = channel
        self.tallies: dict[int, Tally] = {}
        self.buffers: dict[int, Buffer] = {}
        self._open_sink = open_sink
        self._sinks: dict[int, Sink] = {}
        self._copy = bytearray(channel.subbuf_size) if channel.overwrite else None

    def look(self) -> None:
        """Take up buffers that have come into being since the last look."""
        for index, buffer in self.channel._buffers().items():
            if index not in self._sinks:
                self._sinks[index] = self._open_sink(buffer)
                self.tallies[index] = Tally.start(buffer)
                self.buffers[index] = buffer

    def round(self) -> int:
        """Move at most one sub-buffer of each buffer; how many were moved.

        If there is nothing to move but another reader holds a buffer, wait a moment.
        """
        self.look()
        moved = busy = 0
        for index, buffer in self.buffers.items():
            try:
                moved += self._move(index, buffer)
            except BlockingIOError:
                busy += 1
        if busy and not moved:
            sleep(BACKOFF)
        return moved

    def up_to_now(self, patience: float) -> list[int]:
        """Move everything that is finished now, though writers may go on meanwhile.

        Returns the indices of buffers that another reader held for `patience` seconds.
        """
        self.look()
        goals = {index: buffer.subbufs_produced for index, buffer in self.buffers.items()}
        deadline = monotonic() + patience
        while goals:
            moved = 0
            for index, goal in list(goals.items()):
                try:
                    step = self._move(index, self.buffers[index])
                except BlockingIOError:
                    continue
                moved += step
                if not step or self.buffers[index].subbufs_consumed >= goal:
                    del goals[index]
            if moved:
                deadline = monotonic() + patience
            elif goals:
                if monotonic() > deadline:
                    break
                sleep(BACKOFF)
        return sorted(goals)

    def sync(self) -> None:
        for sink in self._sinks.values():
            sink.sync()

    def close(self) -> None:
        for sink in self._sinks.values():
            sink.close()

    def _move(self, index: int, buffer: Buffer) -> int:
        sub = buffer.take()
        if sub is None:
            return 0
        try:
            if not self._record(sub, self._sinks[index]):
                return 0  # it was overwritten meanwhile; the next take says what was lost
            self.tallies[index].add(sub)
            sub.give_back()
        finally:
            if sub.held:
                sub.put_down()
        return 1

    def _record(self, sub: Subbuf, sink: Sink) -> bool:
        if self._copy is None:
            with sub.data as data:
                sink.write(data)
            return True
        # A writer may begin to overwrite it at any time: only a copy can be known to be good.
        with memoryview(self._copy)[: sub.length] as copy:
            with sub.data as data:
                copy[:] = data
            if not sub.whole:
                return False
            sink.write(copy)
        return True
