"""`rchan verify`: is a recording whole, and what is missing?"""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from json import dumps
from typing import Any, Final

from rchan.cli import exits
from rchan.cli.progress import ByteProgress
from rchan.cli.screen import amount_text, complain, table_lines
from rchan.tracefile import Report
from rchan.tracefile import verify as verify_directory

_EPILOG: Final = f"""\
DIR is what 'rchan record -o DIR' made, or the directory of one channel in it.
Every index entry and every sub-buffer with a checksum is checked. What a
recorder that was killed leaves (half an entry, bytes that are in no index) is
noted, and no damage: 'rchan record' with the same arguments goes on behind it.

JSON: a list of objects, one for each channel: channel, directory, state,
subbufs, records, bytes, checked (sub-buffers with a right checksum), damaged,
unfinished, and problems (each with severity, file, offset and text).

examples:
  rchan verify run1
  rchan verify --quiet run1/app && rm -r run1.old

exit status:
  {exits.OK}  everything is whole
  {exits.NOT_FOUND}  there is no recording
  {exits.DAMAGED}  something is damaged or missing
  {exits.UNFINISHED}  what is there is whole, but the recording was not ended (yet)
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "verify",
        help="check recordings",
        description="Read a recording from beginning to end and say what is wrong with it.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("directories", metavar="DIR", nargs="+", help="a recording")
    parser.add_argument("--quiet", action="store_true", help="say nothing, only the exit status")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Verify; the exit status."""
    progress = ByteProgress("verified", sys.stderr, quiet=options.quiet)
    reports: list[Report] = []
    for directory in options.directories:
        reports += verify_directory(directory, progress.show)
    progress.clear()
    if options.json:
        sys.stdout.write(dumps([report.as_dict() for report in reports], indent=1) + "\n")
    elif not options.quiet:
        _show(reports)
    damaged = [report.channel for report in reports if report.damaged]
    if damaged:
        names = ", ".join(damaged)
        return exits.DAMAGED if options.quiet else complain(f"damaged: {names}", exits.DAMAGED)
    return exits.UNFINISHED if any(report.unfinished for report in reports) else exits.OK


def _show(reports: list[Report]) -> None:
    head = ("CHANNEL", "STATE", "SUB-BUFFERS", "CHECKED", "RECORDS", "BYTES", "VERDICT")
    for line in table_lines([head, *map(_row, reports)], left=(0, 1, 6)):
        sys.stdout.write(line + "\n")
    for report in reports:
        for problem in report.problems:
            where = f"{report.channel}: {problem.file}: " if problem.file else f"{report.channel}: "
            sys.stdout.write(f"{problem.severity}: {where}{problem.text}\n")


def _row(report: Report) -> tuple[str, ...]:
    verdict = "DAMAGED" if report.damaged else "unfinished" if report.unfinished else "whole"
    return (
        report.channel,
        report.state,
        f"{report.subbufs:,}",
        f"{report.checked:,}",
        f"{report.records:,}",
        amount_text(report.bytes),
        verdict,
    )
