"""Drain: a channel's finished sub-buffers to sinks, one for each buffer."""

from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Final

from rchan._core import Buffer, Channel
from rchan.errors import ChannelBusy
from rchan.recorder.sinks import BUSY, EMPTY, Sink

BACKOFF: Final = 0.01  # seconds between two looks at a buffer that somebody else holds
TURN: Final = 8  # sub-buffers of one buffer before it is the next one's turn


class Drain:
    """A sub-buffer is consumed only after its sink has taken it, so what a killed recorder had
    not stored is still in the channel. open_sink makes the sink of a buffer when it is first seen.
    prepare: called when it is settled which sub-buffers are moved next, before any of them is.
    """

    def __init__(
        self,
        channel: Channel,
        open_sink: Callable[[Buffer], Sink],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.channel = channel
        self.buffers: dict[int, Buffer] = {}
        self.sinks: dict[int, Sink] = {}
        self._open_sink = open_sink
        self._prepare = prepare
        self._seen: dict[int, tuple[int, float]] = {}  # unfinished: its number, first seen when

    @property
    def taken(self) -> int:
        """Sub-buffers taken so far, by all sinks."""
        return sum(sink.subbufs for sink in self.sinks.values())

    def look(self) -> bool:
        """Take up buffers that have come into being since the last look. True: there were some."""
        fresh = False
        for index, buffer in self.channel._buffers().items():
            if index not in self.sinks:
                self.sinks[index] = self._open_sink(buffer)
                self.buffers[index] = buffer
                fresh = True
        return fresh

    def round(self) -> tuple[int, bool]:
        """A turn for each buffer: how many sub-buffers were moved; was one held by somebody?

        Raises RecordingFailed; the buffers that come before have had their turn.
        """
        before, busy = self.taken, False
        for index, goal in self._goals().items():
            buffer = self.buffers[index]
            most = min(TURN, goal - buffer.subbufs_consumed)
            if most > 0:
                busy |= self.sinks[index].drain(buffer, most) == BUSY
        return self.taken - before, busy

    def _goals(self) -> dict[int, int]:
        """How many sub-buffers each buffer has finished up to now: none behind them is moved."""
        goals = {index: buffer.subbufs_produced for index, buffer in self.buffers.items()}
        self._prepare()
        return goals

    def up_to_now(self, patience: float) -> list[int]:
        """Move everything that is finished now, though writers may go on meanwhile.

        Returns the indices of buffers that another reader held for `patience` seconds.
        """
        self.look()
        goals = self._goals()
        deadline = monotonic() + patience
        while goals:
            before = self.taken
            for index, goal in list(goals.items()):
                buffer = self.buffers[index]
                left = max(1, min(TURN, goal - buffer.subbufs_consumed))
                result = self.sinks[index].drain(buffer, left)
                if result == EMPTY or buffer.subbufs_consumed >= goal:
                    del goals[index]
            if self.taken != before:
                deadline = monotonic() + patience
            elif goals:
                if monotonic() > deadline:
                    break
                sleep(BACKOFF)
        return sorted(goals)

    def finish(self, patience: float) -> tuple[int, ...]:
        """Move everything that was written before this call; the buffers where that failed."""
        held = self.up_to_now(patience)
        busy = self._finish_unfinished(patience)
        held += self.up_to_now(patience)
        return tuple(sorted({*held, *busy}))

    def _finish_unfinished(self, patience: float) -> list[int]:
        """Finish unfinished sub-buffers; those where a writer did not let go for so long."""
        busy = list(self.buffers.items())
        deadline = monotonic() + patience
        while True:
            busy = [(index, buffer) for index, buffer in busy if not _finished(buffer)]
            if not busy or monotonic() > deadline:
                return [index for index, _ in busy]
            sleep(BACKOFF)

    def finish_slow(self, interval: float, now: float) -> None:
        """Finish sub-buffers that have been seen with something in them for so many seconds."""
        for index, buffer in self.buffers.items():
            number, offset = buffer.subbufs_produced, buffer.offset
            if not 0 < offset <= buffer.subbuf_size:
                self._seen.pop(index, None)
                continue
            seen, since = self._seen.setdefault(index, (number, now))
            if seen != number:
                self._seen[index] = (number, now)
            elif now - since >= interval:
                with suppress(ChannelBusy):  # a stalled writer: next time
                    buffer._finish(number)

    def close(self) -> None:
        """Close all sinks."""
        for sink in self.sinks.values():
            sink.close()

    def forget(self) -> None:
        """Let go of all buffers: they keep the channel attached."""
        self.buffers.clear()
        self.sinks.clear()


def _finished(buffer: Buffer) -> bool:
    try:
        buffer._finish()
    except ChannelBusy:
        return False
    return True
