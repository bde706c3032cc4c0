"""The numbers of a new channel: checked before anything is made."""

from operator import index

from rchan.errors import GeometryError, WrongType


def whole_number(name: str, value: object, lowest: int, highest: int) -> int:
    """The value, if it is an int in that range. Raises WrongType, GeometryError."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        raise WrongType(f"{name} must be an int, not {type(value).__name__}") from None
    if not lowest <= number <= highest:
        raise GeometryError(f"{name} is {number}: it must be from {lowest} to {highest}")
    return number


def check_mode(mode: object) -> int:
    """Permission bits for files of a channel. Raises WrongType, GeometryError."""
    bits = whole_number("mode", mode, 0, 0o777)
    if bits & 0o600 != 0o600:
        raise GeometryError(f"mode is {bits:#o}: it must let the owner read and write (0o600)")
    if bits & 0o007:
        raise GeometryError(f"mode is {bits:#o}: channels are not for everybody (no 0o007 bits)")
    return bits
