"""Are the values of a dataclass what its annotations say? A manifest may say anything."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check(value: Any, where: str = "") -> None:
    """A dataclass or named tuple, and all below it. Raises ValueError with the first that is not.

    where: its name, for the message.
    """
    kind: Any = type(value)
    for name, hint in _hints(kind).items():
        _check(getattr(value, name), hint, f"{where}.{name}" if where else name)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _check(value: Any, hint: Any, where: str) -> None:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        if value is not None or NoneType not in arguments:
            _check(value, next(one for one in arguments if one is not NoneType), where)
    elif origin is Literal:
        _demand(isinstance(value, str) and value in arguments, value, where)
    elif origin is tuple:
        _demand(isinstance(value, tuple), value, where)
        for number, item in enumerate(value):
            _check(item, arguments[0], f"{where}[{number}]")
    elif origin is Mapping:
        _demand(isinstance(value, dict), value, where)
        for name, item in value.items():
            _check(item, arguments[1], f"{where}.{name}")
    else:
        _demand(type(value) is hint, value, where)  # a bool is no number here
        if is_dataclass(hint) or hasattr(hint, "_fields"):
            check(value, where)


def _demand(fine: bool, value: object, where: str) -> None:
    if not fine:
        raise ValueError(f"{where} cannot be {value!r:.100}")
