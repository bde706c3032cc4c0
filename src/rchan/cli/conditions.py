"""Which events `rchan events` prints, and why there may be none: its conditions."""

import operator
import re
from argparse import ArgumentTypeError, Namespace
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from datetime import time as clock_time
from fnmatch import fnmatchcase
from functools import cache
from json import loads
from time import time_ns
from typing import Any, Final

from rchan.cli.options import duration
from rchan.clients.message import is_log, level_number
from rchan.events import EventRecord, Schemas
from rchan.export import text

_CONDITION: Final = re.compile(r"\s*(\w+)(\s*)(!=|<=|>=|==?|<|>)(.*)", re.DOTALL)
_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_OF_ALL: Final = ("cpu", "pid", "tid")  # every event has these, besides its fields
_SECOND: Final = 1_000_000_000


class Condition:
    """FIELD=VALUE, !=, <, >, <=, >=: a number is compared as one, other things as text."""

    def __init__(self, given: str) -> None:
        """Raises ArgumentTypeError: given is no condition."""
        match = _CONDITION.fullmatch(given)
        if match is None:
            raise ArgumentTypeError(f"{given!r} is no condition such as user=42 or seconds>0.1")
        self.field, space, sign, wanted = match.groups()
        self._compare = _COMPARE[sign]
        self.wanted = _unquoted(wanted.strip() if space else wanted)
        self._number = _number(self.wanted)
        self.compared_number = False
        """A field that it met was a number, and what was asked for is none."""

    def __call__(self, event: EventRecord) -> bool:
        value = event.fields.get(self.field)
        if value is None:
            if self.field not in _OF_ALL:
                return False
            value = getattr(event, self.field)
        if self.field == "level" and is_log(event.name):
            worth, asked = level_number(value), level_number(self.wanted.upper())
            if worth and asked:
                return bool(self._compare(worth, asked))
        if isinstance(value, bool):
            return bool(self._compare(str(value).lower(), self.wanted.lower()))
        if isinstance(value, int | float):
            self.compared_number |= self._number is None
            return self._number is not None and bool(self._compare(value, self._number))
        shown = value if isinstance(value, str) else text.value_text(value)
        return bool(self._compare(shown, self.wanted))


def tests_of(options: Namespace) -> Iterator[Callable[[EventRecord], bool]]:
    """What an event must meet, all of it."""
    if options.event:
        patterns = tuple(options.event)

        @cache
        def wanted(name: str) -> bool:
            return any(fnmatchcase(name, pattern) for pattern in patterns)

        yield lambda event: wanted(event.name)
    if options.since is not None:
        yield lambda event: event.time_ns >= options.since
    if options.until is not None:
        yield lambda event: event.time_ns < options.until
    if options.cpu:
        yield lambda event: event.cpu in options.cpu
    if options.pid:
        yield lambda event: event.pid in options.pid
    yield from options.where


def chosen(events: Iterable[EventRecord], options: Namespace) -> Iterator[EventRecord]:
    """Those that meet everything; with --last those of the last seconds before the newest."""
    tests = list(tests_of(options))
    if options.last is None:
        yield from (event for event in events if all(test(event) for test in tests))
        return
    window = int(options.last * _SECOND)
    kept: deque[EventRecord] = deque()
    newest = 0
    for event in events:
        newest = max(newest, event.time_ns)
        if all(test(event) for test in tests):
            kept.append(event)
        while kept and kept[0].time_ns < newest - window:
            kept.popleft()
    yield from kept


def why_none(options: Namespace, schemas: Schemas) -> Iterator[str]:
    """What in the options fits no event of these types, if nothing was printed."""
    names = [schema.name for schema in schemas.values()]
    for pattern in options.event or ():
        if not any(fnmatchcase(name, pattern) for name in names):
            yield f"no event is called {pattern!r}"
    fields = {name for schema in schemas.values() for name, _ in schema.fields}
    for condition in options.where:
        if condition.field not in fields and condition.field not in _OF_ALL:
            yield f"no event has a field {condition.field!r} (--json shows which there are)"
        elif condition.compared_number:
            yield (
                f"{condition.field!r} is a number, {condition.wanted!r} is none "
                "(several conditions: several --where)"
            )


def _unquoted(wanted: str) -> str:
    """A text in double quotes is what printed events have."""
    if len(wanted) > 1 and wanted[0] == wanted[-1] == '"':
        try:
            return str(loads(wanted))
        except ValueError:
            return wanted
    return wanted


def _number(given: str) -> int | float | None:
    for kind in (lambda digits: int(digits, 0), float):
        try:
            return kind(given)
        except ValueError:
            continue
    return None


def time(given: str) -> int:
    """Nanoseconds since 1970, for argparse: a date, a time of today, or so long ago."""
    try:
        whole, _, fraction = given.partition(".")
        return int(whole) * _SECOND + int((fraction + "0" * 9)[:9])
    except ValueError:
        pass
    try:
        return time_ns() - int(duration(given) * _SECOND)
    except ArgumentTypeError:
        pass
    try:
        when = (
            datetime.combine(datetime.now(), clock_time.fromisoformat(given))
            if re.match(r"\d\d:", given)
            else datetime.fromisoformat(given)
        )
        return int(when.timestamp() * 1_000_000) * 1000
    except ValueError:
        raise ArgumentTypeError(
            f"{given!r} is no time such as 2026-11-21T12:34:56, 12:34:56 or 5min (ago)"
        ) from None
