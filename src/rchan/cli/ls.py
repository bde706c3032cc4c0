"""`rchan ls`: the channels of a directory."""

import sys
from argparse import ArgumentParser, Namespace
from time import sleep
from typing import Any, Final

from rchan.cli import exits
from rchan.cli.look import Look, looks
from rchan.cli.options import add_json_to, add_parent_to, seconds
from rchan.cli.parsing import add_command
from rchan.cli.rates import Rate, channel_rate, losses, mean_rate
from rchan.cli.screen import (
    amount_text,
    count_text,
    name_text,
    paint,
    print_json,
    say,
    size_text,
    table_lines,
)
from rchan.names import directory

_ABOUT: Final = """\
List the channels of a directory: geometry, how full they are with what is
unread, the rate at which they are written, how many processes are attached,
how many records were lost, and the state:

  live        somebody is attached
  orphaned    nobody is; what is unread can be read ('rchan rm --orphaned')
  finalized   closed to writers for good; can be read to the end
  paused      live, but writers may not write ('rchan resume')
  damaged     not a channel of this version; 'rchan stat NAME' says why

The rate is the mean since the channel was made. With --rates everything is
looked at twice, and the rates are those of the time in between.
"""
_EXAMPLES: Final = """\
examples:
  rchan ls
  rchan ls --rates                   written and read, in the next second
  rchan ls --json | jq -r '.[] | select(.state == "orphaned").name'

JSON: a list of objects with the keys name, state, path, subbuf_size,
n_subbufs, n_buffers, overwrite, enabled, producers (process ids), readers (that
wait now), age (seconds), capacity (bytes), fill (0 to 1), unread, lost (records
and bytes), lost_by_cause (records), and rates (per second: written_records,
written_bytes, read_records, read_bytes, lost_records, wakeups; over: seconds).

exit status: 0, also if there is none; of failures: see 'rchan --help'.
"""
_HEAD: Final = ("NAME", "STATE", "BUFFERS", "MODE", "FILL", "PROCS", "LOST")


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(subcommands, "ls", _ABOUT, _EXAMPLES, "[options]")
    add_parent_to(parser)
    parser.add_argument("-r", "--rates", action="store_true", help="measure the rates now")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=seconds, default=1.0, help="for so long (default 1)"
    )
    add_json_to(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """List; the exit status."""
    found = looks(options.parent)
    rates = {look.name: (mean_rate(look), look.age) for look in found}
    if options.rates:
        before = {look.name: look for look in found}
        sleep(options.interval)
        found = looks(options.parent)
        rates = {look.name: _between(before.get(look.name, look), look) for look in found}
    if options.json:
        print_json([_as_dict(look, *rates[look.name]) for look in found])
    elif found:
        _print_table(found, {name: rate for name, (rate, _) in rates.items()}, options.rates)
    elif sys.stderr.isatty():  # a script wants silence, a person wonders
        say(f"rchan: no channels in {directory(options.parent)}", sys.stderr)
    return exits.OK


def _between(before: Look, now: Look) -> tuple[Rate, float]:
    return channel_rate(before, now), (now.when_ns - before.when_ns) / 1e9


def _print_table(found: list[Look], rates: dict[str, Rate], measured: bool) -> None:
    names = ("WRITE/s", "READ/s", "LOST/s") if measured else ("MEAN/s",)
    rows = [(*_HEAD, *names), *(_row(look, rates[look.name], measured) for look in found)]
    lines = table_lines(rows, left=(0, 1, 2, 3))
    sys.stdout.write(lines[0] + "\n")
    for look, line in zip(found, lines[1:], strict=True):
        red = look.stats.total.lost.records > 0 or look.state in ("damaged", "not permitted")
        sys.stdout.write((paint(line, "red", sys.stdout) if red else line) + "\n")


def _row(look: Look, rate: Rate, measured: bool) -> tuple[str, ...]:
    name = name_text(look.name)
    if not look.readable_there:
        return (name, look.state, *[""] * (len(_HEAD) - 2 + (3 if measured else 1)))
    numbers = (rate.written_bytes, rate.read_bytes) if measured else (rate.written_bytes,)
    return (
        name,
        state_text(look),
        f"{look.n_buffers} x {look.n_subbufs} x {size_text(look.subbuf_size)}",
        "overwrite" if look.overwrite else "keep",
        f"{look.fill:.0%}",
        str(len(look.producers)),
        count_text(look.stats.total.lost.records),
        *(amount_text(number) for number in numbers),
        *([count_text(round(rate.lost_records))] if measured else []),
    )


def state_text(look: Look) -> str:
    """The state in a word: a live channel whose writers may not write is paused."""
    return "paused" if look.state == "live" and not look.enabled else look.state


def _as_dict(look: Look, rate: Rate, over: float) -> dict[str, object]:
    from dataclasses import asdict
    from pathlib import Path

    from rchan.names import CONTROL_SUFFIX

    total = look.stats.total
    return {
        "name": look.name,
        "state": look.state,
        "path": str(Path(look.directory, look.name + CONTROL_SUFFIX)),
        "subbuf_size": look.subbuf_size,
        "n_subbufs": look.n_subbufs,
        "n_buffers": look.n_buffers,
        "overwrite": look.overwrite,
        "enabled": look.enabled,
        "producers": look.producers,
        "readers": look.readers,
        "age": round(look.age, 3),
        "capacity": look.capacity,
        "fill": round(look.fill, 4),
        "unread": total.readable._asdict(),
        "lost": total.lost._asdict(),
        "lost_by_cause": losses(total),
        "rates": {key: round(value, 1) for key, value in asdict(rate).items()}
        | {"over": round(over, 3)},
    }
