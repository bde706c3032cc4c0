"""LogHandler: log records as events, formatted when they are read."""

import logging
import os
from threading import current_thread
from typing import Any, Final

from rchan.channel import Channel
from rchan.clients import inherit
from rchan.clients.quick import make_no_records_for
from rchan.clients.records import N_PLAIN, PLAIN, Place, QuickRecord, place_of, use_quick_records
from rchan.clients.render import exception_line, exception_text, formatted, rendered
from rchan.clients.sites import Constant, Emit, declare, type_of
from rchan.clients.template import GENERIC, specs_of
from rchan.errors import ChannelBusy, ChannelClosed, RchanError
from rchan.events import types
from rchan.events.tracer import Tracer
from rchan.events.types import FieldType
from rchan.names import Parent

LIMIT: Final = 8192
_MOST_SITES: Final = 4096  # remembered by a handler
_MOST_TEMPLATES: Final = 8  # of one place: more are made up as the program runs
_MOST_ARGUMENTS: Final = 100
_NOT_EXTRA: Final = PLAIN | {"message", "asctime", "taskName"}
_EXCEPTION: Final = types.text(types.MOST)

Render = tuple[str | None, ...] | None
"""For each argument what renders it, such as "%s"; None: it is stored as it is."""
Found = tuple[Emit, bytes, Render]
Given = list[tuple[str, FieldType, object]]


class LogHandler(logging.Handler):
    """A handler that writes every record as an event into a channel: no formatting, no lock.

        logging.getLogger().addHandler(rchan.LogHandler("app"))

    Any number of processes and threads may log into one channel. Processes that multiprocessing
    starts, by whichever method, have the handler at the same loggers without being told. It
    never raises: a record that does not fit its arguments is written with a note; one that finds
    the channel full is dropped and counted by the channel.
    """

    def __init__(
        self,
        channel: str | Tracer | Channel = "logging",
        parent: Parent = None,
        *,
        level: int | str = logging.NOTSET,
        limit: int = LIMIT,
        quick: bool = True,
        **geometry: Any,
    ) -> None:
        """Join the channel, or create it.

        channel, parent, geometry: as of `rchan.Tracer`; or a Tracer, which stays the caller's.
        level: of records, at least. limit: bytes of an argument's text, from 16 on; longer ones
        are cut and marked. quick: let `logging` make records by a quicker class with the same
        attributes, and none where this handler alone would see them; False: leave it as it is.

        Raises what `rchan.Tracer` raises, WrongType and FieldError (limit).
        """
        super().__init__(level)
        self._text = types.text(limit)  # or it is no limit
        self._own = not isinstance(channel, Tracer)
        self._tracer = (
            channel if isinstance(channel, Tracer) else Tracer(channel, parent, **geometry)
        )
        self._limit = limit
        self._generic: Emit | None = None
        self._sites: dict[Any, Found] = {}
        self._declared: dict[Any, tuple[Emit, bytes] | None] = {}
        self._templates: dict[Place, set[str]] = {}
        self.unwritten = 0
        """Records that came after the channel was closed."""
        if quick:
            use_quick_records()
            make_no_records_for(LogHandler)
        inherit.add(self)

    @property
    def tracer(self) -> Tracer:
        """What it writes with; its `channel` is to be read."""
        return self._tracer

    # ---- the quick way ----

    def handle(self, record: logging.LogRecord) -> Any:
        """Write the record, if no filter objects; without a lock, which is the buffer's affair."""
        if self.filters:
            passed: Any = self.filter(record)
            if not passed:
                return passed
            if isinstance(passed, logging.LogRecord):
                record = passed
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, whatever filters say; never raises (logging.Handler.handleError)."""
        try:
            own = record.__dict__
            if len(own) == N_PLAIN and own["exc_info"] is None and own["stack_info"] is None:
                place = record.place if type(record) is QuickRecord else place_of(record)
                args = own["args"]
                if not args:
                    found = self._sites[place]
                    if type(own["msg"]) is str:
                        found[0](found[1], own["threadName"], own["msg"])
                        return
                elif type(args) is tuple:
                    emit, constants, render = self._sites[(place, own["msg"], *map(type, args))]
                    if render is not None:
                        args = _render(render, args)
                    emit(constants, own["threadName"], *args)
                    return
        except Exception:  # anything unusual, such as the first of its kind
            pass
        try:
            self._emit_any(record)
        except ChannelClosed:
            self.unwritten += 1
        except Exception:
            self.handleError(record)

    def write(self, place: Place, message: str, args: tuple[object, ...]) -> bool:
        """Write a message, and no record of it is made; False: it has to be made.

        place: where in the program. args: what is to be put into the message.
        """
        try:
            if not args:
                found = self._sites[place]
                found[0](found[1], current_thread().name, message)
                return True
            emit, constants, render = self._sites[(place, message, *map(type, args))]
            if render is not None:
                args = _render(render, args)
            emit(constants, current_thread().name, *args)
            return True
        except Exception:  # the first of its kind, or unusual
            return False

    # ---- the way for all ----

    def _emit_any(self, record: logging.LogRecord) -> None:
        place = place_of(record)
        try:
            template, given, note = self._message(record, place)
        except (TypeError, ValueError, KeyError, OverflowError, RchanError) as error:
            template, given = None, self._whole(record)[1]
            note = exception_line(error)
        more = self._more(record, note)
        thread = ("thread", types.text, str(record.threadName))
        declared = None
        if not note:
            declared = self._declare(place, record, template, [thread, *given, *more])
        if declared is not None:
            try:
                declared[0](declared[1], *(value for _, _, value in (thread, *given, *more)))
            except ChannelClosed:
                raise
            except RchanError:  # a value that no field holds, such as 2**64
                declared = None
            else:
                self._remember(record, place, declared, given, len(more))
        if declared is None:
            self._emit_generic(record, place, given, more)

    def _message(self, record: logging.LogRecord, place: Place) -> tuple[str | None, Given, str]:
        """The template, the arguments as fields, and "". None: the message itself is the field."""
        message: object = record.msg
        args: Any = record.args
        if not args or type(message) is not str:
            return self._whole(record)
        seen = self._templates.setdefault(place, set())
        specs = specs_of(message)
        if message not in seen and len(seen) >= _MOST_TEMPLATES:
            specs = None
        if specs is None or len(specs) > _MOST_ARGUMENTS:
            return self._whole(record)
        values: Any = args
        if any(spec.key is not None for spec in specs):
            values = tuple(args[spec.key] for spec in specs)
        elif not isinstance(args, tuple):
            values = (args,)
        given: Given = []
        if len(values) != len(specs):
            raise TypeError(f"{len(specs)} values fit this template, there are {len(values)}")
        for spec, value in zip(specs, values, strict=True):
            kind = type_of(value, self._limit)
            if kind is None:
                given.append((f"text{spec.suffix}", self._text, rendered(spec.bare, value)))
            else:
                _ = spec.bare % (value,)  # or it does not fit
                given.append((f"arg{spec.suffix}", kind, value))
        seen.add(message)
        return message, given, ""

    def _whole(self, record: logging.LogRecord) -> tuple[None, Given, str]:
        """The message as it is now, or what it would have been made of, and what is wrong."""
        message = record.msg if type(record.msg) is str else rendered("%s", record.msg)
        note = ""
        if record.args:
            message, note = formatted(message, record.args)
        return None, [("message", self._text, message)], note

    def _more(self, record: logging.LogRecord, note: str) -> Given:
        """What else it has: extra attributes, an exception, a stack, our note."""
        more: Given = []
        own = record.__dict__
        if len(own) != N_PLAIN:
            for name in own.keys() - _NOT_EXTRA if len(own) > N_PLAIN else ():
                kind = type_of(own[name], self._limit)
                if kind is None:
                    more.append((f"extra_{name}_repr", self._text, rendered("%r", own[name])))
                else:
                    more.append((f"extra_{name}", kind, own[name]))
            more.sort(key=lambda field: field[0])
        if record.exc_info and record.exc_info[0] is not None:
            text = record.exc_text or exception_text(record.exc_info)
            more.append(("exception", _EXCEPTION, exception_line(record.exc_info[1])))
            more.append(("traceback", _EXCEPTION, text))
        if record.stack_info:
            more.append(("stack", _EXCEPTION, rendered("%s", record.stack_info)))
        if note:
            more.append(("error", self._text, note))
        return more

    def _declare(
        self, place: Place, record: logging.LogRecord, template: str | None, given: Given
    ) -> tuple[Emit, bytes] | None:
        """The type for such an event; None: it cannot have one of its own."""
        key = (place, template, tuple((name, kind.kind) for name, kind, _ in given))
        if key in self._declared:
            return self._declared[key]
        if len(self._declared) >= _MOST_SITES:
            return None
        made = None
        try:
            name = f"log:{place.logger}:{os.path.basename(place.file)}:{place.line}"
            constants = [
                Constant.labelled("level", place.level, record.levelname),
                Constant.text("logger", place.logger),
                Constant.text("file", place.file),
                Constant("line", types.u32, place.line),
                Constant.text("function", place.function or ""),
            ]
            if template is not None:
                constants.append(Constant.text("template", template))
            fields = {name: kind for name, kind, _ in given}
            if len(fields) == len(given):
                made = declare(self._tracer, name, constants, fields)
        except ChannelClosed:
            raise
        except ChannelBusy:  # another process registers: next time
            return None
        except Exception:  # full, too long, names that no field can have, a place that is made up
            pass
        self._declared[key] = made
        return made

    def _remember(
        self,
        record: logging.LogRecord,
        place: Place,
        declared: tuple[Emit, bytes],
        given: Given,
        n_more: int,
    ) -> None:
        """For the quick way."""
        if n_more or len(self._sites) >= _MOST_SITES or type(record.msg) is not str:
            return
        args = record.args
        if not args:
            self._sites[place] = (*declared, None)
        elif type(args) is tuple and given[0][0] != "message":
            specs = specs_of(record.msg) or ()
            rendering = [
                spec.bare if name.startswith("text") else None
                for spec, (name, _, _) in zip(specs, given, strict=True)
            ]
            render = tuple(rendering) if any(rendering) else None
            self._sites[(place, record.msg, *map(type, args))] = (*declared, render)

    def _emit_generic(
        self, record: logging.LogRecord, place: Place, given: Given, more: Given
    ) -> None:
        """An event with everything in it, for what has no type of its own."""
        if self._generic is None:
            text = types.text
            self._generic = self._tracer.event(
                GENERIC,
                level=types.i32,
                level_name=text,
                logger=text,
                file=text,
                line=types.u32,
                function=text,
                thread=text,
                message=self._text,
                extra=self._text,
                exception=_EXCEPTION,
                traceback=_EXCEPTION,
                stack=_EXCEPTION,
                error=self._text,
            ).emit
        if not given or given[0][0] != "message":
            given = self._whole(record)[1]
        known = {name: value for name, _, value in more}
        extra = {name[6:]: value for name, value in known.items() if name.startswith("extra_")}
        self._generic(
            _clamped(place.level, -(2**31), 2**31 - 1),
            str(record.levelname),
            str(place.logger),
            str(place.file),
            _clamped(place.line, 0, 2**32 - 1),
            str(place.function or ""),
            str(record.threadName),
            given[0][2],
            rendered("%r", extra) if extra else "",
            *(known.get(name, "") for name in ("exception", "traceback", "stack", "error")),
        )

    # ---- being a handler ----

    def close(self) -> None:
        """Let go of the channel, which stays with all that is in it, until it is removed."""
        inherit.remove(self)
        if self._own:
            self._tracer.close()
        super().close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self._tracer, self.level, self._limit)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._tracer.name!r} ({logging.getLevelName(self.level)})>"


def _again(kind: type[LogHandler], tracer: Tracer, level: int, limit: int) -> LogHandler:
    handler = kind(tracer, level=level, limit=limit)
    handler._own = True
    return handler


def _render(render: tuple[str | None, ...], args: tuple[object, ...]) -> tuple[object, ...]:
    if len(render) != len(args):
        raise TypeError
    return tuple(
        value if spec is None else rendered(spec, value)
        for spec, value in zip(render, args, strict=True)
    )


def _clamped(number: object, low: int, high: int) -> int:
    return max(low, min(high, number)) if isinstance(number, int) else 0
