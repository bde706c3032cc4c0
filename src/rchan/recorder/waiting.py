"""How a recorder of several channels sleeps: until any of them has something."""

from collections.abc import Sequence
from contextlib import suppress
from select import poll
from time import sleep
from typing import Final

from rchan._core import Bell, Channel
from rchan.errors import ChannelBusy, Unsupported

_WITHOUT_BELL: Final = 0.01  # seconds between two looks at a channel that rings none


class Waiting:
    """One channel: asleep on its wake word. Several: their doorbells."""

    def __init__(self) -> None:
        self._bells: dict[Channel, Bell | None] = {}

    def wait(self, channels: Sequence[Channel], seconds: float) -> None:
        """Until one of them may have something, for so long at most."""
        if not channels:
            sleep(seconds)
        elif len(channels) == 1:
            channels[0]._wait(seconds)
        else:
            self._wait_for_bells(channels, seconds)

    def _wait_for_bells(self, channels: Sequence[Channel], seconds: float) -> None:
        poller = poll()
        for channel in channels:
            bell = self._bell(channel)
            if bell is None:
                seconds = min(seconds, _WITHOUT_BELL)
                continue
            bell.rearm()
            poller.register(bell)
        if not any(channel._wait(0) for channel in channels):
            poller.poll(seconds * 1000)

    def _bell(self, channel: Channel) -> Bell | None:
        if channel not in self._bells:
            self._bells[channel] = None
            with suppress(Unsupported, ChannelBusy):
                self._bells[channel] = channel._bell()
        return self._bells[channel]

    def forget(self, channel: Channel) -> None:
        """It is not recorded any more."""
        bell = self._bells.pop(channel, None)
        if bell is not None:
            bell.close()

    def close(self) -> None:
        """Forget all."""
        for channel in list(self._bells):
            self.forget(channel)
