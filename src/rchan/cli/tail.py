"""`rchan tail`: the end of a channel to standard output, consuming nothing."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final

from rchan._core import SubbufCopy
from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.options import add_name_to, add_printing_to, natural, size
from rchan.cli.parsing import add_command
from rchan.cli.signals import Stopping
from rchan.cli.streams import Losses, Output, check_printable, facts_of, lost_before
from rchan.snapshot import Snapshot

_ABOUT: Final = """\
Print the last lines of a channel, and with -f what is written from then on.
Nothing is consumed, and no writer or reader notices: any number of them can
look at a channel at once, and at any moment.

Everything that is still in memory counts, also what was read already, and also
the unfinished sub-buffers. What comes out is the bytes of the records one after
another, as with 'rchan cat'. With several buffers, whole sub-buffers come in
the order of their first records, and with -f, what is new in each buffer about
ten times a second.

A terminal gets text only: other bytes are shown as \\xNN, unless --raw. What was
overwritten before it could be printed is said on standard error.
"""
_EXAMPLES: Final = """\
examples:
  rchan tail flight                    the last 10 lines
  rchan tail -n 100 flight
  rchan tail -n 0 -f flight            only what comes from now on
  rchan tail -c 4K --raw app | xxd     the last 4096 bytes
  rchan tail --json -n 1 app           the newest sub-buffer

With --json, -n counts sub-buffers.

JSON: an object a line: cpu (the buffer),
seq (its number there), offset (where in the sub-buffer the data begins),
records (in the sub-buffer so far), first_ns, last_ns (CLOCK_MONOTONIC), finished,
lost (records missing before it, by cause), and its data as text if it is UTF-8,
else base64.

exit status: 0, with -f also when the channel was removed or finalized; 3: there
is no such channel; 128 + signal: told to stop; 141: nobody reads the output;
of other failures: see 'rchan --help'.
"""
_TICK: Final = 0.1  # seconds between two looks at unfinished sub-buffers
_LINES: Final = 10


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(subcommands, "tail", _ABOUT, _EXAMPLES, "[options] NAME")
    add_name_to(parser)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "-n", "--lines", metavar="N", type=natural("lines"), default=_LINES, help="default 10"
    )
    amount.add_argument("-c", "--bytes", metavar="SIZE", type=size, help="so many bytes instead")
    amount.add_argument("--all", action="store_true", help="everything that is there")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    add_printing_to(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print; the exit status."""
    channel = open_channel(options.name, options.parent)
    try:
        check_printable(channel, options.json, options.raw)
        with Stopping() as stopping:
            tail = _Tail(options, channel)
            if options.follow:
                tail.follow(stopping)
            return stopping.status
    finally:
        channel.detach()


class _Tail:
    """Prints the end at once, then follows."""

    def __init__(self, options: Namespace, channel: Channel) -> None:
        self._channel = channel
        self._output = Output(options.json, options.raw)
        self._losses = Losses(options.quiet)
        # The tap is there before the snapshot, so that nothing falls between them.
        self._tap = channel.tap(start="now") if options.follow else None
        # buffer -> (which sub-buffer, how many bytes of it) is the last that was printed
        self._printed: dict[int, tuple[tuple[int, int], int]] = {}
        snapshot = channel.snapshot()
        for copy in snapshot:  # of one buffer in their order
            self._printed[copy.cpu] = ((copy.first_ns, copy.seq), copy.length)
        for copy, begin in self._wanted(options, snapshot):
            self._put(copy, begin)

    def _wanted(self, options: Namespace, snapshot: Snapshot) -> Iterator[tuple[SubbufCopy, int]]:
        """Copies, and where in each the wanted end begins."""
        if options.all:
            return ((copy, 0) for copy in snapshot)
        if options.bytes is not None:
            return _last_bytes(snapshot, options.bytes)
        if options.json:
            return ((copy, 0) for copy in snapshot[len(snapshot) - options.lines :])
        return _last_lines(snapshot, options.lines)

    def follow(self, stopping: Stopping) -> int:
        """What is new, until the channel is finalized or we are told to stop."""
        assert self._tap is not None
        while not stopping.told:
            ended = self._channel.finalized
            news = [*self._finished(), *self._unfinished()]
            for copy in sorted(news, key=lambda copy: copy.first_ns):
                self._print_new(copy)
            self._losses.say(monotonic())
            if ended:
                break
            self._tap._wait(_TICK)
        self._losses.say()
        return exits.OK

    def _finished(self) -> Iterator[SubbufCopy]:
        assert self._tap is not None
        while (copy := self._tap.poll()) is not None:
            self._losses.add(lost_before(copy))
            yield copy

    def _unfinished(self) -> Iterator[SubbufCopy]:
        for buffer in self._channel._buffers().values():
            tap = buffer.tap("now")
            tap.cut()
            while (copy := tap.next()) is not None:
                yield copy

    def _print_new(self, copy: SubbufCopy) -> None:
        which = (copy.first_ns, copy.seq)  # grows with every sub-buffer, also over a reset
        last, done = self._printed.get(copy.cpu, ((-1, -1), 0))
        begin = done if which == last else 0
        if which < last or copy.length <= begin:
            return
        self._printed[copy.cpu] = (which, copy.length)
        self._put(copy, begin)

    def _put(self, copy: SubbufCopy, begin: int) -> None:
        facts = facts_of(copy, lost_before(copy))
        facts |= {"offset": begin, "finished": copy.finished}
        with copy.data[begin:] as data:
            self._output.put(data, facts)


def _last_bytes(snapshot: Snapshot, count: int) -> Iterator[tuple[SubbufCopy, int]]:
    skip = max(0, snapshot.size - count)
    for copy in snapshot:
        if skip < copy.length:
            yield copy, skip
        skip = max(0, skip - copy.length)


def _last_lines(snapshot: Snapshot, count: int) -> Iterator[tuple[SubbufCopy, int]]:
    """Back from the end, as far as the newline before the first line that is wanted."""
    found: list[tuple[SubbufCopy, int]] = []
    at_end = True
    for copy in reversed(snapshot):
        if not count:
            break
        data = bytes(copy.data)
        end = len(data)
        if at_end and data:
            at_end = False
            end -= data.endswith(b"\n")
        begin = end
        while count and begin >= 0:
            begin = data.rfind(b"\n", 0, begin)
            count -= begin >= 0
        found.append((copy, begin + 1))
    return reversed(found)
