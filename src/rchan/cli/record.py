"""`rchan record`: channels to files, until told to stop or until a command ends."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from json import dumps
from os import environ, strerror
from re import fullmatch
from time import monotonic
from typing import Any, Final
from warnings import catch_warnings, simplefilter

from rchan.channel import Channel, create
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.command import Command, Ending, Mask, held_signals
from rchan.cli.options import add_geometry_to, add_parent_to, duration, geometry_of
from rchan.cli.screen import (
    LiveLine,
    amount_text,
    complain,
    duration_text,
    lost_text,
    parse_size,
    say,
    shape_text,
    summary_lines,
)
from rchan.errors import ChannelNotFound, RchanError, RchanWarning
from rchan.recorder import (
    FileOptions,
    Limits,
    Manager,
    Notice,
    Options,
    Progress,
    Recorder,
    Recordings,
    Rotation,
)
from rchan.stats import Count

_PLAIN: Final = 10.0  # seconds between two lines about progress where there is no terminal

_EXAMPLES: Final = """\
examples:
  rchan record -o run1 app                       until Ctrl-C
  rchan record -o run1 app -- python job.py      until job.py ends
  rchan record --create -o run1 app -- ./job     makes the channel first
  rchan record -o all --watch 'web-*'            also those that appear later
  rchan record -o box --rotate-size 64M --keep 8 app    a flight recorder

DIR gets a directory for each channel: DIR/NAME/NAME.0, NAME.1, ... (what was
in buffer 0, 1, ..., without padding), and NAME/.rchan with the manifest
(geometry, times, what was recorded, what was lost and why, the books) and an
index of all sub-buffers. 'rchan verify DIR' checks it, and 'rchan merge' puts
it into one file by time.

Run again after it was killed, it goes on where it was: nothing is missing,
nothing is there twice. With a complete recording it only goes on if --append
says so. While the disk is full or fails nothing is consumed; it goes on when
there is room.

SIGINT and SIGTERM end the recording after what was written before is recorded.
SIGHUP begins new files; from a terminal that goes away it ends the recording.
With COMMAND the first two are passed on to it, and it is waited for; a second
SIGINT ends the waiting. COMMAND finds the (first) channel's name in the
environment variable RCHAN_CHANNEL, and its directory in RCHAN_PARENT if
--parent is given. Under systemd (Type=notify) the manager is told when
recording has begun.

A channel that --create made is removed at the end, if everything in it was
recorded and nobody else has it open.

exit status: 0 without COMMAND; else that of COMMAND, or 128 + the number of
the signal that ended it; of failures: see 'rchan --help'.
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "record",
        help="record channels to files",
        usage="rchan record -o DIR [options] CHANNEL... [-- COMMAND...]",
        description="Record everything in channels to files in DIR.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", metavar="CHANNEL", nargs="+", help="a name, or a pattern such as 'web-*'"
    )
    add_parent_to(parser)
    parser.add_argument("-o", metavar="DIR", dest="directory", required=True, help="output")
    _add_ending_to(parser)
    _add_files_to(parser)
    add_geometry_to(parser)
    parser.add_argument(
        "--quiet", action="store_true", help="no progress, no summary; only what is wrong"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON at the end")
    parser.set_defaults(run=run)


def _add_ending_to(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("what, and until when")
    group.add_argument(
        "--watch", action="store_true", help="also channels that appear later; wait for them"
    )
    group.add_argument(
        "--append", action="store_true", help="go on with a recording that is complete"
    )
    group.add_argument(
        "--until-empty", action="store_true", help="record what is there now, and end"
    )
    group.add_argument(
        "--stop-after",
        metavar="LIMIT",
        type=_limits,
        default=Limits(),
        help="30s, 5min, 2h; 500M, 2G; 10000records",
    )
    group.add_argument(
        "--flush-every",
        metavar="TIME",
        type=duration,
        help="record an unfinished sub-buffer after so long, such as 1s",
    )


def _add_files_to(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("files")
    group.add_argument(
        "--rotate-size", metavar="SIZE", type=_size, help="begin a new file at this size"
    )
    group.add_argument(
        "--rotate-time", metavar="TIME", type=duration, help="begin a new file at this age"
    )
    group.add_argument(
        "--rotate-subbufs", metavar="N", type=_count, help="begin a new file after N sub-buffers"
    )
    group.add_argument(
        "--keep", metavar="N", type=_count, help="keep the newest N files of each buffer"
    )
    group.add_argument(
        "--zstd",
        metavar="LEVEL",
        type=int,
        nargs="?",
        const=3,
        help="compress; default level 3 (wants rchan[zstd] before Python 3.14)",
    )
    group.add_argument("--no-checksum", action="store_true", help="no CRC-32C of each sub-buffer")
    group.add_argument(
        "--keep-padding", action="store_true", help="every sub-buffer takes its full size"
    )
    group.add_argument(
        "--ctf2", action="store_true", help="events: CTF 2 metadata, too, in .metadata.ctf2"
    )
    group.add_argument("--fsync", action="store_true", help="sync the files at the end")


def _size(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    if not size:
        raise ArgumentTypeError("a size of 0 is none")
    return size


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _limits(text: str) -> Limits:
    """30s, 5min, 2h, 1d: time; 500, 4K, 2G: bytes; 1000records."""
    records = fullmatch(r"(\d+)\s*(?:r|records?)", text.strip())
    if records and int(records[1]):
        return Limits(records=int(records[1]))
    if fullmatch(r"[\d.]+\s*(ms|s|min|h|d)", text.strip()):
        return Limits(seconds=duration(text))
    try:
        return Limits(bytes=_size(text))
    except ArgumentTypeError as error:
        raise ArgumentTypeError(
            f"{text!r} is not a time (30s), a size (500M) or a number of records (1000records)"
        ) from error


def run(options: Namespace) -> int:
    """Record; the exit status."""
    with held_signals() as mask:
        made = _create_missing(options) if options.create else []
        try:
            return _record(options, made, mask)
        finally:
            for channel in made:
                _leave(channel)


def _create_missing(options: Namespace) -> list[Channel]:
    """Handles on the channels that are to be there."""
    made = []
    for name in options.names:
        try:
            open_channel(name, options.parent).detach()
        except ChannelNotFound:
            made.append(create(name, options.parent, exist_ok=True, **geometry_of(options)))
    return made


def _leave(channel: Channel) -> None:
    """Remove what --create made, if nothing in it is unread and nobody else has it open."""
    alone = channel.creator and channel.orphaned
    if not alone or channel.stats().total.readable != Count():
        channel.detach()
        return
    with catch_warnings():
        simplefilter("ignore", RchanWarning)  # records that were too big: the summary told of them
        channel.close()


def _options(options: Namespace) -> Options:
    return Options(
        files=FileOptions(
            checksum=not options.no_checksum,
            keep_padding=options.keep_padding,
            compression=None if options.zstd is None else "zstd",
            level=options.zstd or 3,
            ctf2=options.ctf2,
        ),
        rotation=Rotation(
            options.rotate_size, options.rotate_time, options.rotate_subbufs, options.keep
        ),
        limits=options.stop_after,
        flush_every=options.flush_every,
        until_empty=options.until_empty and not options.command,
        watch=options.watch,
        append=options.append,
        sync=options.fsync,
    )


class _Screen:
    """What people and the service manager are told while it runs."""

    def __init__(self, label: str, quiet: bool, directory: str) -> None:
        self._line = LiveLine(label, sys.stderr)
        self._quiet = quiet
        self._directory = directory
        self._manager = Manager()
        self._plain_at = monotonic() + _PLAIN

    def begin(self, channels: list[Channel]) -> None:
        if not (self._quiet or self._line.live):
            for channel in channels:
                say(f"rchan: recording {shape_text(channel)} to {self._directory}", sys.stderr)
            if not channels:
                say("rchan: waiting for channels", sys.stderr)
        self._manager.tell("READY=1")

    def progress(self, progress: Progress) -> None:
        text = (
            f"{duration_text(progress.seconds)}: {progress.records:,} records, "
            f"{amount_text(progress.bytes)}, {lost_text(progress.lost)}"
        )
        self._manager.alive()
        self._manager.status(progress.stalled or f"recording, {lost_text(progress.lost)}")
        if self._quiet:
            return
        self._line.show(progress)
        if not self._line.live and monotonic() >= self._plain_at:
            self._plain_at = monotonic() + _PLAIN
            say(f"rchan: {text}", sys.stderr)

    def notice(self, text: Notice) -> None:
        if self._quiet and not text.trouble:
            return
        self._line.clear()
        say(f"rchan: {text}", sys.stderr)

    def clear(self) -> None:
        self._manager.tell("STOPPING=1")
        self._line.clear()


def _record(options: Namespace, made: list[Channel], mask: Mask) -> int:
    screen = _Screen(options.names[0], options.quiet, options.directory)
    recorder = Recorder(
        options.names,
        options.directory,
        parent=options.parent,
        options=_options(options),
        progress=screen.progress,
        notice=screen.notice,
    )
    try:
        command = _start(options, mask)
    except OSError as error:
        recorder.abandon()
        return _not_started(options.command[0], error)
    screen.begin(recorder.channels)
    ending = Ending(command, recorder.rotate)
    try:
        recordings = recorder.run(ending)
    except RchanError as error:
        screen.clear()
        return _failed(error, options, ending)
    screen.clear()
    return _finished(options, recordings, ending)


def _start(options: Namespace, mask: Mask) -> Command | None:
    if not options.command:
        return None
    environment = {**environ, "RCHAN_CHANNEL": options.names[0]}
    environment.pop("RCHAN_PARENT", None)
    environment.pop("NOTIFY_SOCKET", None)
    if options.parent is not None:
        environment["RCHAN_PARENT"] = options.parent
    return Command(options.command, environment, mask)


def _not_started(command: str, error: OSError) -> int:
    if isinstance(error, FileNotFoundError):
        return complain(f"{command}: command not found", exits.NO_COMMAND)
    return complain(f"{command}: {strerror(error.errno or 0)}", exits.CANNOT_RUN)


def _failed(error: RchanError, options: Namespace, ending: Ending) -> int:
    status = complain(f"{error}: recording ends here", exits.status_of(error))
    complain("what is not recorded is still in the channel: run it again to go on", status)
    ending.wait()
    return status


def _finished(options: Namespace, recordings: Recordings, ending: Ending) -> int:
    if not options.quiet:
        for recording in recordings:
            for text in summary_lines(recording):
                say(f"rchan: {text}", sys.stderr)
    if options.json:
        values = [recording.summary() for recording in recordings]
        sys.stdout.write(
            dumps({"reason": recordings.reason, "recordings": values}, indent=1) + "\n"
        )
        sys.stdout.flush()
    for recording in recordings:
        if recording.unfinished:
            held = ", ".join(map(str, recording.unfinished))
            return complain(
                f"buffer {held} was held by a stopped writer or another reader: what is in it is "
                f"not recorded, but still in channel {recording.channel!r}",
                exits.UNFINISHED,
            )
    return ending.status
