"""How a task waits for news of a channel: on a doorbell, in the event loop that it runs in."""

import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import ref

from rchan import _core
from rchan.errors import (
    ChannelBusy,
    ChannelClosed,
    ChannelNotFound,
    NotPermitted,
    SystemFailure,
    Unsupported,
)

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, TimerHandle

LOOK_AGAIN: Final = 0.25  # seconds asleep at most: for a writer that was killed before it rang
_WITHOUT_BELL: Final = 0.01  # the same, where there is no bell to be had
_ASK_AGAIN: Final = 1.0
_RINGS: Final = 256  # bytes that one look takes out of a bell


async def nap(seconds: float) -> None:
    """asyncio.sleep; asyncio takes longer to import than all of rchan, so only where it runs."""
    from asyncio import sleep  # noqa: PLC0415

    await sleep(seconds)


class _Place:
    """Where a bell is known to an event loop, from its first sleep there to the last.

    The loop knows the place only by a weak reference: a reader that nobody holds goes. Its timer
    outlives the sleep that asked for it, and serves the next one: few sleeps are long.
    """

    def __init__(self, loop: "AbstractEventLoop", bell: _core.Bell) -> None:
        self.loop, self.bell = loop, bell
        self.waiter: Future[bool] | None = None
        self._until = 0.0
        self._timer: TimerHandle | None = None
        self._descriptor = bell.fileno()
        me = ref(self)

        def rung() -> None:
            place = me()
            if place is not None:
                place._rung()

        def late() -> None:
            place = me()
            if place is not None:
                place._late()

        self._late_call = late
        loop.add_reader(self._descriptor, rung)

    async def wait(self, seconds: float) -> bool:
        """Was it rung?"""
        self.waiter = self.loop.create_future()
        self._until = self.loop.time() + seconds
        if self._timer is None or self._timer.when() > self._until:
            self._set_timer()
        try:
            return await self.waiter
        finally:
            self.waiter = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(self._until, self._late_call)

    def _rung(self) -> None:
        """Also if nobody waits: it must not stay readable, or the loop never rests."""
        with suppress(BlockingIOError):
            os.read(self._descriptor, _RINGS)
        self._wake(True)

    def _late(self) -> None:
        self._timer = None
        if self.waiter is not None and self.loop.time() < self._until:
            self._set_timer()
        else:
            self._wake(False)

    def _wake(self, by_bell: bool) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(by_bell)

    def leave(self) -> None:
        """The loop forgets the bell, and then it is closed; in the loop's own thread."""
        if not self._mine():
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(self._descriptor)
            if self._timer is not None:
                self._timer.cancel()
        self.bell.close()

    def leave_from_anywhere(self) -> None:
        """The same, from any thread."""
        if self._mine() and self.loop.is_running() and _running_loop() is not self.loop:
            with suppress(RuntimeError):  # closed by now
                self.loop.call_soon_threadsafe(self.leave)
                return
        self.leave()

    def _mine(self) -> bool:
        """Neither closed, nor the parent's, to which the loop belongs, too."""
        try:
            return self.bell.fileno() >= 0
        except ChannelClosed:
            return False

    def __del__(self) -> None:
        self.leave_from_anywhere()


def _running_loop() -> "AbstractEventLoop | None":
    from asyncio import _get_running_loop  # noqa: PLC0415 (as in nap)

    return _get_running_loop()


class Listener:
    """Sleeps on a doorbell of the channel, without a thread. For one task at a time.

    A buffer-only channel has no bells, and others have 256 at most: without one it looks again
    every 10 ms.
    """

    def __init__(self, channel: _core.Channel) -> None:
        self._channel = channel
        self._bell: _core.Bell | None = None
        self._place: _Place | None = None
        self._ask_again_at = 0.0
        self._closed = False

    async def sleep(self, look: Callable[[], bool], seconds: float) -> bool:
        """Until look() finds something, for so long at most; what it found. Can be cancelled."""
        bell = self._rearmed()
        if look():
            return True
        if bell is None:
            await nap(min(seconds, _WITHOUT_BELL))
        elif not await self._wait(bell, seconds) and not self._closed:
            self._channel._run_wakeups()  # owed by one who was killed
        return not self._closed and look()

    async def _wait(self, bell: _core.Bell, seconds: float) -> bool:
        """Was it rung?"""
        place = self._place
        if place is None:
            loop = _running_loop()
            assert loop is not None
            place = self._place = _Place(loop, bell)
        try:
            return await place.wait(seconds)
        finally:
            if self._closed:
                place.leave()

    def _rearmed(self) -> _core.Bell | None:
        if self._place is not None and self._place.loop is not _running_loop():
            self._place.leave_from_anywhere()  # another loop, another bell
            self._bell = self._place = None
        if self._bell is not None:
            try:
                self._bell.rearm()
                return self._bell
            except ChannelClosed:  # the parent's, and so is the loop that knows it
                self._bell = self._place = None
        if not self._closed and monotonic() >= self._ask_again_at:
            try:
                self._bell = self._channel._bell()
                self._bell.rearm()
            except (Unsupported, ChannelBusy, ChannelNotFound, NotPermitted, SystemFailure):
                self._ask_again_at = monotonic() + _ASK_AGAIN
        return self._bell

    def close(self) -> None:
        """Give the bell back; who sleeps wakes up. A second call does nothing."""
        self._closed = True
        bell, place = self._bell, self._place
        self._bell = self._place = None
        if bell is None:
            return
        if place is None:
            bell.close()
        elif place.waiter is None:
            place.leave_from_anywhere()
        else:
            bell.ring()  # its descriptor belongs to the event loop until the task woke up
