"""`rchan doctor`: does this machine have what rchan needs, and what is to be done?"""

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import Any, Final

from rchan.cli import exits
from rchan.cli.checks import NOTE, OK, PROBLEM, WARNING, findings
from rchan.cli.options import add_json_to, add_parent_to
from rchan.cli.parsing import add_command
from rchan.cli.screen import paint, print_json

_ABOUT: Final = """\
Check what rchan needs of this machine, by trying it: the directory of channels
and its file system, unnamed files, locks, FIFOs, futexes, a channel made,
written and read, the clock, CPUs and limits of the control group, limits of
the process, and channels that nobody has open. Where something is not as it
should be, it says what to do.

  ok         as it should be
  note       nothing is wrong; it may be of use to know
  warning    works, but something may not
  problem    channels do not work
"""
_EXAMPLES: Final = """\
examples:
  rchan doctor
  rchan doctor --strict || exit 1     in a container's start script
  rchan doctor --parent /var/lib/channels
  rchan doctor --json | jq -r '.[] | select(.level != "ok") | .advice'

JSON: a list of objects with the keys check, level, found, advice.

exit status: 0; 1: there is a problem, or with --strict a warning.
"""
_COLOURS: Final = {OK: "green", NOTE: "bold", WARNING: "yellow", PROBLEM: "red"}


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(subcommands, "doctor", _ABOUT, _EXAMPLES, "[options]")
    add_parent_to(parser)
    parser.add_argument("--strict", action="store_true", help="a warning gives status 1, too")
    add_json_to(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Check; the exit status."""
    found = []
    for finding in findings(options.parent):
        found.append(finding)
        if options.json:
            continue
        level = paint(f"{finding.level:8}", _COLOURS[finding.level], sys.stdout)
        sys.stdout.write(f"{level} {finding.check:16} {finding.found}\n")
        if finding.advice:
            sys.stdout.write(_advice(finding.advice) + "\n")
    if options.json:
        print_json([asdict(finding) for finding in found])
    bad = (PROBLEM, WARNING) if options.strict else (PROBLEM,)
    return exits.FAILURE if any(finding.level in bad for finding in found) else exits.OK


def _advice(words: str) -> str:
    """Below the finding; on a terminal no line is longer than it is wide."""
    from shutil import get_terminal_size
    from textwrap import fill

    width = get_terminal_size().columns if sys.stdout.isatty() else 100
    indent = " " * 26
    return fill(
        words,
        max(60, width - 1),
        initial_indent=indent + "-> ",
        subsequent_indent=indent + "   ",
        break_on_hyphens=False,
    )
