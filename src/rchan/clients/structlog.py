"""A processor for structlog: what is logged becomes a typed event."""

import contextlib
import pickle
import sys
from collections.abc import MutableMapping
from typing import Any, Final

from rchan.channel import Channel
from rchan.clients import inherit
from rchan.clients.handler import LIMIT
from rchan.clients.render import exception_line, exception_text, rendered
from rchan.clients.sites import Constant, Emit, declare, type_of
from rchan.errors import ChannelClosed, RchanError, Unsupported
from rchan.events import types
from rchan.events.tracer import Tracer
from rchan.events.types import FieldType
from rchan.names import Parent

_MOST_KINDS: Final = 4096


class Processor:
    """A structlog processor that writes each event dict into a channel.

        structlog.configure(processors=[..., rchan.clients.structlog.Processor("app")])

    An event's type is its name, level and keys: each key is a field of its value's type; what is
    no int, float, bool, str or bytes is stored as its repr, in `KEY_repr`. It hands the dict on to
    the processor behind it; with last=True there is none: it ends there (structlog.DropEvent). It
    never raises otherwise. It is pickled by the channel's name. Children of multiprocessing, by
    whichever start method, have structlog configured as it was in their parent when they were
    started, unless they have configured it themselves.
    """

    def __init__(
        self,
        channel: str | Tracer | Channel = "logging",
        parent: Parent = None,
        *,
        last: bool = False,
        limit: int = LIMIT,
        **geometry: Any,
    ) -> None:
        """channel, parent, geometry: as of `rchan.Tracer`. limit: bytes of a text, at most.

        Raises what `rchan.Tracer` raises; Unsupported: last, and structlog is not installed.
        """
        self._drop: type[BaseException] | None = None
        if last:
            try:
                from structlog import DropEvent  # noqa: PLC0415
            except ImportError:
                raise Unsupported(
                    "structlog is not installed: pip install 'rchan[structlog]'"
                ) from None

            self._drop = DropEvent
        self._tracer = (
            channel if isinstance(channel, Tracer) else Tracer(channel, parent, **geometry)
        )
        self._limit = limit
        self._kinds: dict[Any, tuple[Emit, bytes] | None] = {}
        self._generic: Emit | None = None
        self.unwritten = 0
        """Events that came after the channel was closed."""
        inherit.add_other("structlog", _for_children)

    @property
    def tracer(self) -> Tracer:
        """What it writes with; its `channel` is to be read."""
        return self._tracer

    def __call__(
        self, logger: object, method: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Write it."""
        try:
            key = (method, event_dict["event"], *event_dict, *map(type, event_dict.values()))
            emit, constants = self._kinds[key]  # type: ignore[misc]
            emit(constants, *(value for name, value in event_dict.items() if name != "event"))
        except Exception:  # the first of its kind, or unusual
            self._write_any(method, event_dict)
        if self._drop is not None:
            raise self._drop
        return event_dict

    def _write_any(self, method: str, given: MutableMapping[str, Any]) -> None:
        with contextlib.suppress(Exception):
            try:
                self._write(method, given)
            except ChannelClosed:
                self.unwritten += 1

    def _write(self, method: str, given: MutableMapping[str, Any]) -> None:
        name = given.get("event", "")
        message = name if type(name) is str else rendered("%s", name)
        fields: list[tuple[str, FieldType, object]] = []
        for key, value in given.items():
            if key != "event":
                fields.append(self._field(key, value))
        plain = not any(field.endswith("_repr") for field, _, _ in fields)
        known = (method, name, *given, *map(type, given.values())) if plain else None
        made = self._declare(method, message, fields)
        if made is not None:
            try:
                made[0](made[1], *(value for _, _, value in fields))
            except ChannelClosed:
                raise
            except RchanError:  # a value that no field holds, such as 2**64
                made = None
            else:
                if known is not None and type(name) is str and len(self._kinds) < _MOST_KINDS:
                    self._kinds[known] = made
        if made is None:
            self._write_generic(method, message, given)

    def _field(self, key: str, value: object) -> tuple[str, FieldType, object]:
        if key == "exc_info" and value:
            error = value[1] if isinstance(value, tuple) else value
            if isinstance(error, BaseException):
                info = (type(error), error, error.__traceback__)
                text = f"{exception_line(error)}\n{exception_text(info)}"
                return "exc_info_repr", types.text(types.MOST), text
        kind = type_of(value, self._limit)
        if kind is None:
            return f"{key}_repr", types.text(self._limit), rendered("%r", value)
        return key, kind, value

    def _declare(
        self, method: str, message: str, fields: list[tuple[str, FieldType, object]]
    ) -> tuple[Emit, bytes] | None:
        key = (method, message, tuple((name, kind.kind) for name, kind, _ in fields))
        if key in self._kinds:
            return self._kinds[key]
        if len(self._kinds) >= _MOST_KINDS:
            return None
        made = None
        with contextlib.suppress(ValueError, TypeError):
            constants = [Constant.text("method", method), Constant.text("event", message)]
            named = {name: kind for name, kind, _ in fields}
            if len(named) == len(fields):
                made = declare(self._tracer, f"structlog:{message}", constants, named)
        self._kinds[key] = made
        return made

    def _write_generic(self, method: str, message: str, given: MutableMapping[str, Any]) -> None:
        """All in one, for what has no type of its own."""
        if self._generic is None:
            text = types.text(self._limit)
            self._generic = self._tracer.event(
                "structlog-other", method=text, event=text, fields=text
            ).emit
        rest = {key: value for key, value in given.items() if key != "event"}
        self._generic(method, message, rendered("%r", rest))

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._tracer, self._drop is not None, self._limit)


# ---- children of multiprocessing ----


def _for_children() -> tuple[Any, tuple[Any, ...]] | None:
    """What configures a child alike, if one of ours is among the processors."""
    structlog = sys.modules.get("structlog")
    if structlog is None or not structlog.is_configured():
        return None
    given = structlog.get_config()
    processors = given.pop("processors")
    if not any(isinstance(one, Processor) for one in processors):
        return None
    kept = [one for one in processors if _pickled(one) is not None]
    if kept[-1:] != processors[-1:]:  # then what it would show is what it is not meant to show
        kept = [one for one in kept if not isinstance(one, Processor)] + [
            _again(one._tracer, True, one._limit)
            for one in processors
            if isinstance(one, Processor)
        ]
    parts = {name: found for name, one in given.items() if (found := _pickled(one)) is not None}
    return _configure, (pickle.dumps(kept), parts)


def _pickled(value: object) -> bytes | None:
    try:
        return pickle.dumps(value)
    except Exception:  # such as a lambda: the child does without it
        return None


def _configure(processors: bytes, parts: dict[str, bytes]) -> None:
    """In a child that was started anew."""
    import structlog  # noqa: PLC0415

    if not structlog.is_configured():
        given = {name: pickle.loads(part) for name, part in parts.items()}
        structlog.configure(processors=pickle.loads(processors), **given)


def _again(tracer: Tracer, last: bool, limit: int) -> Processor:
    return Processor(tracer, last=last, limit=limit)
