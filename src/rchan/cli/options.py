"""Options that several subcommands share."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any, Final

from rchan.cli.screen import parse_size

_MOST_SECONDS: Final = 65535


def add_name_to(parser: ArgumentParser) -> None:
    """NAME and --parent."""
    parser.add_argument("name", metavar="NAME", help="the channel")
    add_parent_to(parser)


def add_parent_to(parser: ArgumentParser) -> None:
    """--parent."""
    parser.add_argument(
        "--parent", metavar="DIR", help="its directory; relative: below the default one"
    )


def add_geometry_to(parser: ArgumentParser) -> None:
    """--create and what it makes."""
    group = parser.add_argument_group("if the channel does not exist")
    group.add_argument("--create", action="store_true", help="make it")
    group.add_argument(
        "--subbuf-size", metavar="SIZE", type=_size, default=262144, help="default 256K"
    )
    group.add_argument("--n-subbufs", metavar="N", type=int, default=8, help="default 8")
    group.add_argument("--n-buffers", metavar="N", type=int, help="default: one per CPU")
    group.add_argument(
        "--overwrite", action="store_true", help="a full buffer loses its oldest records"
    )


def geometry_of(options: Namespace) -> dict[str, Any]:
    """The arguments of `rchan.create` for what add_geometry_to asked."""
    return {
        "subbuf_size": options.subbuf_size,
        "n_subbufs": options.n_subbufs,
        "n_buffers": options.n_buffers,
        "overwrite": options.overwrite,
    }


def check_seconds(text: str) -> int:
    """A whole number of seconds that fits into 16 bits."""
    if not text.isdecimal() or not 0 <= int(text) <= _MOST_SECONDS:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {_MOST_SECONDS}")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
