"""`rchan events`: prints the events of a channel or of a trace directory."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.conditions import Condition, chosen, time, why_none
from rchan.cli.options import add_parent_to, duration
from rchan.cli.screen import complain, say
from rchan.events import EventReader, read
from rchan.export import jsonl, text

_EXAMPLES: Final = """\
Nothing is consumed. What was lost or is damaged is said on standard error at
the end. DIR is a recording (all channels in it, by time), a directory
DIR/NAME of one, or what 'rchan export -f ctf' made.

TIME is 2026-11-21T12:34:56.789 (local time, if it names no zone), 12:34 (of
today), 5min (ago), or seconds since 1970. A DURATION is 500ms, 2s, 5min or 2h.

CONDITION: FIELD is one of the event's fields, or cpu, pid or tid. Numbers are
compared as numbers, levels of log records by what they are worth (such as
'level>=WARNING'), other things as text. Several conditions must all be met.

JSON: an object a line: event, time_ns (since 1970), cpu, pid, tid and fields.

examples:
  rchan events app                               what the channel holds now
  rchan events app --follow -e 'request*'        and what comes, until Ctrl-C
  rchan events run1/ --where user=42 --pid 1234
  rchan events app -e 'log:*' --where level=ERROR    log records
  rchan events app --last 2s                     what led to a crash

exit status: 0; 3: there is no such channel or trace; 4: it is damaged; of
other failures: see 'rchan --help'.
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "events",
        help="print events",
        usage="rchan events [options] NAME|DIR",
        description="Print the events that a channel holds, or of a trace directory, by time.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="NAME|DIR", help="a channel, or a directory")
    add_parent_to(parser)
    add = parser.add_argument
    add("-e", "--event", metavar="PATTERN", action="append", help="only types like this: 'req*'")
    where = "FIELD=VALUE; also !=, <, >, <=, >="
    add("--where", metavar="CONDITION", action="append", type=Condition, default=[], help=where)
    add("--since", metavar="TIME", type=time, help="from here on")
    add("--until", metavar="TIME", type=time, help="before this")
    last = "only so long before the newest event, such as 2s"
    add("--last", metavar="DURATION", type=duration, help=last)
    add("--cpu", metavar="N", type=int, action="append", help="written on this CPU")
    add("--pid", metavar="N", type=int, action="append", help="written by this process")
    add("-f", "--follow", action="store_true", help="go on with what is written (a channel)")
    add("--json", action="store_true", help="print JSON lines")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print; the exit status."""
    line = jsonl.line if options.json else text.line
    printed = 0
    with opened(options.source, options.parent) as source:
        if options.follow and (wrong := _cannot_follow(options, source)):
            return complain(wrong, exits.USAGE)
        with read(source, follow=options.follow) as events:
            try:
                for event in chosen(events, options):
                    sys.stdout.write(line(event) + "\n")
                    printed += 1
                    if options.follow:
                        sys.stdout.flush()
            except KeyboardInterrupt:
                if not options.follow:
                    raise
            sys.stdout.flush()
            if not printed and not options.follow:
                for reason in why_none(options, events.schemas):
                    complain(reason, exits.OK)
            _tell(events)
    return exits.OK


def _cannot_follow(options: Namespace, source: Channel | Path) -> str | None:
    """Why not, in words."""
    if isinstance(source, Path):
        return (
            f"{options.source!r} is a directory, and only a channel can be followed: "
            "'rchan ls' shows which there are"
        )
    return "--last is for what is there already: not with --follow" if options.last else None


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
