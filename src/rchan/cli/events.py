"""`rchan events`: prints the events of a channel or of a trace directory."""

import operator
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.options import add_parent_to
from rchan.cli.screen import say
from rchan.events import EventReader, EventRecord, read
from rchan.export import jsonl, text

_EXAMPLES: Final = """\
Nothing is consumed. What was lost or is damaged is said on standard error at
the end. TIME is 2026-11-21T12:34:56.789 (local time, if it names no zone) or
seconds since 1970. DIR is a recording (all channels in it, by time), a
directory DIR/NAME of one, or what 'rchan export -f ctf' made.

JSON: an object a line: event, time_ns (since 1970), cpu, pid, tid and fields.

examples:
  rchan events app                               what the channel holds now
  rchan events app --follow -e 'request*'        and what comes, until Ctrl-C
  rchan events run1/ --where user=42 --pid 1234

exit status: 0; 3: there is no such channel or trace; 4: it is damaged; of
other failures: see 'rchan --help'.
"""
_CONDITION: Final = re.compile(r"(\w+)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
Test = Callable[[EventRecord], bool]


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "events",
        help="print events",
        description="Print the events that a channel holds, or of a trace directory, by time.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="NAME|DIR", help="a channel, or a directory")
    add_parent_to(parser)
    add = parser.add_argument
    add("-e", "--event", metavar="PATTERN", action="append", help="only types like this: 'req*'")
    where = "FIELD=VALUE; also !=, <, >, <=, >="
    add("--where", metavar="CONDITION", action="append", type=_condition, default=[], help=where)
    add("--since", metavar="TIME", type=_time, help="from here on")
    add("--until", metavar="TIME", type=_time, help="before this")
    add("--cpu", metavar="N", type=int, action="append", help="written on this CPU")
    add("--pid", metavar="N", type=int, action="append", help="written by this process")
    add("-f", "--follow", action="store_true", help="go on with what is written (a channel)")
    add("--json", action="store_true", help="print JSON lines")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print; the exit status."""
    line = jsonl.line if options.json else text.line
    tests = list(_tests(options))
    with (
        opened(options.source, options.parent) as source,
        read(source, follow=options.follow) as events,
    ):
        try:
            for event in events:
                if all(test(event) for test in tests):
                    sys.stdout.write(line(event) + "\n")
                    if options.follow:
                        sys.stdout.flush()
        except KeyboardInterrupt:
            if not options.follow:
                raise
        sys.stdout.flush()
        _tell(events)
    return exits.OK


def _tell(events: EventReader) -> None:
    for line in events.report.lines():
        say(f"rchan: {line}", sys.stderr)


@contextmanager
def opened(source: str, parent: str | None) -> Iterator[Channel | Path]:
    """A channel, until it is left; or the path of a directory, if it has a slash or is one here."""
    if parent is None and ("/" in source or Path(source).is_dir()):
        yield Path(source)
        return
    channel = open_channel(source, parent)
    try:
        yield channel
    finally:
        channel.detach()


# ---- which events ----


def _tests(options: Namespace) -> Iterator[Test]:
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


def _condition(given: str) -> Test:
    """FIELD=VALUE, !=, <, >, <=, >=: a number is compared as one, other things as text."""
    match = _CONDITION.fullmatch(given)
    if match is None:
        raise ArgumentTypeError(f"{given!r} is no condition such as user=42 or seconds>0.1")
    name, sign, wanted = match.groups()
    compare, number = _COMPARE[sign], _number(wanted)

    def test(event: EventRecord) -> bool:
        value = event.fields.get(name)
        if value is None:
            return False
        if isinstance(value, bool):
            return bool(compare(str(value).lower(), wanted.lower()))
        if isinstance(value, int | float):
            return number is not None and bool(compare(value, number))
        return bool(compare(value if isinstance(value, str) else text.value_text(value), wanted))

    return test


def _number(given: str) -> int | float | None:
    for kind in (lambda digits: int(digits, 0), float):
        try:
            return kind(given)
        except ValueError:
            continue
    return None


def _time(given: str) -> int:
    """Nanoseconds since 1970."""
    try:
        whole, _, fraction = given.partition(".")
        return int(whole) * 10**9 + int((fraction + "0" * 9)[:9])
    except ValueError:
        pass
    try:
        return int(datetime.fromisoformat(given).timestamp() * 1_000_000) * 1000
    except ValueError:
        raise ArgumentTypeError(f"{given!r} is no time such as 2026-11-21T12:34:56") from None
