"""`rchan export`: events in the formats that other tools open."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Any

from rchan.cli import exits
from rchan.cli.events import opened
from rchan.cli.options import add_parent_to
from rchan.cli.progress import ByteProgress
from rchan.cli.screen import say
from rchan.export import FORMATS, export

_FORMATS = "formats:\n" + "".join(f"  {f.name:<9} {f.about}\n" for f in FORMATS.values())
_EPILOG = (
    _FORMATS
    + """
examples:
  rchan export app -f ctf -o trace               for babeltrace2, Trace Compass
  rchan export run1/ -f ctf -o trace             or if its recorder was killed
  rchan export run1/ -f perfetto -o run1.pftrace
  rchan export run1/app -f jsonl -o - | jq .

On a terminal standard error says how much it has read so far.

exit status: 0; 3: there is no such channel or trace; 5: OUT is there already;
of other failures: see 'rchan --help'.
"""
)


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "export",
        help="write events in the format of another tool",
        usage="rchan export -f FORMAT -o OUT [options] NAME|DIR",
        description="Write the events that a channel holds now, or of a trace directory, to OUT.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="NAME|DIR", help="a channel, or a directory")
    parser.add_argument(
        "-f", "--format", metavar="FORMAT", choices=FORMATS, required=True, help="see below"
    )
    parser.add_argument(
        "-o", metavar="OUT", dest="out", required=True, help="a new file or directory; -: stdout"
    )
    add_parent_to(parser)
    parser.set_defaults(run=run)


def _watched(out: str) -> bool:
    """Is there somebody to see progress, and nothing that it would stand in the middle of?"""
    return sys.stderr.isatty() and not (out == "-" and sys.stdout.isatty())


def run(options: Namespace) -> int:
    """Export; the exit status."""
    progress = ByteProgress("read", sys.stderr, quiet=not _watched(options.out))
    with opened(options.source, options.parent) as source:
        try:
            report = export(source, options.format, options.out, progress=progress.show)
        finally:
            progress.clear()
    for text in report.lines():
        say(f"rchan: {text}", sys.stderr)
    return exits.OK
