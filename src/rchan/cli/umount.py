"""`rchan umount`: the end of a mount."""

from argparse import ArgumentParser, Namespace
from typing import Any

from rchan.cli import exits
from rchan.mount import unmount


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "umount", help="unmount them", description="Unmount channels, which stay as they are."
    )
    parser.add_argument("point", metavar="MOUNTPOINT")
    parser.add_argument(
        "--lazy", action="store_true", help="although files are open there, which can be read on"
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Unmount; the exit status."""
    unmount(options.point, lazy=options.lazy)
    return exits.OK
