"""`rchan stat`: the books of a channel."""

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from typing import Any, Final

from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.look import Look, look_into
from rchan.cli.ls import state_text
from rchan.cli.options import add_json_to, add_name_to
from rchan.cli.parsing import add_command
from rchan.cli.screen import duration_text, paint, print_json, shape_text, table_lines
from rchan.stats import Count, Stats

_ABOUT: Final = """\
Show where a channel's records went: its books, which close at any time, also
after a crash:

  attempted = readable + consumed + overwritten + discarded + dropped

The first table is of all buffers together; the second one has a line for each
buffer. A buffer's fill is what is unread of it.
"""
_EXAMPLES: Final = """\
examples:
  rchan stat app
  rchan stat --buffers app
  rchan stat --json app | jq .total.lost.records

JSON: name, state, geometry (subbuf_size, n_subbufs, n_buffers, overwrite),
enabled, producers (process ids), readers (that wait now), wakeups, closes (do
the books?), total, and buffers: by index, each as total. There every cause has
its records and bytes: attempted, written, readable, consumed, overwritten,
discarded, dropped_full, dropped_too_big, dropped_disabled, dropped_contended,
dropped, lost; and there are subbufs_produced and subbufs_consumed.

exit status: 0; 3: there is no such channel; 4: it is damaged; of other
failures: see 'rchan --help'.
"""
_LOSSES: Final = frozenset(
    field.name for field in fields(Stats) if field.name.startswith(("dropped", "over", "disc"))
)


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(subcommands, "stat", _ABOUT, _EXAMPLES, "[options] NAME")
    add_name_to(parser)
    parser.add_argument("--buffers", action="store_true", help="a line for each buffer as well")
    add_json_to(parser, "print JSON, also of each buffer")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Show the books; the exit status."""
    channel = open_channel(options.name, options.parent)
    try:
        look, shape = look_into(channel), shape_text(channel)
    finally:
        channel.detach()
    if options.json:
        print_json(_as_dict(look))
        return exits.OK
    sys.stdout.write(shape + "\n")
    _print_books(look)
    sys.stdout.write("\n" + _facts(look) + "\n")
    if options.buffers:
        sys.stdout.write("\n")
        _print_buffers(look)
    return exits.OK


def _print_books(look: Look) -> None:
    total = look.stats.total
    names = [field.name for field in fields(Stats)]
    counts = [(name, getattr(total, name)) for name in names]
    rows = [(name, count) for name, count in counts if isinstance(count, Count)]
    rows.append(("lost", total.lost))
    cells = [
        (name.replace("_", " "), f"{count.records:,}", f"{count.bytes:,}") for name, count in rows
    ]
    lines = table_lines([("", "RECORDS", "BYTES"), *cells], left=(0,))
    sys.stdout.write(lines[0] + "\n")
    for (name, count), line in zip(rows, lines[1:], strict=True):
        red = count.records and (name in _LOSSES or name == "lost")
        sys.stdout.write((paint(line, "red", sys.stdout) if red else line) + "\n")


def _facts(look: Look) -> str:
    pids = f" (pid {', '.join(map(str, look.producers))})" if look.producers else ""
    closes = "the books close" if look.stats.total.closes else "the books do not close just now"
    return (
        f"{state_text(look)}, made {duration_text(look.age)} ago, {len(look.producers)} "
        f"attached{pids},\n{look.readers} readers wait, {look.wakeups:,} wake-ups, "
        f"{look.fill:.0%} full; {closes}"
    )


def _print_buffers(look: Look) -> None:
    head = (
        "BUFFER",
        "FILL",
        "WRITTEN",
        "UNREAD",
        "CONSUMED",
        "OVERWRITTEN",
        "DROPPED",
        "DISCARDED",
    )
    rows = [
        (
            str(index),
            f"{look.fill_of(index):.0%}",
            f"{stats.written.records:,}",
            f"{stats.readable.records:,}",
            f"{stats.consumed.records:,}",
            f"{stats.overwritten.records:,}",
            f"{stats.dropped.records:,}",
            f"{stats.discarded.records:,}",
        )
        for index, stats in look.stats.items()
    ]
    for line in table_lines([head, *rows], left=()):
        sys.stdout.write(line + "\n")


def _as_dict(look: Look) -> dict[str, object]:
    geometry = ("subbuf_size", "n_subbufs", "n_buffers", "overwrite")
    return {
        "name": look.name,
        "state": look.state,
        "geometry": {key: getattr(look, key) for key in geometry},
        "enabled": look.enabled,
        "producers": look.producers,
        "readers": look.readers,
        "wakeups": look.wakeups,
        "closes": look.stats.total.closes,
        **look.stats.as_dict(),
    }
