"""`rchan cat`: what is in a channel to standard output, consuming it."""

from argparse import ArgumentParser, Namespace
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from rchan._core import DROP_CAUSES
from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.options import add_name_to, add_printing_to, natural
from rchan.cli.parsing import add_command
from rchan.cli.screen import complain
from rchan.cli.signals import Stopping
from rchan.cli.streams import Losses, Output, by_cause, check_printable, facts_of
from rchan.errors import ChannelBusy
from rchan.reader import Reader
from rchan.stats import Stats
from rchan.taken import Lost, TakenSubbuf

_ABOUT: Final = """\
Print everything that is in a channel now, and consume it: what was printed is
gone, and its place is free for writers. A sub-buffer counts as read when its
last byte is written to standard output; what a failure cuts short stays.

What comes out is the bytes of the records one after another, without padding:
a channel keeps no boundaries between records, so text should have its newlines
('rchan write' keeps them) and binary records their lengths. Sub-buffers are
whole; those of several buffers come in the order of their first records.

A terminal gets text only: other bytes are shown as \\xNN, unless --raw. What was
lost before, between and after is said on standard error; so is what was lost
earlier, before somebody read the channel last. 'rchan tail' consumes nothing.
"""
_EXAMPLES: Final = """\
examples:
  rchan cat app
  rchan cat -f app | grep -i error          until Ctrl-C, or it is removed
  rchan cat --cpu 0 app > cpu0.bin
  rchan cat --json app | jq -r .text

JSON: an object a line, one for each sub-buffer: cpu (the buffer), seq (its
number there), records, first_ns, last_ns (CLOCK_MONOTONIC), lost (records
missing before it, by cause), and its data as text if it is UTF-8, else base64.

exit status: 0; 3: there is no such channel; 9: another reader holds the rest;
128 + signal: told to stop; 141: nobody reads the output; of other failures: see
'rchan --help'.
"""
_LOOK_AGAIN: Final = 0.25  # seconds
_FLUSH: Final = 0.2


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(subcommands, "cat", _ABOUT, _EXAMPLES, "[options] NAME")
    add_name_to(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="wait for more")
    parser.add_argument("--cpu", metavar="N", type=natural("a CPU"), help="only its buffer")
    add_printing_to(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print and consume; the exit status."""
    channel = open_channel(options.name, options.parent)
    try:
        check_printable(channel, options.json, options.raw)
        with Stopping() as stopping:
            cat = _Cat(options, channel, stopping)
            return (cat.follow() if options.follow else cat.up_to_now()) or stopping.status
    finally:
        channel.detach()


class _Cat:
    def __init__(self, options: Namespace, channel: Channel, stopping: Stopping) -> None:
        self._name = options.name
        self._channel = channel
        self._cpus = None if options.cpu is None else [options.cpu]
        self._stopping = stopping
        self._output = Output(options.json, options.raw)
        self._losses = Losses(options.quiet)
        # What was lost before somebody else's last sub-buffer is not news.
        stats = channel.stats()
        self._old = {index for index, stats in stats.items() if any(stats.consumed)}
        self._first = not self._old  # nobody has read anything of it
        self._printed: set[int] = set()

    def up_to_now(self) -> int:
        """All that is there now, also of unfinished sub-buffers; the exit status."""
        with self._reader(watermark=0.0) as reader:
            goals = self._goals()
            while goals and not self._stopping.told and (sub := reader.take(0)) is not None:
                self._print(sub)
                if sub.cpu in goals and sub.seq + 1 >= goals[sub.cpu]:
                    del goals[sub.cpu]
            self._say_losses(reader)
        left = [index for index in goals if self._channel.buffers[index].books().readable_records]
        if not left or self._stopping.told:
            return exits.OK
        held = ", ".join(map(str, left))
        return complain(
            f"buffer {held} of {self._name!r} is held by another reader or a stopped writer: "
            "the rest of it is not printed",
            exits.UNFINISHED,
        )

    def follow(self) -> int:
        """Also what comes later, until the channel is finalized; the exit status."""
        with self._reader(flush=_FLUSH) as reader:
            while not self._stopping.told:
                sub = reader.take(_LOOK_AGAIN)
                if sub is not None:
                    self._print(sub)
                elif reader.ended_by is not None:
                    break
                self._losses.say(monotonic())
            self._say_losses(reader)
        return exits.OK

    def _say_losses(self, reader: Reader) -> None:
        """At the end: also what was lost after the last sub-buffer, and before this `cat`."""
        stats = self._channel.stats()
        books: dict[str, int] = {}
        for index, lost in reader.unreported().items():
            if self._first or index in self._printed:
                self._losses.add(_records(lost))
            for cause, count in _all_lost(stats.get(index, Stats())).items():
                books[cause] = books.get(cause, 0) + count
        self._losses.say_all(books)

    def _reader(self, watermark: float = 0.1, flush: float | None = None) -> Reader:
        return self._channel.reader(
            self._cpus, in_time_order=True, watermark=watermark, flush_interval=flush
        )

    def _goals(self) -> dict[int, int]:
        """Finish what is unfinished; the number of sub-buffers of each buffer that has unread."""
        goals = {}
        for index, buffer in self._channel._buffers().items():
            if self._cpus is not None and index != self._cpus[0] % self._channel.n_buffers:
                continue
            with suppress(ChannelBusy):  # its unread rest is told at the end
                buffer._finish()
            if buffer.books().readable_bytes:
                goals[index] = buffer.subbufs_produced
        return goals

    def _print(self, sub: TakenSubbuf) -> None:
        lost = {} if sub.cpu in self._old else _records(sub.lost)
        self._old.discard(sub.cpu)
        self._printed.add(sub.cpu)
        self._losses.add(lost)
        with sub.data as data:
            self._output.put(data, facts_of(sub, lost))
        sub.release()


def _records(lost: Lost) -> dict[str, int]:
    drops = (lost.full, lost.too_big, lost.disabled, lost.contended)
    return by_cause(lost.overwritten.records, drops)


def _all_lost(stats: Stats) -> dict[str, int]:
    drops = [getattr(stats, f"dropped_{cause}") for cause in DROP_CAUSES]
    return by_cause(stats.overwritten.records, drops)
