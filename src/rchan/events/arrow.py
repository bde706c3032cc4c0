"""Columns of events as Apache Arrow arrays, without a copy."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rchan import _core
from rchan.errors import Unsupported
from rchan.events.schema import EventSchema, Schemas
from rchan.events.types import FieldType

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise Unsupported(
        "Arrow tables need the package pyarrow: pip install 'rchan[arrow]'"
    ) from error

_HEAD: Final = (
    ("time", pa.timestamp("ns", tz="UTC")),
    ("cpu", pa.uint16()),
    ("pid", pa.uint32()),
    ("tid", pa.uint32()),
)
_SCALARS: Final[dict[str, Any]] = {
    **{f"u{bits}": getattr(pa, f"uint{bits}")() for bits in (8, 16, 32, 64)},
    **{f"i{bits}": getattr(pa, f"int{bits}")() for bits in (8, 16, 32, 64)},
    "f32": pa.float32(),
    "f64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "text": pa.string(),
    "bytes": pa.binary(),
}

_Part = tuple[int, Any, Any, Any]
"""Elements, list offsets, offsets, values."""


class _Labels:
    """An enum's: numbers that have none are added as they are met, as their digits."""

    def __init__(self, labels: tuple[tuple[str, int], ...], kind: Any) -> None:
        by_number = {number: label for label, number in reversed(labels)}
        self._kind = kind
        self._numbers = list(by_number)
        self._labels = list(by_number.values())

    def apply(self, values: Any) -> Any:
        known = pa.array(self._numbers, self._kind)
        indices = pc.index_in(values, value_set=known)
        if indices.null_count:
            unknown = pc.unique(values.filter(pc.is_null(indices))).to_pylist()
            self._numbers += unknown
            self._labels += map(str, unknown)
            known = pa.array(self._numbers, self._kind)
            indices = pc.index_in(values, value_set=known)
        return pa.DictionaryArray.from_arrays(indices, pa.array(self._labels, pa.string()))


class _Field:
    """One field: its Arrow type, and arrays of it out of buffers."""

    def __init__(self, kind: FieldType) -> None:
        self._kind = kind
        self._plain = _SCALARS[kind.kind]
        self._labels = None if kind.labels is None else _Labels(kind.labels, self._plain)
        element = self._plain if kind.labels is None else pa.dictionary(pa.int32(), pa.string())
        self.type = element
        if kind.is_array:
            self.type = pa.list_(element) if kind.length is None else pa.list_(element, kind.length)

    def array(self, rows: int, part: _Part) -> Any:
        elements, lists, offsets, values = part
        parts = [None, pa.py_buffer(values)]
        if self._kind.kind in ("string", "text", "bytes"):
            parts.insert(1, pa.py_buffer(offsets))
        found = pa.Array.from_buffers(self._plain, elements, parts)
        if self._labels is not None:
            found = self._labels.apply(found)
        if not self._kind.is_array:
            return found
        own = [None] if self._kind.length is not None else [None, pa.py_buffer(lists)]
        return pa.Array.from_buffers(self.type, rows, own, children=[found])


class _Type:
    """One event type."""

    def __init__(self, schema: EventSchema) -> None:
        taken = {name for name, _ in _HEAD} | {name for name, _ in schema.fields}
        heads = {name for name, _ in _HEAD}
        names = [_free(name, taken) if name in heads else name for name, _ in schema.fields]
        self._fields = [_Field(kind) for _, kind in schema.fields]
        kinds = [field.type for field in self._fields]
        pairs = [*_HEAD, *zip(names, kinds, strict=True)]
        about = {b"rchan.event": schema.name.encode(), b"rchan.schema": schema.to_line().encode()}
        self.schema = pa.schema([pa.field(*pair, nullable=False) for pair in pairs], about)

    def batch(self, rows: int, head: tuple[Any, ...], parts: tuple[_Part, ...]) -> Any:
        arrays = [
            pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(column)])
            for (_, kind), column in zip(_HEAD, head, strict=True)
        ]
        arrays += [field.array(rows, part) for field, part in zip(self._fields, parts, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


class Columns:
    """Takes the columns out of a decoder."""

    def __init__(self, decoder: _core.Decoder, schemas: Schemas) -> None:
        self._decoder = decoder
        self._schemas = schemas
        self._types: dict[int, _Type] = {}

    def take(self) -> "Iterator[tuple[str, pa.RecordBatch]]":
        """A batch of each type that has rows."""
        for id in range(self._decoder.n_types):
            rows, *head, parts = self._decoder.take(id)
            if not rows:
                continue
            schema = self._schemas[id]
            if id not in self._types:
                self._types[id] = _Type(schema)
            yield schema.name, self._types[id].batch(rows, tuple(head), parts)


def to_tables(batches: "Iterable[tuple[str, pa.RecordBatch]]") -> "dict[str, pa.Table]":
    """The batches of each event type as one table."""
    by_name: dict[str, list[Any]] = {}
    for name, batch in batches:
        by_name.setdefault(name, []).append(batch)
    return {name: pa.Table.from_batches(found) for name, found in by_name.items()}
