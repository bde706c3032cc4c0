"""How a task waits for news of a channel: on a doorbell, in the event loop that it runs in."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from rchan import _core
from rchan.errors import (
    ChannelBusy,
    ChannelClosed,
    ChannelNotFound,
    NotPermitted,
    SystemFailure,
    Unsupported,
)

LOOK_AGAIN: Final = 0.25  # seconds asleep at most: for a writer that was killed before it rang
_WITHOUT_BELL: Final = 0.01  # the same, where there is no bell to be had
_ASK_AGAIN: Final = 1.0


async def nap(seconds: float) -> None:
    """asyncio.sleep; asyncio takes longer to import than all of rchan, so only where it runs."""
    from asyncio import sleep  # noqa: PLC0415

    await sleep(seconds)


class Listener:
    """Sleeps on a doorbell of the channel, without a thread. For one task at a time.

    A buffer-only channel has no bells, and others have 256 at most: without one it looks again
    every 10 ms.
    """

    def __init__(self, channel: _core.Channel) -> None:
        self._channel = channel
        self._bell: _core.Bell | None = None
        self._ask_again_at = 0.0
        self._waiting = False
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
        from asyncio import get_running_loop  # noqa: PLC0415 (as in nap)

        loop = get_running_loop()
        rung = loop.create_future()

        def wake(by_bell: bool) -> None:
            if not rung.done():
                rung.set_result(by_bell)

        descriptor = bell.fileno()
        loop.add_reader(descriptor, wake, True)
        timer = loop.call_later(seconds, wake, False)
        self._waiting = True
        try:
            return bool(await rung)
        finally:
            self._waiting = False
            timer.cancel()
            loop.remove_reader(descriptor)
            if self._closed:
                bell.close()

    def _rearmed(self) -> _core.Bell | None:
        if self._bell is not None:
            try:
                self._bell.rearm()
                return self._bell
            except ChannelClosed:  # the parent's
                self._bell = None
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
        if self._bell is None:
            return
        if self._waiting:
            self._bell.ring()  # its descriptor belongs to the event loop until the task woke up
        else:
            self._bell.close()
        self._bell = None
