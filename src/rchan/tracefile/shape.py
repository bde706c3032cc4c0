"""Are the values of a dataclass what its annotations say? A manifest may say anything."""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

_LEAST: Final = -(2**63)  # words of 64 bits, with or without a sign: whatever is made of them
_MOST: Final = 2**64 - 1  # (sums, seconds, text) can be had

_Check = Callable[[Any], object]
"""Raises Misfit, or gives False, if the value is not what it should be."""


class Misfit(ValueError):
    """A value that cannot be. where: attributes, indices and keys that lead to it."""

    def __init__(self, value: object) -> None:
        self.where: list[object] = []
        self.value = f"{value!r:.100}"

    def __str__(self) -> str:
        place = "".join(f".{step}" for step in self.where).removeprefix(".")
        return f"{place} cannot be {self.value}"

    __repr__ = __str__


def check(value: Any) -> None:
    """A dataclass or named tuple, and all below it. Raises Misfit with the first that is not."""
    for name, check_one in _checks(value.__class__):
        try:
            check_one(getattr(value, name))
        except Misfit as error:
            error.where.insert(0, name)
            raise


@cache
def _checks(kind: Any) -> tuple[tuple[str, _Check], ...]:
    return tuple((name, _check_of(hint)) for name, hint in get_type_hints(kind).items())


def _check_of(hint: Any) -> _Check:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return _check_union(arguments)
    if origin is Literal:
        return _check_type(str, lambda value: value in arguments)
    if origin is tuple:
        return _check_type(tuple, _all(_check_of(arguments[0]), enumerate))
    if origin is Mapping:
        return _check_type(dict, _all(_check_of(arguments[1]), dict.items))
    if is_dataclass(hint) or hasattr(hint, "_fields"):
        return _check_type(hint, check)
    if hint is int:
        return _check_int
    return _check_type(hint, lambda value: True)


def _check_int(value: Any) -> None:
    if type(value) is not int:  # a bool is no number here
        raise Misfit(value)
    if not _LEAST <= value <= _MOST:
        raise Misfit(f"a number of {value.bit_length()} bits")


def _check_union(arguments: tuple[Any, ...]) -> _Check:
    (check_some,) = (_check_of(one) for one in arguments if one is not NoneType)
    if NoneType not in arguments:
        return check_some
    return lambda value: value is None or check_some(value)


def _check_type(kind: type, more: _Check) -> _Check:
    def check_type(value: Any) -> None:
        if type(value) is not kind or more(value) is False:
            raise Misfit(value)

    return check_type


def _all(check_item: _Check, items: Callable[[Any], Any]) -> _Check:
    def check_all(value: Any) -> None:
        for key, item in items(value):
            try:
                check_item(item)
            except Misfit as error:
                error.where.insert(0, key)
                raise

    return check_all
