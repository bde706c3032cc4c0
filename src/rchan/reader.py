"""Reader: finished sub-buffers of all buffers of a channel, zero copy, one after another."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from math import isfinite
from time import monotonic, sleep
from typing import Final, Literal, Self

from rchan import _core
from rchan.closing import Closing
from rchan.errors import ChannelBusy, ChannelClosed, GeometryError, NotHeld, WrongType
from rchan.listener import LOOK_AGAIN, Listener, nap
from rchan.merge import TimeOrder, Turns
from rchan.taken import Lost, Source, TakenSubbuf

LOOK_FOR_PRODUCERS: Final = 0.05  # their death wakes nobody
_MOMENT: Final = 0.0005  # seconds, at first, until another reader may have given back
_LONGEST_MOMENT: Final = 0.01
_QUICK: Final = 64  # sub-buffers between two looks at what else has changed, such as new buffers

Ending = Literal["finalized", "orphaned", "timeout", "closed"]


def seconds(name: str, value: object, none: bool = True) -> float | None:
    """A time that was given, in seconds. Raises WrongType, GeometryError."""
    if value is None and none:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"{name} must be seconds or None, not {type(value).__name__}")
    if not isfinite(value) or value < 0:
        raise GeometryError(
            f"{name} is {value}: it must be a finite number of seconds, not below 0"
        )
    return float(value)


class Reader(Closing):
    """Hands out the finished sub-buffers of a channel (a relay client's read loop, whole).

    Made by `Channel.reader`, which says what the arguments mean. A loop over it (`for`, or
    `async for`) gives each sub-buffer back when it goes on; if the loop is left early, by break or
    an exception, what it holds is put down, and the next reader gets it. `take` and
    `give_back` do the same by hand. For one thread or task at a time. Any number of readers, in
    any process, share the sub-buffers: each goes to exactly one.
    """

    def __init__(
        self,
        channel: _core.Channel,
        indices: frozenset[int] | None = None,
        *,
        in_time_order: bool = False,
        watermark: float | None = 0.1,
        flush_interval: float | None = None,
        timeout: float | None = None,
        until_orphaned: bool = False,
    ) -> None:
        """indices: of the buffers to read; None: all. The others: as in `Channel.reader`."""
        if not isinstance(channel, _core.Channel):
            raise WrongType(f"a Reader is of a Channel, not of a {type(channel).__name__}")
        patience = seconds("watermark", watermark)
        self._timeout = seconds("timeout", timeout)
        self._flush_interval = seconds("flush_interval", flush_interval)
        if self._flush_interval == 0:
            raise GeometryError("flush_interval is 0: it must be more, or None for never")
        watermark_ns = None if patience is None else int(patience * 1e9)
        self._order = TimeOrder(watermark_ns) if in_time_order else Turns()
        self._channel = channel
        self._indices = indices
        self._until_orphaned = bool(until_orphaned)
        self._listener = Listener(channel)
        self._sources: dict[int, Source] = {}
        self._list: list[Source] = []  # the same
        self._closed = False
        self._found = False  # at the last look
        self._quick = 0  # so many sub-buffers are taken without a look at anything else
        self._flush_at = 0.0
        self._ended_by: Ending | None = None
        self._refresh()

    # ---- what it says ----

    @property
    def ended_by(self) -> Ending | None:
        """Why the last loop or take ended without a sub-buffer; None: it did not.

        "finalized", "orphaned" (only with until_orphaned): everything was read, the unfinished
        rest too; "timeout": nothing came for so long; "closed": `close` was called.
        """
        return self._ended_by

    @property
    def closed(self) -> bool:
        """Was `close` called?"""
        return self._closed

    def unreported(self) -> dict[int, Lost]:
        """Lost up to now, and not told by a sub-buffer that was given back; by buffer index.

        At the end of a channel: what was lost after its last sub-buffers. Together with the
        `lost` of all sub-buffers that were given back: everything since the channel was created.
        """
        self._raise_if_closed()
        self._refresh()
        return {index: source.unreported() for index, source in self._sources.items()}

    # ---- by hand ----

    def take(self, timeout: float | None = 0) -> TakenSubbuf | None:
        """The next finished sub-buffer, in your hand until `give_back`; None: nothing came.

        timeout: seconds to wait for it; None: until there is one or there can be none any more
        (see ended_by). Of each buffer one can be in your hand; in time order one in all. Raises
        ChannelClosed, CorruptChannel, ChannelBusy (in time order, with one in your hand).
        """
        self._raise_if_closed()
        limit = seconds("timeout", timeout)
        deadline = None if limit is None else monotonic() + limit
        return self._wait(deadline)

    def give_back(self, sub: TakenSubbuf) -> None:
        """Sub-buffer `sub` is read: its place is free for writers (relay_subbufs_consumed).

        Raises WrongType, NotHeld (given back before, or another reader's), BufferError (a view
        of its data lives).
        """
        if not isinstance(sub, TakenSubbuf):
            raise WrongType(f"a reader takes back a TakenSubbuf, not a {type(sub).__name__}")
        if not sub.held:
            raise NotHeld(f"{sub._who()} was given back or put down before")
        if self._sources.get(sub.cpu) is not sub._source:
            raise NotHeld(f"{sub._who()} is not this reader's")
        sub.release()

    def close(self) -> None:
        """Put down all that is held. A second call does nothing.

        A sub-buffer of which a view lives is put down when the last view is gone.
        """
        self._closed = True
        self._ended_by = "closed"
        self._listener.close()
        with suppress(BufferError):
            self._order.put_down()
        for source in self._sources.values():
            held = source.held() if source.held is not None else None
            if held is not None:
                with suppress(BufferError):
                    held.put_down()
        self._sources.clear()
        self._list.clear()

    def __enter__(self) -> Self:
        self._raise_if_closed()
        return self

    # ---- loops ----

    def __iter__(self) -> Iterator[TakenSubbuf]:
        """A loop that ends as `Channel.reader` says."""
        self._raise_if_closed()
        return _Loop(self)

    def __aiter__(self) -> AsyncIterator[TakenSubbuf]:
        """The same without holding up the event loop."""
        self._raise_if_closed()
        return _Loop(self)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"of {self._channel.base!r}"
        return f"<rchan.Reader {state}>"

    # ---- one look ----

    def _look(self) -> TakenSubbuf | None:
        """What is there now; sets _ended_by if there can be nothing any more."""
        if self._quick:
            self._quick -= 1
            sub = self._order.pick(self._list, False)
            if sub is not None:
                return sub
        return self._thorough_look()

    def _thorough_look(self) -> TakenSubbuf | None:
        ending = self._nobody_left()  # before the look: what is not there now will never be
        self._refresh()
        if self._flush_interval is not None:
            self._flush_slow(self._flush_interval, monotonic())
        sub = self._order.pick(self._list, ending is not None)
        over = sub is None and ending is not None and not self._left_over()
        if sub is None and ending is not None and not over:  # some of it may be finished only now
            sub = self._order.pick(self._list, True)
        self._found = sub is not None
        self._quick = _QUICK if sub is not None and self._flush_interval is None else 0
        self._ended_by = None
        if over:
            self._ended_by = ending
        return sub

    def _refresh(self) -> None:
        if self._channel.closed:
            raise ChannelClosed("the channel handle of this reader is closed: open another")
        for index, buffer in self._channel._buffers().items():
            if index not in self._sources and (self._indices is None or index in self._indices):
                self._sources[index] = Source(buffer, copies=self._channel.overwrite)
        if len(self._list) != len(self._sources):
            self._list = list(self._sources.values())

    def _nobody_left(self) -> Ending | None:
        if self._channel.finalized:
            return "finalized"
        if self._until_orphaned and not self._found and self._channel.orphaned:
            return "orphaned"
        return None

    def _left_over(self) -> bool:
        """Nobody writes any more: does anything come yet? Finishes what is unfinished."""
        return sum(self._comes(source) for source in self._list) > 0

    def _comes(self, source: Source) -> bool:
        if source.busy:
            return True
        if source.in_hand():
            return False
        try:
            return source.buffer._finish() or source.unread()
        except ChannelBusy:
            return True  # a stalled writer: it may still finish the one record that it has begun

    def _flush_slow(self, interval: float, now: float) -> None:
        """Finish sub-buffers that were seen with something in them for most of the interval."""
        if now < self._flush_at:
            return
        self._flush_at = now + interval / 4
        for source in self._sources.values():
            buffer = source.buffer
            number, offset = buffer.subbufs_produced, buffer.offset
            if not 0 < offset <= buffer.subbuf_size:
                source.opened = None
            elif source.opened is None or source.opened[0] != number:
                source.opened = (number, now)
            elif now - source.opened[1] >= 0.7 * interval and not source.unread():
                with suppress(ChannelBusy):  # a stalled writer: next time
                    buffer._finish(number)

    # ---- waiting ----

    def _wait(self, deadline: float | None) -> TakenSubbuf | None:
        """The next one; None: it is over.

        Asleep on the channel's futex, whatever this reader waits for: news that come after the
        look end the sleep. Only giving back wakes nobody: then it looks again, after a moment that
        doubles up to 10 ms.
        """
        epoch: int | None = None
        moment = _MOMENT
        try:
            while True:
                sub = self._look()
                left = self._rest(deadline) if sub is None else None
                if left is None:
                    return sub
                if self._busy():
                    sleep(min(left, moment))
                    moment = min(2 * moment, _LONGEST_MOMENT)
                elif epoch is None:
                    epoch = self._channel._sleeper_add()
                else:
                    mine, epoch = epoch, None  # it leaves, also if a signal handler raises
                    self._channel._sleep(mine, left)
        finally:
            if epoch is not None and not self._channel.closed:
                self._channel._sleep(epoch, 0)

    def _busy(self) -> bool:
        return any(source.busy for source in self._list)

    def _rest(self, deadline: float | None) -> float | None:
        """How long to sleep before the next look; None: not at all, it is over."""
        if self._closed or self._ended_by is not None:
            return None
        left = LOOK_AGAIN if deadline is None else min(LOOK_AGAIN, deadline - monotonic())
        if left <= 0:
            self._ended_by = "timeout"
            return None
        if self._until_orphaned:
            left = min(left, LOOK_FOR_PRODUCERS)
        if self._flush_interval is not None:
            left = min(left, self._flush_interval / 4)
        return min(left, self._order.patience())

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise ChannelClosed("this reader is closed: make another")


class _Loop:
    """One `for` or `async for`: gives back when it goes on, puts down when it is left."""

    __slots__ = ("_current", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._current: TakenSubbuf | None = None

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> TakenSubbuf:
        current, reader = self._current, self._reader
        if current is not None and reader._quick:  # the same as below, at once
            current.give_back()
            reader._quick -= 1
            self._current = sub = reader._order.pick(reader._list, False)
            if sub is not None:
                return sub
        deadline = self._go_on()
        if reader._closed:
            raise StopIteration
        self._current = sub = reader._wait(deadline)
        if sub is None:
            raise StopIteration
        return sub

    async def __anext__(self) -> TakenSubbuf:
        deadline, moment = self._go_on(), _MOMENT
        self._look()
        while self._current is None:
            left = self._reader._rest(deadline)
            if left is None:
                raise StopAsyncIteration
            if self._reader._busy():
                await nap(min(left, moment))
                moment = min(2 * moment, _LONGEST_MOMENT)
                self._look()
            else:
                await self._reader._listener.sleep(self._look, left)
        return self._current

    def _go_on(self) -> float | None:
        if self._current is not None:
            self._current.give_back()
            self._current = None
        timeout = self._reader._timeout
        return None if timeout is None else monotonic() + timeout

    def _look(self) -> bool:
        """Is there something to do but to sleep on?"""
        reader = self._reader
        if reader._closed:
            return True
        self._current = reader._look()
        return self._current is not None or reader._ended_by is not None or reader._busy()

    def __del__(self) -> None:
        with suppress(BufferError):  # put down when the last view is gone
            if self._current is not None:
                self._current.put_down()
        if not self._reader._closed:
            self._reader._order.put_down()
