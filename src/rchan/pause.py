"""How a reader waits: asleep until a writer wakes it, or looking again after a moment."""

from asyncio import sleep as async_sleep
from time import sleep
from typing import Final

from rchan import _core
from rchan.listener import Listener

_FIRST: Final = 0.0005
_LONGEST: Final = 0.01


class Pause:
    """Sleeps on the channel's wake word, or in an event loop on a bell of the channel.

    A channel that says there is something, though this reader can have none of it (another
    reader holds it, it is of another CPU, it is not its turn yet), is looked at again after a
    moment, which doubles up to 10 ms.
    """

    def __init__(self, channel: _core.Channel) -> None:
        self._channel = channel
        self._listener = Listener(channel)
        self._moment = 0.0

    def found(self) -> None:
        """The reader got something: the next pause is a sleep."""
        self._moment = 0.0

    def sleep(self, seconds: float) -> None:
        """Until there may be something, for so long at most."""
        if self._moment:
            sleep(min(seconds, self._moment))
            self._after(self._channel._wait(0))
        else:
            self._after(self._channel._wait(seconds))

    async def sleep_async(self, seconds: float) -> None:
        """The same in an event loop; can be cancelled at any time."""
        if self._moment:
            await async_sleep(min(seconds, self._moment))
            self._after(self._channel._wait(0))
        else:
            self._after(await self._listener.sleep(self._look, seconds))

    def _look(self) -> bool:
        return self._channel._wait(0)

    def close(self) -> None:
        """A task that sleeps wakes up; what it slept on is given back."""
        self._listener.close()

    def _after(self, something: bool) -> None:
        if not something:
            self._moment = 0.0
        else:
            self._moment = min(2 * self._moment, _LONGEST) or _FIRST
