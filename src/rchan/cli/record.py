"""`rchan record`: a channel to files, until told to stop or until a command ends."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from json import dumps
from os import environ, strerror
from typing import Any, Final
from warnings import catch_warnings, simplefilter

from rchan.channel import Channel, create
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.command import Command, Ending, Mask, held_signals
from rchan.cli.options import add_geometry_to, add_name_to, geometry_of
from rchan.cli.screen import LiveLine, complain, say, shape_text, summary_lines
from rchan.errors import ChannelNotFound, RchanError, RchanWarning
from rchan.recorder import Recorder, Recording
from rchan.stats import Count

_EXAMPLES: Final = """\
examples:
  rchan record -o run1 app                       until Ctrl-C
  rchan record -o run1 app -- python job.py      until job.py ends
  rchan record --create -o run1 app -- ./job     makes the channel first

DIR gets NAME.0, NAME.1, ... (the records of buffer 0, 1, ..., without padding)
and NAME.json (geometry, times, what was recorded, what was lost and why, and
the channel's books).

COMMAND finds the channel's name in the environment variable RCHAN_CHANNEL, and
its directory in RCHAN_PARENT if --parent is given. SIGINT, SIGTERM and SIGHUP
end the recording: they are passed on to COMMAND, which is waited for; a second
SIGINT ends the waiting. All that was written before is recorded in any case.

A channel that --create made is removed at the end, if everything in it was
recorded and nobody else has it open.

exit status: 0 without COMMAND; else that of COMMAND, or 128 + the number of
the signal that ended it; of failures: see 'rchan --help'.
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "record",
        help="record a channel to files",
        usage="rchan record -o DIR [options] NAME [-- COMMAND...]",
        description="Record everything in a channel to files in DIR.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_name_to(parser)
    parser.add_argument("-o", metavar="DIR", dest="directory", required=True, help="output")
    add_geometry_to(parser)
    parser.add_argument("--fsync", action="store_true", help="sync the files at the end")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON at the end")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Record; the exit status."""
    with held_signals() as mask:
        channel = _channel(options)
        try:
            return _record(options, channel, mask)
        finally:
            _leave(channel)


def _channel(options: Namespace) -> Channel:
    try:
        return open_channel(options.name, options.parent)
    except ChannelNotFound:
        if not options.create:
            raise
        return create(options.name, options.parent, exist_ok=True, **geometry_of(options))


def _leave(channel: Channel) -> None:
    """Remove what --create made, if nothing in it is unread and nobody else has it open."""
    alone = channel.creator and channel.orphaned
    if not alone or channel.stats().total.readable != Count():
        channel.detach()
        return
    with catch_warnings():
        simplefilter("ignore", RchanWarning)  # records that were too big: the summary told of them
        channel.close()


def _record(options: Namespace, channel: Channel, mask: Mask) -> int:
    line = LiveLine(options.name, sys.stderr)
    progress = None if options.quiet else line.show
    recorder = Recorder(channel, options.directory, progress=progress, sync=options.fsync)
    try:
        command = _start(options, mask)
    except OSError as error:
        recorder.abandon()
        return _not_started(options.command[0], error)
    if not (options.quiet or line.live):
        say(f"rchan: recording {shape_text(channel)} to {options.directory}", sys.stderr)
    ending = Ending(command)
    try:
        recording = recorder.run(ending)
    except RchanError as error:
        line.clear()
        return _failed(error, options.name, ending)
    line.clear()
    return _finished(options, recording, ending)


def _start(options: Namespace, mask: Mask) -> Command | None:
    if not options.command:
        return None
    environment = {**environ, "RCHAN_CHANNEL": options.name}
    environment.pop("RCHAN_PARENT", None)
    if options.parent is not None:
        environment["RCHAN_PARENT"] = options.parent
    return Command(options.command, environment, mask)


def _not_started(command: str, error: OSError) -> int:
    if isinstance(error, FileNotFoundError):
        return complain(f"{command}: command not found", exits.NO_COMMAND)
    return complain(f"{command}: {strerror(error.errno or 0)}", exits.CANNOT_RUN)


def _failed(error: RchanError, name: str, ending: Ending) -> int:
    status = complain(f"{error}: recording ends here", exits.status_of(error))
    complain(f"what is not recorded is still in channel {name!r}: record it to another DIR", status)
    ending.wait()
    return status


def _finished(options: Namespace, recording: Recording, ending: Ending) -> int:
    if not options.quiet:
        for text in summary_lines(recording):
            say(f"rchan: {text}", sys.stderr)
    if options.json:
        sys.stdout.write(dumps(recording.summary(), indent=1) + "\n")
        sys.stdout.flush()
    if not recording.unfinished:
        return ending.status
    held = ", ".join(map(str, recording.unfinished))
    return complain(
        f"buffer {held} was held by a stopped writer or another reader: what is in it is not "
        f"recorded, but still in channel {options.name!r}",
        exits.UNFINISHED,
    )
