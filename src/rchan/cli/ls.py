"""`rchan ls`: the channels of a directory."""

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from json import dumps
from typing import Any

from rchan.catalog import ChannelInfo
from rchan.catalog import list as list_channels
from rchan.cli import exits
from rchan.cli.options import add_parent_to
from rchan.cli.screen import size_text, table_lines


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "ls", help="list the channels", description="List the channels of a directory."
    )
    add_parent_to(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """List; the exit status."""
    channels = list_channels(options.parent)
    if options.json:
        sys.stdout.write(dumps([asdict(channel) for channel in channels], indent=1) + "\n")
    elif channels:
        head = ("NAME", "STATE", "BUFFERS", "SUB-BUFFERS", "MODE", "PROCESSES")
        for line in table_lines([head, *map(_row, channels)], left=(0, 1, 4, 5)):
            sys.stdout.write(line + "\n")
    return exits.OK


def _row(channel: ChannelInfo) -> tuple[str, ...]:
    name = channel.name if channel.name.isprintable() else ascii(channel.name)
    if channel.state == "damaged":
        return (name, channel.state, "", "", "", "")
    return (
        name,
        channel.state,
        str(channel.n_buffers),
        f"{channel.n_subbufs} x {size_text(channel.subbuf_size)}",
        "overwrite" if channel.overwrite else "no-overwrite",
        ",".join(map(str, channel.producers)) or "none",
    )
