"""`rchan snapshot`: what is in a channel to a file, consuming nothing."""

import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from dataclasses import dataclass, field
from errno import EEXIST
from pathlib import Path
from tempfile import mkstemp
from time import monotonic
from typing import Any, Final

from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.options import add_json_to, add_name_to
from rchan.cli.parsing import add_command
from rchan.cli.screen import LiveLine, Step, amount_text, complain, many, print_json, say
from rchan.cli.streams import write_all
from rchan.snapshot import Snapshot

_ABOUT: Final = """\
Copy everything that a channel holds at this moment to a file: the oldest first,
also what was read already, and also the unfinished sub-buffers. Nothing is
consumed, and no writer is stopped or slowed: what to do with a flight recorder
after something went wrong, while everything goes on.

Each buffer is cut at one moment, all before the first byte is copied. FILE gets
the bytes of the records one after another, without padding, as 'rchan cat'
prints them; sub-buffers of several buffers in the order of their first records.

FILE appears when it is whole, mode 0600; one that is there is not touched,
unless --force. '-' is standard output.
"""
_EXAMPLES: Final = """\
examples:
  rchan snapshot flight -o crash.log
  rchan snapshot flight -o - | zstd > crash.log.zst
  rchan snapshot --unread app -o rest.bin      what no reader has had yet

JSON: name, file, subbufs, records, bytes, missed (subbufs, records and bytes
that were there and were overwritten before they were copied), books (as
'rchan stat --json' has them: total and buffers), seconds.

exit status: 0; 3: there is no such channel; 5: FILE exists; 8: FILE cannot be
written; 141: nobody reads the output; of other failures: see 'rchan --help'.
"""
_BLINK: Final = 0.2  # seconds


@dataclass(slots=True)
class _Progress:
    began: float = field(default_factory=monotonic)
    records: int = 0
    bytes: int = 0
    shown: float = -_BLINK

    @property
    def seconds(self) -> float:
        return monotonic() - self.began


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(
        subcommands, "snapshot", _ABOUT, _EXAMPLES, "-o FILE [options] NAME"
    )
    add_name_to(parser)
    parser.add_argument("-o", metavar="FILE", dest="file", required=True, help="output; -: stdout")
    parser.add_argument("--unread", action="store_true", help="leave out what was read already")
    parser.add_argument("--force", action="store_true", help="take the place of a FILE")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_json_to(parser, "print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Copy; the exit status."""
    to_stdout = options.file == "-"
    if to_stdout and options.json:
        return complain("--json and -o - both want standard output", exits.USAGE)
    if not to_stdout and not options.force and os.path.lexists(options.file):
        return complain(f"{options.file}: exists already (--force replaces it)", exits.EXISTS)
    progress = _Progress()
    channel = open_channel(options.name, options.parent)
    try:
        snapshot = channel.snapshot(start="unread" if options.unread else "oldest")
    finally:
        channel.detach()
    if to_stdout:
        sys.stdout.flush()
        _write(1, snapshot, progress, None)
    else:
        line = None if options.quiet else LiveLine(options.name, sys.stderr)
        try:
            _write_file(options.file, options.force, snapshot, progress, line)
        except FileExistsError:
            return complain(f"{options.file}: exists already (--force replaces it)", exits.EXISTS)
        except OSError as error:
            words = os.strerror(error.errno or 0)
            return complain(f"{options.file}: {words}", exits.RECORDING_FAILED)
        finally:
            if line is not None:
                line.clear()
    _conclude(options, snapshot, progress)
    return exits.OK


def _write_file(
    file: str, force: bool, snapshot: Snapshot, progress: _Progress, line: LiveLine | None
) -> None:
    """All or nothing: under another name first."""
    fd, name = mkstemp(prefix=f"{Path(file).name}.part-", dir=Path(file).parent)
    part = Path(name)
    try:
        try:
            _write(fd, snapshot, progress, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        _rename(part, file, force)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _rename(part: Path, file: str, force: bool) -> None:
    if not force:
        try:
            os.link(part, file)
            return
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(file):
                raise FileExistsError(EEXIST, os.strerror(EEXIST), file) from None
    os.replace(part, file)


def _write(fd: int, snapshot: Snapshot, progress: _Progress, line: LiveLine | None) -> None:
    for copy in snapshot:
        write_all(fd, copy.data)
        progress.records += copy.records
        progress.bytes += copy.length
        if line is not None and progress.seconds - progress.shown >= _BLINK:
            progress.shown = progress.seconds
            line.show(Step(progress.seconds, progress.records, progress.bytes, {}))


def _conclude(options: Namespace, snapshot: Snapshot, progress: _Progress) -> None:
    if options.json:
        print_json(
            {
                "name": options.name,
                "file": options.file,
                "subbufs": len(snapshot),
                "records": snapshot.records,
                "bytes": snapshot.size,
                "missed": snapshot.missed._asdict(),
                "books": snapshot.books.as_dict(),
                "seconds": round(progress.seconds, 3),
            }
        )
    if options.quiet:
        return
    missed = snapshot.missed.records
    say(
        f"rchan: {many(snapshot.records, 'record')}, {amount_text(snapshot.size)}, of "
        f"{options.name!r} in {options.file}"
        + (f"; {missed:,} were overwritten before they were copied" if missed else ""),
        sys.stderr,
    )
