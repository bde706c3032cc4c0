"""Types of fields: what a value may be, and its bytes: docs/reference/events-format.md."""

import builtins
import enum as _enum
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from operator import index
from typing import Any, Final

from rchan.errors import FieldError, WrongType

MOST: Final = 65535
"""Elements of an array, bytes of a bytes field or of a string, at most."""
MARK_ROOM: Final = 16
"""Bytes at the end of a string that was cut, at most, which say how much is missing."""
SCALARS: Final = (
    *("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"),
    *("f32", "f64", "bool", "string", "text", "bytes"),
)
"""Names of all types that are not made of others, in the order of the binding's numbers."""
INTEGERS: Final = SCALARS[:8]
_SCALAR: Final = -1
_VARIABLE: Final = -2


@dataclass(frozen=True, slots=True)
class FieldType:
    """How a field is stored. Compare with ==; equal ones are stored alike."""

    kind: str
    """One of SCALARS; of an enum, the integer that it is stored as; of an array, its elements'."""
    labels: tuple[tuple[str, int], ...] | None = None
    """An enum's: label and number of each member; None: it is none."""
    is_array: builtins.bool = False
    length: int | None = None
    """Elements of an array; None: as many as there are (u16 in front)."""
    limit: int = field(default=MOST, compare=False)
    """Bytes of a string, at most; longer ones are cut and marked."""
    members: Mapping[Any, int] | None = field(default=None, compare=False, repr=False)
    """What an enum takes for each number, such as the members of a Python enum."""

    def __call__(self, limit: int) -> "FieldType":
        """The same string type, cut at `limit` bytes of UTF-8 (from 16 to 65,535)."""
        if self.kind not in ("string", "text") or self.is_array:
            raise WrongType(f"{self} has no limit that could be set: only strings have")
        if isinstance(limit, builtins.bool) or not isinstance(limit, int):
            raise WrongType(f"the limit of a string must be an int, not {type(limit).__name__}")
        if not MARK_ROOM <= limit <= MOST:
            raise FieldError(f"a string's limit is {limit}: it must be from {MARK_ROOM} to {MOST}")
        return FieldType(self.kind, limit=limit)

    def __str__(self) -> str:
        name = self.kind if self.labels is None else f"enum({self.kind}, {len(self.labels)} labels)"
        if not self.is_array:
            return name
        return f"array({name}{'' if self.length is None else f', {self.length}'})"

    def to_json(self) -> Any:
        """As it stands in a schema."""
        plain: Any = self.kind
        if self.labels is not None:
            plain = {"enum": self.kind, "labels": dict(self.labels)}
        if not self.is_array:
            return plain
        return {"array": plain} if self.length is None else {"array": plain, "length": self.length}

    @classmethod
    def from_json(cls, given: Any) -> "FieldType":
        """The reverse of `to_json`; given: what it gave. Raises ValueError for anything else."""
        if isinstance(given, str) and given in SCALARS:
            return cls(given)
        if isinstance(given, dict) and "array" in given:
            return array(cls.from_json(given["array"]), given.get("length"))
        if isinstance(given, dict) and "enum" in given:
            return enum(cls.from_json(given["enum"]), **given["labels"])
        raise ValueError(f"no type of a field: {given!r}")

    def for_binding(self, name: str, most: int) -> tuple[str, int, int, dict[Any, int] | None, int]:
        """A field of this type as the C encoder takes it.

        name: its; most: bytes of a string, here.
        """
        count = _SCALAR if not self.is_array else _VARIABLE if self.length is None else self.length
        accepted = None
        if self.labels is not None:
            accepted = {number: number for _, number in self.labels} | dict(self.labels)
            accepted |= dict(self.members or {})
        return (name, SCALARS.index(self.kind), min(self.limit, most), accepted, count)


u8: Final = FieldType("u8")
u16: Final = FieldType("u16")
u32: Final = FieldType("u32")
u64: Final = FieldType("u64")
i8: Final = FieldType("i8")
i16: Final = FieldType("i16")
i32: Final = FieldType("i32")
i64: Final = FieldType("i64")
f32: Final = FieldType("f32")
f64: Final = FieldType("f64")
bool: Final = FieldType("bool")
string: Final = FieldType("string")
text: Final = FieldType("text")
bytes: Final = FieldType("bytes")

_RANGES: Final = {
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
_BUILTINS: Final = {
    int: i64,
    float: f64,
    builtins.bool: bool,
    str: string,
    builtins.bytes: bytes,
}

Given = FieldType | type
"""A field's type as it may be given: of this module, or int, float, bool, str, bytes, an Enum."""


def enum(base: "FieldType | type[_enum.Enum]", /, **labels: int) -> FieldType:
    """An integer whose values have names.

    base: an Enum with int values (stored in the smallest integer that holds them), or an integer
    type and then label=number, …. Takes a member, a label or a member's number. Raises WrongType,
    FieldError (no labels, or a number that the integer cannot hold).
    """
    if isinstance(base, type) and issubclass(base, _enum.Enum):
        members = {name: member.value for name, member in base.__members__.items()}
        _check_labels(base.__name__, members)
        kind = smallest(members.values())
        accepted = {member: member.value for member in base}
        return FieldType(kind, tuple(members.items()), members=accepted)
    if not isinstance(base, FieldType) or base not in map(FieldType, INTEGERS):
        raise WrongType(f"an enum is of an Enum class or an integer type, not of {base!r}")
    _check_labels("the enum", labels)
    low, high = _RANGES[base.kind]
    for label, number in labels.items():
        if not low <= number <= high:
            raise FieldError(f"enum label {label}={number} is not in {base}: {low} to {high}")
    return FieldType(base.kind, tuple(labels.items()))


def _check_labels(name: str, labels: Mapping[str, Any]) -> None:
    if not labels:
        raise FieldError(f"{name} has no members")
    for label, number in labels.items():
        if not isinstance(number, int) or isinstance(number, builtins.bool):
            raise WrongType(f"{name}: the value of {label} must be an int, not {number!r}")


def smallest(numbers: Any) -> str:
    """The smallest integer type that holds all of them. Raises FieldError if none does."""
    low, high = min(numbers), max(numbers)
    for kind, (least, most) in _RANGES.items():
        if least <= low and high <= most:
            return kind
    raise FieldError(f"no integer type holds all of {low} to {high}")


def array(of: Given, length: int | None = None) -> FieldType:
    """A sequence of values of one type, which is no array itself, nor bytes.

    length: of each, from 0 to 65,535; None: up to 65,535, each its own. Takes any iterable, and
    memory of the same item type (array.array, NumPy, memoryview) at once. Raises WrongType,
    FieldError.
    """
    element = to_type(of)
    if element.is_array or element.kind == "bytes":
        raise WrongType(f"an array cannot be of {element}")
    if length is not None:
        if not isinstance(length, int) or isinstance(length, builtins.bool):
            raise WrongType(f"an array's length must be an int or None, not {length!r}")
        if not 0 <= length <= MOST:
            raise FieldError(f"an array's length is {length}: it must be from 0 to {MOST}")
    return FieldType(
        element.kind, element.labels, True, length, element.limit, members=element.members
    )


def to_type(given: object) -> FieldType:
    """The type that was given, or that stands for a Python type. Raises WrongType."""
    if isinstance(given, FieldType):
        return given
    if isinstance(given, type):
        if given in _BUILTINS:
            return _BUILTINS[given]
        if issubclass(given, _enum.Enum):
            return enum(given)
    raise WrongType(
        f"{given!r} is no type of a field: give one of rchan's (rchan.u64, rchan.string, …), or "
        "int, float, bool, str, bytes or an Enum class"
    )


def infer(value: object) -> FieldType:
    """The type for a field whose first value is this. Raises WrongType if there is none.

    bool: bool; int: i64; float: f64; str: text; bytes: bytes; a list or tuple: an array of its
    first element's type. Scalars of NumPy and the like are taken for what they stand for.
    """
    if isinstance(value, builtins.bool):
        return bool
    for python, found in ((int, i64), (float, f64), (str, text), (builtins.bytes, bytes)):
        if isinstance(value, python):
            return found
    if isinstance(value, list | tuple) and value:
        return array(infer(value[0]))
    scalar = _scalar_of(value)
    if scalar is None:
        raise WrongType(f"no type of a field is known for {type(value).__name__}: convert it")
    return scalar


def _scalar_of(value: Any) -> FieldType | None:
    """What stands for one number or truth value, and is none of Python's own."""
    if hasattr(value, "__len__"):
        return None
    with suppress(TypeError):
        index(value)
        return i64
    with suppress(TypeError), memoryview(value) as memory:
        if memory.format.endswith("?") and not memory.ndim and memory.nbytes == 1:
            return bool
    return f64 if hasattr(value, "__float__") else None
