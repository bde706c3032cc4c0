"""The clock of stamps: which one a channel uses, and what its stamps mean."""

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import sleep
from typing import Final, Literal, Self
from uuid import UUID

from rchan import _core
from rchan.errors import CorruptChannel, Unsupported, WrongChannel, WrongType

Choice = Literal["auto", "monotonic", "counter"]
Kind = Literal["monotonic", "tsc", "cntvct"]

DESCRIPTIONS: Final[dict[str, str]] = {
    "monotonic": "CLOCK_MONOTONIC",
    "tsc": "time stamp counter, from the channel's creation",
    "cntvct": "CNTVCT_EL0, from the channel's creation",
}
"""Every kind, as a trace's metadata describes it."""

_MONOTONIC: Final = 1
_COUNTER: Final = 2
_NS: Final = 1_000_000_000
_BASELINE: Final = 0.01  # seconds between the two looks of a first calibration
_SAME: Final = (
    1000  # measured twice it differs less than by a thousandth, or one of the clocks stood
)
_CLOCKSOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
# What the kernel calls the counter that user space can read, by machine.
_TRUSTED: Final = {"x86_64": "tsc", "aarch64": "arch_sys_counter"}


@dataclass(frozen=True, slots=True)
class Anchor:
    """One moment: a stamp, and CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds."""

    stamp: int
    monotonic_ns: int
    realtime_ns: int


@dataclass(frozen=True, slots=True)
class Clock:
    """What the stamps of one channel or trace mean."""

    kind: Kind
    frequency: int
    """Stamps a second (Hz)."""
    anchor: Anchor
    uuid: UUID
    """Of the trace that the stamps are of."""
    same_boot: bool = True
    """The machine has not been started anew since: its clock has gone on."""

    @classmethod
    def of_channel(cls, channel: _core.Channel) -> Self:
        """A channel's, its frequency measured from the channel's creation up to now.

        Raises WrongChannel (it holds plain records), CorruptChannel.
        """
        given = channel._clock
        if given is None:
            raise WrongChannel(f"channel {channel.base!r} holds plain records, not events")
        clock, base, frequency, stamp, monotonic, realtime, uuid, same_boot = given
        anchor = Anchor(stamp, monotonic, realtime)
        if not frequency:
            raise CorruptChannel(f"channel {channel.base!r} says that its clock stands still")
        if clock == _COUNTER and same_boot:
            now, now_monotonic, _ = _core.moment()
            if now_monotonic - monotonic > _BASELINE * _NS:
                measured = (now - base - stamp) * _NS // (now_monotonic - monotonic)
                if abs(measured - frequency) <= frequency // _SAME:
                    frequency = measured
        kind: Kind = "monotonic" if clock == _MONOTONIC else _counter_name()
        return cls(kind, frequency, anchor, UUID(bytes=uuid), same_boot)

    def realtime_ns(self, stamp: int) -> int:
        """Nanoseconds since 1970 of a stamp."""
        return self.anchor.realtime_ns + self._ns_after_anchor(stamp)

    def monotonic_ns(self, stamp: int) -> int:
        """CLOCK_MONOTONIC of a stamp, in nanoseconds."""
        return self.anchor.monotonic_ns + self._ns_after_anchor(stamp)

    def stamp_of_realtime(self, realtime_ns: int) -> int:
        """The reverse of `realtime_ns`."""
        return self.anchor.stamp + (realtime_ns - self.anchor.realtime_ns) * self.frequency // _NS

    @property
    def offset_ns(self) -> int:
        """CLOCK_REALTIME of stamp 0, in nanoseconds: a CTF clock's offset."""
        return self.realtime_ns(0)

    def _ns_after_anchor(self, stamp: int) -> int:
        return (stamp - self.anchor.stamp) * _NS // self.frequency


def _counter_name() -> Kind:
    return "cntvct" if platform.machine() == "aarch64" else "tsc"


def counter_trusted() -> bool:
    """Does the kernel itself keep time by the CPU's counter?

    Then it is constant, never stops, and is the same on all CPUs (the kernel watches over it).
    """
    try:
        current = _CLOCKSOURCE.read_text(encoding="ascii").strip()
    except OSError:
        return False
    return current == _TRUSTED.get(platform.machine())


@cache
def counter_frequency() -> int:
    """Of the CPU's counter, in Hz, against CLOCK_MONOTONIC over 10 ms; asked once a process."""
    before, before_ns, _ = _core.moment()
    sleep(_BASELINE)
    after, after_ns, _ = _core.moment()
    return round((after - before) * _NS / (after_ns - before_ns))


def check_choice(choice: object) -> None:
    """Raises WrongType if it is none."""
    if choice not in ("auto", "monotonic", "counter"):
        raise WrongType(f'clock is "auto", "monotonic" or "counter", not {choice!r}')


def choose(choice: Choice) -> tuple[int, int]:
    """The clock for a new channel, as the binding takes it: which, and its frequency in Hz.

    "auto": the CPU's counter where it can be trusted, else CLOCK_MONOTONIC. Raises Unsupported:
    "counter" where it cannot be trusted.
    """
    if choice == "monotonic" or (choice == "auto" and not counter_trusted()):
        return _MONOTONIC, _NS
    if not counter_trusted():
        raise Unsupported("the kernel does not keep time by the CPU's counter: use clock='auto'")
    return _COUNTER, counter_frequency()
