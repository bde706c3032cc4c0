"""`rchan write`: standard input into a channel."""

import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from dataclasses import dataclass, field
from errno import EIO
from mmap import mmap
from time import monotonic
from typing import Any, Final

from rchan.channel import Channel, create
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.framing import PREFIXES, Blocks, Framing, Lines, Prefixed
from rchan.cli.options import add_json_to, add_name_to, add_shape_to, shape_of, size
from rchan.cli.parsing import add_command
from rchan.cli.screen import (
    LiveLine,
    Step,
    amount_text,
    complain,
    many,
    name_text,
    print_json,
    say,
)
from rchan.cli.signals import Stopping
from rchan.cli.streams import write_all
from rchan.errors import ChannelBusy, ChannelExists, ChannelNotFound, GeometryError
from rchan.stats import Count

_ABOUT: Final = """\
Write standard input into a channel, record by record as it comes. By default
a record is a line with its newline, so that what is read later is the text that
was written. A line longer than a sub-buffer is stored in pieces, and said.

It never waits for readers: what does not fit is dropped and counted, or, in a
channel made with --overwrite, takes the place of what is oldest. So with
'2>&1 | rchan write NAME --overwrite --size 64M' any program has a flight
recorder that is never bigger than that.

Without --create or a shape, the channel must be there. One that is made here
has one buffer (all lines in one order) unless --n-buffers says otherwise, and
stays until 'rchan rm'. One that is there already is used as it is.

At the end of the input the last sub-buffer is finished, for readers to see.
The first Ctrl-C is left to the program before us in the pipe: what it says
last is still stored; a second one ends at once. SIGTERM and SIGHUP end it when
all that was read is stored. If the channel is removed meanwhile, the input is
read to its end all the same, so that the program before us goes on.
"""
_EXAMPLES: Final = """\
examples:
  make 2>&1 | rchan write build --overwrite --size 1M --tee
  ./server 2>&1 | rchan write flight --overwrite --size 64M
  rchan write samples --create --blocks 64 < samples.bin
  rchan write messages --prefixed u32le < messages.bin

--prefixed says how the length of a record is written before it; it does not
count itself. The prefix is stored with the record, so that what is read later
can be taken apart the same way; with --no-prefix only the record is.

JSON: name, records, bytes (that were stored), dropped (records and bytes), cut
(lines stored in pieces), remarks (what was not as it should be), seconds.

exit status: 0, also if records were dropped, unless --strict; 10: the input
ends inside a record, or with --strict: a record was dropped or cut; 11: the
channel was removed or finalized meanwhile; 3: there is no such channel;
128 + signal: told to stop; of other failures: see 'rchan --help'.
"""
_CHUNK: Final = 1 << 18
_BLINK: Final = 0.2  # seconds between two live lines


@dataclass(slots=True)
class _Tally:
    """What became of the input so far."""

    began: float
    records: int = 0
    bytes: int = 0
    dropped: Count = field(default_factory=Count)
    shown: float = -_BLINK  # when the live line was written last: the first one comes at once
    remarks: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return monotonic() - self.began

    def step(self) -> Step:
        """For the live line."""
        return Step(self.seconds, self.records, self.bytes, {"dropped": self.dropped})


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(
        subcommands, "write", _ABOUT, _EXAMPLES, "[options] NAME < INPUT"
    )
    add_name_to(parser)
    framing = parser.add_argument_group("what a record is").add_mutually_exclusive_group()
    framing.add_argument("--lines", action="store_true", help="a line with its newline (default)")
    framing.add_argument("--blocks", metavar="SIZE", type=size, help="so many bytes")
    framing.add_argument(
        "--prefixed", metavar="KIND", choices=PREFIXES, help=f"one of {', '.join(PREFIXES)}"
    )
    shape = parser.add_argument_group("if the channel does not exist")
    shape.add_argument("--create", action="store_true", help="make it (any of these does)")
    add_shape_to(shape, "1")
    parser.add_argument("--no-prefix", action="store_true", help="do not store the prefix")
    parser.add_argument("--tee", action="store_true", help="copy the input to standard output")
    parser.add_argument("--strict", action="store_true", help="status 10 if something was lost")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_json_to(parser, "print the summary as JSON at the end")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Write; the exit status."""
    if options.json and options.tee:
        return complain("--json and --tee both want standard output", exits.USAGE)
    channel = _channel(options)
    try:
        framing = _framing(options, channel.subbuf_size)
        with Stopping(patient=not os.isatty(0)) as stopping:
            try:
                tally = _pump(options, channel, framing, stopping)
            finally:
                _finish(channel)
        return _conclude(options, channel, framing, tally) or stopping.status
    finally:
        channel.detach()


def _channel(options: Namespace) -> Channel:
    try:
        return open_channel(options.name, options.parent)
    except ChannelNotFound as error:
        shaped = (options.size, options.subbuf_size, options.n_subbufs, options.n_buffers)
        if not (options.create or options.overwrite or any(x is not None for x in shaped)):
            raise ChannelNotFound(f"{error}; --create makes it") from None
        try:
            return create(options.name, options.parent, **shape_of(options, 1))
        except ChannelExists:  # somebody was quicker
            return open_channel(options.name, options.parent)


def _framing(options: Namespace, subbuf_size: int) -> Framing:
    if options.prefixed:
        return Prefixed(options.prefixed, subbuf_size, keep=not options.no_prefix)
    if options.no_prefix:
        raise GeometryError("--no-prefix is for --prefixed")
    if options.blocks is None:
        return Lines(subbuf_size)
    if not 1 <= options.blocks <= subbuf_size:
        raise GeometryError(
            f"--blocks {options.blocks}: a record has 1 to {subbuf_size:,} bytes, which is the "
            f"size of a sub-buffer of channel {options.name!r}"
        )
    return Blocks(options.blocks)


def _pump(options: Namespace, channel: Channel, framing: Framing, stopping: Stopping) -> _Tally:
    """All of the input, until it ends or we are told to stop."""
    tally = _Tally(monotonic())
    line = LiveLine(options.name, sys.stderr)
    line.live = line.live and not (options.quiet or options.tee or os.isatty(0))
    said_ended = options.quiet
    with suppress(KeyboardInterrupt):
        while stopping.wait_for(0) and (chunk := _read(stopping)):
            _store(channel, framing.feed(chunk), tally)
            _drop_too_long(channel, framing, tally)
            if options.tee:
                write_all(1, chunk)
            if line.live and tally.seconds - tally.shown >= _BLINK:
                tally.shown = tally.seconds
                line.show(tally.step())
            if channel.finalized and not said_ended:
                said_ended = True
                say(f"rchan: channel {options.name!r} was removed: the rest is dropped", sys.stderr)
    _store(channel, framing.end(), tally)
    line.clear()
    tally.remarks = framing.remarks()
    return tally


def _read(stopping: Stopping) -> bytes:
    # Ctrl-C empties a terminal's line: what looked readable would make us wait for another.
    stopping.raising = os.isatty(0)
    try:
        return os.read(0, _CHUNK)
    except OSError as error:
        if error.errno == EIO:  # the terminal has gone away: that is the end
            return b""
        raise OSError(error.errno, os.strerror(error.errno or 0), "standard input") from error
    finally:
        stopping.raising = False


def _store(channel: Channel, records: list[bytes], tally: _Tally) -> None:
    write = channel.write
    refused = [record for record in records if not write(record)]
    size = sum(map(len, records))
    if refused:
        lost = Count(len(refused), sum(map(len, refused)))
        tally.dropped = tally.dropped.plus(lost)
        size -= lost.bytes
    tally.records += len(records) - len(refused)
    tally.bytes += size


def _drop_too_long(channel: Channel, framing: Framing, tally: _Tally) -> None:
    """So that they are in the channel's books, too. Not one byte of these is ever touched."""
    for length in framing.too_long():
        tally.dropped = tally.dropped.plus(Count(1, length))
        with suppress(OSError, OverflowError, ValueError), mmap(-1, length) as untouched:
            channel.write(untouched)


def _finish(channel: Channel) -> None:
    for buffer in channel._buffers().values():
        with suppress(ChannelBusy):  # another writer is at it: it will finish it
            buffer._finish()


def _conclude(options: Namespace, channel: Channel, framing: Framing, tally: _Tally) -> int:
    ended = channel.finalized
    dropped = tally.dropped.records
    if options.json:
        print_json(
            {
                "name": options.name,
                "records": tally.records,
                "bytes": tally.bytes,
                "dropped": tally.dropped._asdict(),
                "cut": framing.cut,
                "remarks": tally.remarks,
                "seconds": round(tally.seconds, 3),
            }
        )
    if not options.quiet:
        why = "" if not dropped else f" ({_why(channel)})"
        say(
            f"rchan: wrote {many(tally.records, 'record')}, {amount_text(tally.bytes)}, to "
            f"{name_text(options.name)}; dropped {dropped:,}{why}",
            sys.stderr,
        )
        for remark in tally.remarks:
            say(f"rchan: {remark}", sys.stderr)
    if ended:
        return exits.ENDED
    if framing.broken or (options.strict and (dropped or framing.cut)):
        return exits.BAD_INPUT
    return exits.OK


def _why(channel: Channel) -> str:
    if channel.finalized:
        return "the channel was removed or finalized"
    return "the channel is paused" if not channel.enabled else "too big, or the channel was full"
