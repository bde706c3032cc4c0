"""`rchan top`: channels live in a terminal."""

import os
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from rchan.cli import exits
from rchan.cli.look import Look, look_at, looks
from rchan.cli.options import add_names_to, seconds
from rchan.cli.parsing import add_command
from rchan.cli.screen import complain
from rchan.errors import ChannelNotFound
from rchan.names import directory

_ABOUT: Final = """\
Watch channels live: how full they are, the rates at which they are written and
read, what was lost and why, who is attached, and below, the selected channel
with each of its buffers. Without NAMEs: all of the directory, also those that
come later.

It costs the writers nothing: it only reads counters that are there anyway, and
is attached to a channel only while it looks, so that it keeps none alive.

  up, down    select a channel        p   pause or resume its writers
  o           sort by the next thing  f   flush it
  space       stop and go on looking  s   snapshot to a file here
  q           leave
"""
_EXAMPLES: Final = """\
examples:
  rchan top
  rchan top flight app --interval 0.5

It needs the package textual: pip install 'rchan[tui]'. Without a terminal,
'rchan ls --rates' gives the same numbers. NO_COLOR is respected.

exit status: 0; 1: textual is not installed; 2: this is no terminal; 3: there is
no such channel; of other failures: see 'rchan --help'.
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(
        subcommands, "top", _ABOUT, _EXAMPLES, "[options] [NAME...]"
    )
    add_names_to(parser, needed=False)
    parser.add_argument(
        "--interval", metavar="SECONDS", type=seconds, default=1.0, help="between looks; default 1"
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Watch, until told to leave; the exit status."""
    try:
        from rchan.cli.top_view import Top
    except ModuleNotFoundError as error:
        return complain(
            f"top needs the package {error.name!r}: pip install 'rchan[tui]' "
            "('rchan ls --rates' does without)",
            exits.FAILURE,
        )
    if not all(os.isatty(fd) for fd in range(3)):
        return complain("top needs a terminal ('rchan ls --rates' does without)", exits.USAGE)
    where = directory(options.parent)
    for name in options.names:
        if look_at(name, where) is None:
            raise ChannelNotFound(f"there is no channel {name!r} in {where}")

    def look() -> list[Look]:
        if not options.names:
            return looks(where)
        found = (look_at(name, where) for name in options.names)
        return [look for look in found if look is not None]

    Top(look, where, where, options.interval).run()
    return exits.OK
