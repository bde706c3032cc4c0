"""`rchan rm`: remove channels' files."""

import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from rchan.catalog import remove
from rchan.cli import exits
from rchan.cli.completion import near_channel
from rchan.cli.look import looks
from rchan.cli.options import add_names_to
from rchan.cli.parsing import add_command
from rchan.cli.screen import complain, count_text, name_text
from rchan.errors import ChannelNotFound, RchanError

_ABOUT: Final = """\
Remove channels. Nobody can write to one any more; whoever has it open can read
it to the end. With --orphaned: all channels of the directory that no process is
attached to, also those in which something is unread.
"""
_EXAMPLES: Final = """\
examples:
  rchan rm app
  rchan rm --orphaned --dry-run      say which it would be
  rchan rm --orphaned

exit status: 0, with --orphaned also if there is none; 3: there is no such
channel; of other failures: see 'rchan --help'. With several channels, all are
tried, and the first failure gives the status.
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(
        subcommands, "rm", _ABOUT, _EXAMPLES, "[options] NAME... | --orphaned"
    )
    add_names_to(parser, needed=False)
    parser.add_argument("--orphaned", action="store_true", help="those that nobody has open")
    parser.add_argument("-n", "--dry-run", action="store_true", help="remove nothing")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Remove; the exit status."""
    if bool(options.names) == options.orphaned:
        return complain("give NAMEs, or --orphaned (see 'rchan rm --help')", exits.USAGE)
    if options.orphaned:
        return _remove_orphaned(options)
    if len(options.names) == 1 and not options.dry_run:
        remove(options.names[0], options.parent)
        return exits.OK
    return _remove_each(options, options.names)


def _remove_orphaned(options: Namespace) -> int:
    names = []
    for look in looks(options.parent):
        if look.readable_there and not look.producers:
            unread = look.stats.total.readable.records
            rest = f" ({count_text(unread)} records unread)" if unread else ""
            sys.stdout.write(f"{name_text(look.name)}{rest}\n")
            names.append(look.name)
    return _remove_each(options, names)


def _remove_each(options: Namespace, names: list[str]) -> int:
    status = exits.OK
    for name in () if options.dry_run else names:
        try:
            remove(name, options.parent)
        except RchanError as error:
            hint = near_channel(name, options.parent) if isinstance(error, ChannelNotFound) else ""
            failed = complain(f"{error}{hint}", exits.status_of(error))
            status = status or failed
    return status
