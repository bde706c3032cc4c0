"""Options that several subcommands share."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from re import fullmatch
from typing import Any, Final

from rchan.cli.screen import parse_size

_SUBBUF_SIZE: Final = 262144
_N_SUBBUFS: Final = 8
_SMALLEST: Final = 4096
_MOST_SECONDS: Final = 65535
_DURATION: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def add_name_to(parser: ArgumentParser) -> None:
    """NAME, --parent and --group."""
    parser.add_argument("name", metavar="NAME", help="the channel")
    add_parent_to(parser)


def add_names_to(parser: ArgumentParser, needed: bool = True) -> None:
    """NAME..., --parent and --group."""
    many = "+" if needed else "*"
    parser.add_argument("names", metavar="NAME", nargs=many, help="the channels")
    add_parent_to(parser)


def add_parent_to(parser: ArgumentParser) -> None:
    """--parent and --group."""
    parser.add_argument(
        "--parent", metavar="DIR", help="its directory; relative: below the default one"
    )
    parser.add_argument(
        "--group", metavar="GROUP", help="shared with this group (default: RCHAN_GROUP)"
    )


def add_json_to(parser: ArgumentParser, what: str = "print JSON") -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help=what)


def add_printing_to(parser: ArgumentParser) -> None:
    """What commands that print sub-buffers have in common."""
    parser.add_argument("--raw", action="store_true", help="all bytes, also to a terminal")
    parser.add_argument("--quiet", action="store_true", help="do not say what was lost")
    add_json_to(parser, "print a line of JSON for each sub-buffer")


def add_geometry_to(parser: ArgumentParser) -> None:
    """--create and what it makes."""
    group = parser.add_argument_group("if the channel does not exist")
    group.add_argument("--create", action="store_true", help="make it")
    group.add_argument(
        "--subbuf-size", metavar="SIZE", type=size, default=_SUBBUF_SIZE, help="default 256K"
    )
    group.add_argument(
        "--n-subbufs", metavar="N", type=int, default=_N_SUBBUFS, help=f"default {_N_SUBBUFS}"
    )
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


def add_shape_to(parser: Any, n_buffers: str) -> None:
    """What a new channel is to be; n_buffers: the default, in words. See `shape_of`."""
    parser.add_argument(
        "--overwrite", action="store_true", help="a full buffer loses its oldest records"
    )
    parser.add_argument(
        "--size", metavar="SIZE", type=size, help="memory of all buffers together, such as 64M"
    )
    parser.add_argument(
        "--subbuf-size", metavar="SIZE", type=size, help="of a sub-buffer: 256K, less if --size is"
    )
    parser.add_argument(
        "--n-subbufs", metavar="N", type=int, help="sub-buffers of a buffer: 8, or as --size says"
    )
    parser.add_argument("--n-buffers", metavar="N", type=int, help=f"default: {n_buffers}")


def shape_of(options: Namespace, n_buffers: int) -> dict[str, Any]:
    """The arguments of `rchan.create` for what add_shape_to asked; n_buffers: the default."""
    count = n_buffers if options.n_buffers is None else options.n_buffers
    subbuf_size, n_subbufs = options.subbuf_size, options.n_subbufs
    if options.size is not None and count > 0:
        each = options.size // count
        subbuf_size = subbuf_size or _subbuf_size_for(each, n_subbufs)
        n_subbufs = n_subbufs or max(2, each // subbuf_size)
    return {
        "subbuf_size": _SUBBUF_SIZE if subbuf_size is None else subbuf_size,
        "n_subbufs": _N_SUBBUFS if n_subbufs is None else n_subbufs,
        "n_buffers": count,
        "overwrite": options.overwrite,
    }


def _subbuf_size_for(each: int, n_subbufs: int | None) -> int:
    """Of a buffer of so many bytes: a number of sub-buffers that was asked for, or at least 8."""
    if n_subbufs and n_subbufs > 0:
        return max(1, each // n_subbufs)
    subbuf_size = _SUBBUF_SIZE
    while subbuf_size > _SMALLEST and each // subbuf_size < _N_SUBBUFS:
        subbuf_size //= 2
    return subbuf_size


def check_seconds(text: str) -> int:
    """A whole number of seconds that fits into 16 bits."""
    if not text.isdecimal() or not 0 <= int(text) <= _MOST_SECONDS:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {_MOST_SECONDS}")
    return int(text)


def size(text: str) -> int:
    """A size such as 256K, for argparse."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def natural(what: str, least: int = 0) -> Callable[[str], int]:
    """A whole number, for argparse: not below `least`."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and int(text) >= least:
            return int(text)
        raise ArgumentTypeError(f"{text!r} is not a number of {what} from {least} on")

    return parse


def seconds(text: str) -> float:
    """A time in seconds, for argparse: more than 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def duration(text: str) -> float:
    """A time such as 500ms or 5min, in seconds, for argparse."""
    found = fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|)", text.strip())
    seconds = float(found[1]) * _DURATION[found[2] or "s"] if found else 0.0
    if not seconds:
        raise ArgumentTypeError(f"{text!r} is not a time such as 500ms, 30s, 5min or 2h")
    return seconds
