"""Tap: reading along with a channel without consuming anything."""

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Final, Literal, NamedTuple, Self

from rchan import _core
from rchan.errors import WrongType
from rchan.listener import LOOK_AGAIN, Listener, nap
from rchan.reader import LOOK_FOR_PRODUCERS

Ending = Literal["finalized", "orphaned", "timeout"]
Start = Literal["unread", "oldest", "now"]
STARTS: Final = ("unread", "oldest", "now")


class Missed(NamedTuple):
    """What a tap or snapshot did not get: overwritten, or discarded by a reset, before it came."""

    subbufs: int = 0
    records: int = 0
    bytes: int = 0

    def plus(self, other: "tuple[int, int, int]") -> "Missed":
        """The sum of this and other."""
        return Missed(self.subbufs + other[0], self.records + other[1], self.bytes + other[2])


def sum_missed(parts: "Iterable[tuple[int, int, int]]") -> Missed:
    """All of them together."""
    total = Missed()
    for part in parts:
        total = total.plus(part)
    return total


def check_start(start: str) -> Start:
    """start, if it is one. Raises WrongType."""
    for known in STARTS:
        if start == known:
            return known
    raise WrongType(f"start must be 'unread', 'oldest' or 'now', not {start!r}")


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - monotonic())


class Tap:
    """Iterates over copies of the finished sub-buffers of a channel; made by `Channel.tap`.

    With `for`, or `async for` in an event loop; for one thread or task at a time.

    Every tap has a position of its own in every buffer and consumes nothing, so that any number
    of them, and the consumer, work side by side; writers do not notice. Sub-buffers of one buffer
    come in order. Each `SubbufCopy` tells what was missed just before it (`missed`), what writers
    could not store (`lost`), and whether the buffer was reset (`was_reset`). An iteration ends
    after `timeout` seconds without a new one, and can be taken up again; or when the channel is
    finalized (or orphaned, if that was asked for), after what was unfinished. Raises ChannelClosed
    once the channel's handle is closed.
    """

    def __init__(
        self,
        channel: _core.Channel,
        indices: Iterable[int] | None = None,
        start: Start = "unread",
        timeout: float | None = None,
        until_orphaned: bool = False,
    ) -> None:
        """indices: of the buffers to read, None: all. The others: as in `Channel.tap`."""
        if timeout is not None and not isinstance(timeout, int | float):
            raise WrongType(f"timeout must be a number of seconds or None, not {timeout!r}")
        self._channel = channel
        self._listener = Listener(channel)
        self._timeout = timeout
        self._until_orphaned = bool(until_orphaned)
        self._ended_by: Ending | None = None
        self._last: Ending = "timeout"
        self._start: Start = check_start(start)
        everybody = range(channel.n_buffers)
        self._wanted = frozenset(everybody if indices is None else indices)
        self._known = bytearray(index not in self._wanted for index in everybody)
        self._taps: dict[int, _core.Tap] = {}
        self._turn: list[_core.Tap] = []
        self._ended = False
        self._take_up()

    @property
    def positions(self) -> dict[int, int]:
        """Buffer -> number of the sub-buffer that comes next there."""
        return {index: tap.seq for index, tap in self._taps.items()}

    @property
    def rest(self) -> Missed:
        """Once a finalized channel was read to its end: missed after the last copy."""
        return sum_missed(tap.rest() for tap in self._taps.values())

    @property
    def ended_by(self) -> Ending | None:
        """Why the last iteration ended; None: it did not.

        "finalized", "orphaned" (only with until_orphaned): everything was delivered, the unfinished
        rest too, and that was the end; "timeout": nothing came for so long.
        """
        return self._ended_by

    def __repr__(self) -> str:
        return f"<rchan.Tap of {self._channel.base!r}>"

    def _take_up(self) -> None:
        """Buffers that are new; whatever they hold was written after the tap began."""
        for index, buffer in self._channel._buffers().items():
            if not self._known[index]:
                self._taps[index] = buffer.tap(self._start)
                self._known[index] = 1
        if self._start == "now":
            self._start = "oldest"

    def poll(self) -> _core.SubbufCopy | None:
        """The next copy, of any buffer in turn, without waiting; None: there is none (yet)."""
        self._take_up()
        for _ in range(len(self._taps)):
            if not self._turn:
                self._turn = list(self._taps.values())
            copy = self._turn.pop().next()
            if copy is not None:
                return copy
        return None

    def _nobody_left(self) -> Ending | None:
        taps = self._taps.values()
        if self._channel.finalized and all(tap.buffer.finalized for tap in taps):
            return "finalized"
        if self._until_orphaned and self._channel.orphaned:
            return "orphaned"
        return None

    def _end(self) -> None:
        """Nothing is written any more: what is unfinished belongs to it, too."""
        for tap in self._taps.values():
            tap.cut()
        self._ended = True

    def __iter__(self) -> Iterator[_core.SubbufCopy]:
        return self

    def __next__(self) -> _core.SubbufCopy:
        copy = self.take(self._timeout)
        if copy is None:
            raise StopIteration
        return copy

    @property
    def ended(self) -> bool:
        """Was everything delivered, and can nothing come any more?"""
        return self._ended

    @property
    def timeout(self) -> float | None:
        """Seconds without a new copy after which an iteration ends; None: never."""
        return self._timeout

    def take(self, timeout: float | None = 0) -> _core.SubbufCopy | None:
        """The next copy, after at most `timeout` seconds (None: any); None: none came, or `ended`.

        Raises ChannelClosed, CorruptChannel.
        """
        deadline, waited = _deadline(timeout), False
        while (copy := self._look()) is None:
            left = _left(deadline)
            if self._ended or (waited and left == 0) or not self._sleep(left):
                return None
            waited = True
        return copy

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _core.SubbufCopy:
        """The same without holding up the event loop; can be cancelled, and misses nothing then."""
        deadline, waited = _deadline(self._timeout), False
        while (copy := self._look()) is None:
            left = _left(deadline)
            if self._ended or (waited and left == 0) or not await self._sleep_async(deadline):
                raise StopAsyncIteration
            waited = True
        return copy

    def _look(self) -> _core.SubbufCopy | None:
        """The next copy; what is left over once nothing comes any more, too."""
        ending = None if self._ended else self._nobody_left()  # before the look: nothing comes then
        copy = self.poll()
        if copy is None and ending is not None:
            self._end()
            self._last = ending
            copy = self.poll()
        self._ended_by = None if copy is not None else self._last
        return copy

    def _sleep(self, left: float | None) -> bool:
        """Until there may be something; False: time is up."""
        if not self._until_orphaned:
            return self._wait(left)
        part = LOOK_FOR_PRODUCERS if left is None else min(left, LOOK_FOR_PRODUCERS)
        return self._wait(part) or part != left

    async def _sleep_async(self, deadline: float | None) -> bool:
        longest = LOOK_FOR_PRODUCERS if self._until_orphaned else LOOK_AGAIN
        while (left := _left(deadline)) != 0 and not self._ended:
            seconds = longest if left is None else min(longest, left)
            if await self._listener.sleep(self._ready, seconds):
                await nap(0)  # ready is not always to be had: let others run
                return True
            if self._until_orphaned:
                return not self._ended
        return not self._ended and self._ready()

    def _wait(self, timeout: float | None) -> bool:
        taps = tuple(self._taps.values())
        return self._channel._wait_taps(taps, self._known, timeout)

    def _ready(self) -> bool:
        return self._wait(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Forget all positions."""
        self._listener.close()
        self._taps.clear()
        self._turn.clear()
        self._ended = True
