"""`rchan rm`: remove a channel's files."""

from argparse import ArgumentParser, Namespace
from typing import Any

from rchan.catalog import remove
from rchan.cli import exits
from rchan.cli.options import add_name_to


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "rm",
        help="remove a channel",
        description="Remove a channel's files; whoever has it open goes on with what it was.",
    )
    add_name_to(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Remove; the exit status."""
    remove(options.name, options.parent)
    return exits.OK
