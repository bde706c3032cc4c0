"""`rchan merge`: recordings into one, by time."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from json import dumps
from typing import Any, Final

from rchan.cli import exits
from rchan.cli.progress import ByteProgress
from rchan.cli.screen import amount_text, complain, many, say
from rchan.recorder.merge import merge

_EPILOG: Final = f"""\
OUT/merged gets one stream with all sub-buffers of all channels and buffers,
that whose first record is the oldest first, and an index that says where each
comes from. Sub-buffers are not taken apart: where two overlap in time, one
follows the other. A recording of events (a CTF trace) needs no merging:
babeltrace2 does it as it reads.

JSON: name, channel, directory, manifest, state, reason, error, seconds, files,
unfinished, and the totals (subbufs, records, bytes, lost), as 'rchan record'.

examples:
  rchan merge run1 -o all
  rchan merge web1 web2 --output all --quiet

exit status:
  {exits.OK}  all is merged
  {exits.DAMAGED}  something was damaged and is left out
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "merge",
        help="put recordings into one, by time",
        description="Merge the channels and buffers of recordings into one stream, by time.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("directories", metavar="DIR", nargs="+", help="a recording")
    parser.add_argument(
        "-o", "--output", metavar="OUT", dest="output", required=True, help="output"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Merge; the exit status."""
    progress = ByteProgress("merged", sys.stderr, quiet=options.quiet)
    recording, problems = merge(options.directories, options.output, progress.show)
    progress.clear()
    damage = [problem for problem in problems if problem.severity == "damage"]
    if options.json:
        sys.stdout.write(dumps(recording.summary(), indent=1) + "\n")
    if not options.quiet:
        amount = f"{many(recording.records, 'record')}, {amount_text(recording.bytes)}"
        say(f"rchan: {amount} in {many(recording.subbufs, 'sub-buffer')}", sys.stderr)
        say(f"rchan: {recording.directory}", sys.stderr)
    if damage:
        return complain(
            f"left out {len(damage)} damaged parts, first: {damage[0].text} (see 'rchan verify')",
            exits.DAMAGED,
        )
    return exits.OK
