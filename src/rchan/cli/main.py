"""`rchan`: which subcommand, and every failure as one line and an exit status."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from io import TextIOWrapper
from os import O_RDWR, O_WRONLY, close, devnull, dup2, fdopen, strerror
from os import open as os_open

from rchan import __version__
from rchan.cli import events, exits, export, ls, record, rm, stat
from rchan.cli.screen import complain
from rchan.errors import RchanError

_STDOUT, _STDERR = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: of the process); its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _fill_standard_streams()
    try:
        status = _run(given)
        sys.stdout.flush()
        return status
    except RchanError as error:
        return complain(str(error), exits.status_of(error))
    except BrokenPipeError:
        _forget(_STDOUT)
        return exits.OUTPUT_CLOSED
    except OSError as error:
        _forget(_STDOUT)
        return complain(strerror(error.errno) if error.errno else str(error), exits.FAILURE)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    finally:
        _forget_unheard()


def _run(arguments: list[str]) -> int:
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    try:
        options = parser.parse_args(arguments[:cut])
        options.command = arguments[cut + 1 :]
        if cut < len(arguments) and options.run is not record.run:
            parser.error("only record takes a COMMAND after --")
        if cut < len(arguments) and not options.command:
            parser.error("there is no COMMAND after --")
    except SystemExit as leave:  # argparse has said its word
        return leave.code if isinstance(leave.code, int) else exits.USAGE
    return int(options.run(options))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="rchan",
        description="The Linux kernel's relay for user space: channels in shared memory.",
        epilog=exits.TEXT + "\n'rchan SUBCOMMAND --help' says more about each.",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rchan {__version__}")
    subcommands = parser.add_subparsers(metavar="SUBCOMMAND", required=True)
    for module in (record, ls, stat, events, export, rm):
        module.add_to(subcommands)
    return parser


def _fill_standard_streams() -> None:
    """If one of them is closed, no file that is opened later may take its number."""
    while (fd := os_open(devnull, O_RDWR)) <= _STDERR:
        pass
    close(fd)
    sys.stdout = sys.stdout or fdopen(_STDOUT, "w", closefd=False)
    sys.stderr = sys.stderr or fdopen(_STDERR, "w", closefd=False)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be any bytes


def _forget(fd: int) -> None:
    """What is still buffered must not fail again when the interpreter exits."""
    dup2(os_open(devnull, O_WRONLY), fd)


def _forget_unheard() -> None:
    """Words to people that nobody reads do not change the exit status."""
    try:
        sys.stderr.flush()
    except OSError:
        _forget(_STDERR)
