"""`rchan stat`: the books of a channel."""

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from json import dumps
from typing import Any

from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.options import add_name_to
from rchan.cli.screen import shape_text, table_lines
from rchan.stats import ChannelStats, Count, Stats


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "stat",
        help="show where a channel's records went",
        description="Show the books of a channel: attempted = readable + consumed + all losses.",
    )
    add_name_to(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, also of each buffer")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Show the books; the exit status."""
    with open_channel(options.name, options.parent) as channel:
        stats, shape = channel.stats(), shape_text(channel)
    if options.json:
        sys.stdout.write(dumps(stats.as_dict(), indent=1) + "\n")
        return exits.OK
    sys.stdout.write(shape + "\n")
    for line in table_lines([("", "RECORDS", "BYTES"), *_rows(stats)], left=(0,)):
        sys.stdout.write(line + "\n")
    return exits.OK


def _rows(stats: ChannelStats) -> list[tuple[str, ...]]:
    total = stats.total
    counts = [(field.name, getattr(total, field.name)) for field in fields(Stats)]
    rows = [
        (name.replace("_", " "), f"{count.records:,}", f"{count.bytes:,}")
        for name, count in counts
        if isinstance(count, Count)
    ]
    return [*rows, ("lost", f"{total.lost.records:,}", f"{total.lost.bytes:,}")]
