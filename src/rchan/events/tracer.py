"""Tracer: typed events into a channel that any process may create or join."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from rchan._core import Event, Span, Spans
from rchan.channel import Channel, create_for_events
from rchan.channel import open as open_channel
from rchan.closing import Closing
from rchan.errors import (
    ChannelBusy,
    ChannelExists,
    ChannelNotFound,
    GeometryError,
    IncompatibleChannel,
    Unsupported,
    WrongChannel,
    WrongType,
)
from rchan.events import types
from rchan.events.clock import Choice, check_choice, choose
from rchan.events.schema import EventSchema, Fields, Schemas, check_event_name, check_fields
from rchan.events.types import FieldType, Given, infer, to_type
from rchan.groups import Group
from rchan.names import Parent

_ATTEMPTS: Final = 16
_SUBBUF_SIZE: Final = 262144
_N_SUBBUFS: Final = 8


class Tracer(Closing):
    """Writes typed events into a channel; creates it, or joins it if it is there.

        trace = rchan.Tracer("app")
        request = trace.event("request", user=rchan.u64, path=rchan.string)
        request(42, "/index")
        with trace.span("parse", file="a.py"):
            ...

    Any number of processes and threads may do so at once, in any order: one of them creates the
    channel. It stays, with what is in it, until `rchan.remove(name)`. A Tracer goes on in the
    child of a fork, and is pickled by the channel's name. A context manager: `close` at its end.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_events",
        "_most",
        "_own",
        "_schemas",
        "_spans",
        "span",
    )

    span: Callable[..., AbstractContextManager[Span]]
    """span(name, /, **fields): `with` it, a span of time around a block: two events.

    `NAME:begin` with the fields is written on entering, `NAME:end` on leaving. A field's type is
    that of its first value: bool, int (i64), float (f64), str (text), bytes, or a list or tuple of
    one of them; if the channel has such a span already, of that one. Raises WrongType (of another
    type later), FieldError, SchemaConflict (the span has other fields), ChannelClosed.
    """

    def __init__(
        self,
        name: str | Channel,
        parent: Parent = None,
        *,
        subbuf_size: int | None = None,
        n_subbufs: int | None = None,
        overwrite: bool | None = None,
        n_buffers: int | None = None,
        mode: int = 0o600,
        clock: Choice = "auto",
        group: Group = None,
    ) -> None:
        """Create or join.

        name, parent, group: as of `rchan.create`; or an open Channel that holds events.
        subbuf_size (bytes, 256 at least; None: 262144), n_subbufs (None: 8), overwrite (None:
        False), n_buffers, mode: of a new channel, as of `rchan.create`. Of one that is there
        already, None takes what there is, and another number is a GeometryError.
        clock: of a new channel: "counter": the CPU's own (8 to 12 ns), "monotonic":
        CLOCK_MONOTONIC; "auto": the counter where the kernel itself trusts it.

        Raises what `rchan.create` and `rchan.open` raise, WrongChannel (it holds plain records),
        IncompatibleChannel (it was made before the machine was started anew).
        """
        self._own = not isinstance(name, Channel)
        if isinstance(name, Channel):
            channel = name
        else:
            wanted = (subbuf_size, n_subbufs, overwrite, n_buffers)
            channel = _create_or_join(name, parent, wanted, mode, clock, group)
        self._channel = channel
        _check(channel)
        self._most = min(types.MOST, channel.subbuf_size // 4)
        self._schemas = Schemas()
        self._events: dict[int, Event] = {}
        self._spans = Spans._new(self._declare_span)
        self.span = self._spans.span

    # ---- what it writes ----

    def event(self, name: str, /, **fields: Given) -> Event:
        """A type of events, registered in the channel: call it to write one.

        name: 1 to 255 bytes of UTF-8. fields: name=type, in the order in which values are given:
        `rchan.u8` … `rchan.i64`, `f32`, `f64`, `bool`, `string`, `text`, `bytes`,
        `rchan.enum(…)`, `rchan.array(…)`, or int, float, bool, str, bytes, an Enum class.

        The same in another place or process is the same type. Calling the result returns True, or
        False: dropped and counted. Raises WrongType, SchemaError, SchemaConflict (the name is
        there with other fields), ChannelBusy, NoSpace, CorruptChannel, ChannelClosed.
        """
        check_event_name(name)
        named = {field: to_type(kind) for field, kind in fields.items()}
        wanted = check_fields(name, named)
        (schema,) = self._schemas.register(self._channel, [(name, wanted, None)])
        return self._event_of(schema, wanted)

    def _event_of(self, schema: EventSchema, fields: Fields) -> Event:
        """fields: as the user gave them: with limits of strings and members of enums."""
        described = tuple(kind.for_binding(name, self._most) for name, kind in fields)
        event = Event._new(self._channel, schema.id, schema.name, described, self)
        self._events[schema.id] = event
        return event

    def _declare_span(
        self, name: str, fields: tuple[str, ...], values: tuple[object, ...]
    ) -> tuple[Event, Event]:
        """The two events of a span; called at the first use of a name with these fields."""
        check_event_name(f"{name}:begin")
        named = dict(zip(fields, values, strict=True))
        self._schemas.refresh(self._channel)
        there = self._schemas.by_name(f"{name}:begin")
        if there is not None and there.span and {key for key, _ in there.fields[1:]} == set(named):
            begin = there.fields
        else:
            if "span" in named:
                raise WrongType(f"span {name!r}: a field cannot be called 'span'")
            inferred = {field: self._infer(name, field, value) for field, value in named.items()}
            begin = check_fields(name, {"span": types.u64, **inferred})
        end = (("span", types.u64), ("failed", types.bool))
        pair = self._schemas.register(
            self._channel, [(f"{name}:begin", begin, "begin"), (f"{name}:end", end, "end")]
        )
        return self._event_of(pair[0], begin), self._event_of(pair[1], end)

    @staticmethod
    def _infer(span: str, field: str, value: object) -> FieldType:
        try:
            return infer(value)
        except WrongType as error:
            raise WrongType(f"span {span!r}: {field}: {error}") from None

    def flush(self) -> None:
        """Finish the current packet of every buffer, so that readers get it (relay_flush).

        Raises ChannelBusy, ChannelClosed.
        """
        self._channel.flush()

    # ---- what it is ----

    @property
    def channel(self) -> Channel:
        """The channel: to read it, copy it (`snapshot`), look at its `stats`."""
        return self._channel

    @property
    def name(self) -> str | None:
        """The channel's name."""
        return self._channel.name

    @property
    def schemas(self) -> Schemas:
        """All event types of the channel, of all processes, as of now. Raises CorruptChannel."""
        self._schemas.refresh(self._channel)
        return self._schemas

    @property
    def closed(self) -> bool:
        """Was `close` called?"""
        return self._channel.closed

    def close(self) -> None:
        """Let go of the channel, which stays. Its events raise ChannelClosed from now on.

        A Channel that was handed to this Tracer stays open.
        """
        if self._own:
            self._channel.detach()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._channel.name is None:
            raise Unsupported("a Tracer of a channel without a name cannot be pickled")
        return Tracer, (self._channel.name, self._channel.directory)

    def _reduce_event(self, event: Event) -> tuple[Any, ...]:
        """How an Event of ours is pickled."""
        return _event_again, (self, event.name)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.name!r}: {len(self._schemas)} event types"
        return f"<rchan.Tracer {state}>"


def _event_again(tracer: Tracer, name: str) -> Event:
    schema = tracer.schemas.by_name(name)
    if schema is None:
        raise ChannelNotFound(f"channel {tracer.name!r} has no event type {name!r} any more")
    return tracer._event_of(schema, schema.fields)


def _check(channel: Channel) -> None:
    clock = channel._clock
    if clock is None:
        name = channel.name
        raise WrongChannel(f"channel {name!r} holds plain records, not events: use another name")
    if not clock[-1]:
        raise IncompatibleChannel(
            f"channel {channel.name!r} was made before the machine was started anew: its clock "
            "does not go on; read it, then remove it (rchan.remove), or use another name"
        )


def _create_or_join(
    name: str,
    parent: Parent,
    wanted: tuple[int | None, int | None, bool | None, int | None],
    mode: int,
    clock: Choice,
    group: Group,
) -> Channel:
    check_choice(clock)
    subbuf_size, n_subbufs, overwrite, n_buffers = wanted
    for _ in range(_ATTEMPTS):
        try:
            channel = open_channel(name, parent, group=group)
        except ChannelNotFound:
            try:
                return create_for_events(
                    name,
                    parent,
                    _SUBBUF_SIZE if subbuf_size is None else subbuf_size,
                    _N_SUBBUFS if n_subbufs is None else n_subbufs,
                    bool(overwrite),
                    n_buffers,
                    mode,
                    choose(clock),
                    group,
                )
            except ChannelExists:
                continue  # somebody was quicker: join that one
        try:
            _check_joined(channel, wanted)
        except BaseException:
            channel.detach()
            raise
        return channel
    raise ChannelBusy(f"channel {name!r} comes and goes: somebody creates and removes it all along")


def _check_joined(
    channel: Channel, wanted: tuple[int | None, int | None, bool | None, int | None]
) -> None:
    _check(channel)
    names = ("subbuf_size", "n_subbufs", "overwrite", "n_buffers")
    for name, value in zip(names, wanted, strict=True):
        there = getattr(channel, name)
        if value is not None and value != there:
            raise GeometryError(
                f"channel {channel.name!r} exists with {name}={there}; asked for was {value}"
            )
