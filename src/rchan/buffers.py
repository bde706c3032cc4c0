"""The buffers of a channel, by CPU number."""

from collections.abc import Iterator, Mapping
from typing import Any

from rchan import _core
from rchan.cpus import possible
from rchan.errors import NoSuchBuffer, WrongType


def check_cpu(cpu: object) -> int:
    """The CPU number, if the machine can have such a CPU. Raises WrongType or NoSuchBuffer."""
    if not isinstance(cpu, int) or isinstance(cpu, bool):
        raise WrongType(f"a CPU number must be an int, not {type(cpu).__name__}")
    highest = possible()[-1]
    if not 0 <= cpu <= highest:
        raise NoSuchBuffer(f"CPU {cpu} is out of range: the CPUs here are 0 to {highest}")
    return cpu


class BufferMap(Mapping[int, _core.Buffer]):
    """The buffers of a channel that exist, by CPU number.

    Iteration gives each buffer once, by its index. A lookup takes the number of any CPU: with
    fewer buffers than CPUs, CPU c uses buffer c mod n_buffers. Raises NoSuchBuffer.
    """

    __slots__ = ("_buffers", "_n_buffers", "_who")

    def __init__(self, channel: _core.Channel) -> None:
        self._buffers = channel._buffers()
        self._n_buffers = channel.n_buffers
        self._who = repr(channel.base)

    def __getitem__(self, cpu: int) -> _core.Buffer:
        buffer = self._buffers.get(check_cpu(cpu) % self._n_buffers)
        if buffer is None:
            raise NoSuchBuffer(
                f"channel {self._who} has no buffer for CPU {cpu} yet: it comes with the first "
                "write there, or with prepare_cpu"
            )
        return buffer

    def __contains__(self, cpu: object) -> bool:
        try:
            return check_cpu(cpu) % self._n_buffers in self._buffers
        except (NoSuchBuffer, WrongType):
            return False

    def get(self, cpu: int, default: Any = None) -> Any:
        """The buffer of CPU number cpu, or default if there is none."""
        try:
            return self[cpu]
        except (NoSuchBuffer, WrongType):
            return default

    def __iter__(self) -> Iterator[int]:
        return iter(self._buffers)

    def __len__(self) -> int:
        return len(self._buffers)

    def __repr__(self) -> str:
        return f"<rchan.BufferMap of {self._who}: {list(self)} of {self._n_buffers}>"
