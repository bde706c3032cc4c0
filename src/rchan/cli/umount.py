"""`rchan umount`: the end of a mount."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Any, Final

from rchan.cli import exits
from rchan.mount import unmount

_EPILOG: Final = """\
examples:
  rchan umount /mnt/relay
  rchan umount --lazy /mnt/relay     although files are open there

exit status: 0; 3: nothing of rchan is mounted there; 6: not permitted; of
other failures (it is in use): see 'rchan --help'.
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "umount",
        help="end a mount",
        description="Unmount channels, which stay as they are.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("point", metavar="MOUNTPOINT", help="where it is")
    parser.add_argument(
        "--lazy", action="store_true", help="although files are open there, which can be read on"
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Unmount; the exit status."""
    unmount(options.point, lazy=options.lazy)
    return exits.OK
