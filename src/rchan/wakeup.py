"""When writers wake readers: the values of Channel.wakeup, and their bits in the gate word."""

from typing import Final, Literal, TypeAlias

from rchan.errors import GeometryError, WrongType

Wakeup: TypeAlias = Literal["subbuf", "write", "never"] | tuple[Literal["bytes", "records"], int]

_ANNOUNCE: Final = 4
_NEVER: Final = 8
_BYTES: Final = 16
_COUNT_SHIFT: Final = 8
MOST: Final = 2**24 - 1  # records or bytes between two wake-ups
_WORDS: Final = {"subbuf": 0, "write": _ANNOUNCE | 1 << _COUNT_SHIFT, "never": _NEVER}
_UNITS: Final = {"records": _ANNOUNCE, "bytes": _ANNOUNCE | _BYTES}


def to_bits(wakeup: object) -> int:
    """The mode as the core has it. Raises WrongType, GeometryError."""
    if isinstance(wakeup, str) and wakeup in _WORDS:
        return _WORDS[wakeup]
    pair = isinstance(wakeup, tuple) and len(wakeup) == 2 and isinstance(wakeup[0], str)
    if not isinstance(wakeup, tuple) or not pair or wakeup[0] not in _UNITS:
        raise WrongType(
            f'wakeup is "subbuf", "write", "never", ("bytes", n) or ("records", n), not {wakeup!r}'
        )
    unit, count = wakeup
    if not isinstance(count, int) or isinstance(count, bool):
        raise WrongType(f"the count of {unit} must be an int, not {type(count).__name__}")
    if not 1 <= count <= MOST:
        raise GeometryError(f"wakeup after {count} {unit}: it must be from 1 to {MOST}")
    return _UNITS[unit] | count << _COUNT_SHIFT


def from_bits(bits: int) -> Wakeup:
    """What `to_bits` was given; one record is "write"."""
    if not bits & _ANNOUNCE:
        return "never" if bits & _NEVER else "subbuf"
    count = bits >> _COUNT_SHIFT
    if bits & _BYTES:
        return ("bytes", count)
    return "write" if count == 1 else ("records", count)
