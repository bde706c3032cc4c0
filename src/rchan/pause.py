"""How a reader waits: asleep until a writer wakes it, or looking again after a moment."""

from time import sleep
from typing import Final

from rchan import _core

_FIRST: Final = 0.0005
_LONGEST: Final = 0.01
_ASYNC_SLICE: Final = 0.1  # a cancelled wait leaves a thread asleep for no longer


class Pause:
    """Sleeps on the channel's wake word.

    A channel that says there is something, though this reader can have none of it (another
    reader holds it, it is of another CPU, it is not its turn yet), is looked at again after a
    moment, which doubles up to 10 ms.
    """

    def __init__(self, channel: _core.Channel) -> None:
        self._channel = channel
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
        # Here: asyncio takes longer to import than all of rchan.
        from asyncio import get_running_loop  # noqa: PLC0415
        from asyncio import sleep as async_sleep  # noqa: PLC0415

        if self._moment:
            await async_sleep(min(seconds, self._moment))
            self._after(self._channel._wait(0))
        else:
            seconds = min(seconds, _ASYNC_SLICE)
            loop = get_running_loop()
            self._after(await loop.run_in_executor(None, self._channel._wait, seconds))

    def _after(self, something: bool) -> None:
        if not something:
            self._moment = 0.0
        else:
            self._moment = min(2 * self._moment, _LONGEST) or _FIRST
