"""`rchan`: which subcommand, and every failure as one line and an exit status."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from os import O_RDWR, O_WRONLY, close, devnull, dup2, environ, fdopen, strerror
from os import open as os_open

from rchan.cli import exits
from rchan.cli.commands import COMMANDS, near
from rchan.cli.screen import complain
from rchan.errors import ChannelNotFound, RchanError

_STDOUT, _STDERR = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: of the process); its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _fill_standard_streams()
    try:
        status = _run(given)
        sys.stdout.flush()
        return status
    except ChannelNotFound as error:
        return complain(f"{error}{_near_channels(given, error)}", exits.NOT_FOUND)
    except RchanError as error:
        return complain(str(error), exits.status_of(error))
    except BrokenPipeError:
        _forget(_STDOUT)
        return exits.OUTPUT_CLOSED
    except OSError as error:
        _forget(_STDOUT)
        return complain(_words_of(error), exits.FAILURE)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    finally:
        _forget_unheard()


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help") or arguments == ["help"]:
        sys.stdout.write(overview())
        return exits.OK
    if first == "--version":
        from rchan import __version__

        sys.stdout.write(f"rchan {__version__}\n")
        return exits.OK
    if first == "help":
        arguments, first = [*arguments[1:2], "--help"], arguments[1]
    if first == "_complete":
        from rchan.cli.completion import complete

        return complete(arguments[1:])
    if first not in COMMANDS:
        return complain(_no_command(first), exits.USAGE)
    return _run_command(first, arguments)


def _run_command(name: str, arguments: list[str]) -> int:
    from rchan.cli.parsing import parse

    takes_command = COMMANDS[name].takes_command and "--" in arguments
    cut = arguments.index("--") if takes_command else len(arguments)
    try:
        options = parse(arguments[:cut])
    except SystemExit as leave:  # argparse has said its word
        return leave.code if isinstance(leave.code, int) else exits.USAGE
    options.command = arguments[cut + 1 :]
    if getattr(options, "group", None) is not None:
        environ["RCHAN_GROUP"] = options.group  # also of COMMAND
    if takes_command and not options.command:
        return complain(f"there is no COMMAND after -- (see 'rchan {name} --help')", exits.USAGE)
    return int(options.run(options))


def overview() -> str:
    """What `rchan --help` prints."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {entry.about}" for name, entry in COMMANDS.items())
    return f"""\
usage: rchan [-h] [--version] SUBCOMMAND ...

The Linux kernel's relay for user space: channels in shared memory.

subcommands ('rchan SUBCOMMAND --help' says more about each):
{commands}

examples:
  ./job 2>&1 | rchan write flight --overwrite --size 64M   keep the newest
  rchan tail -f flight                                     look on
  rchan snapshot flight -o crash.log                       keep what is there

{exits.TEXT}"""


def _no_command(word: str) -> str:
    if not word:
        return "a SUBCOMMAND is missing (see 'rchan --help')"
    if word.startswith("-"):
        return f"there is no option {word!r} before SUBCOMMAND (see 'rchan --help')"
    return f"there is no subcommand {word!r}{near(word, [*COMMANDS])} (see 'rchan --help')"


def _near_channels(arguments: list[str], error: ChannelNotFound) -> str:
    """Names of channels that are spelled like the one that is not there."""
    from rchan.cli.completion import near_channel

    at = arguments.index("--parent") + 1 if "--parent" in arguments[:-1] else 0
    parent = arguments[at] if at else ""
    missing = [word for word in arguments[1:] if f"no channel '{word}' " in str(error)]
    return near_channel(missing[0], parent or None) if missing else ""


def _words_of(error: OSError) -> str:
    words = strerror(error.errno) if error.errno else str(error)
    return f"{error.filename}: {words}" if isinstance(error.filename, str) else words


def _fill_standard_streams() -> None:
    """If one of them is closed, no file that is opened later may take its number."""
    while (fd := os_open(devnull, O_RDWR)) <= _STDERR:
        pass
    close(fd)
    sys.stdout = sys.stdout or fdopen(_STDOUT, "w", closefd=False)
    sys.stderr = sys.stderr or fdopen(_STDERR, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may be any bytes


def _forget(fd: int) -> None:
    """What is still buffered must not fail again when the interpreter exits."""
    dup2(os_open(devnull, O_WRONLY), fd)


def _forget_unheard() -> None:
    """Words to people that nobody reads do not change the exit status."""
    try:
        sys.stderr.flush()
    except OSError:
        _forget(_STDERR)
