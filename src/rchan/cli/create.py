"""`rchan create`: a channel, before anybody writes."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any, Final

from rchan.channel import create
from rchan.cli import exits
from rchan.cli.options import add_json_to, add_name_to, add_shape_to, shape_of
from rchan.cli.parsing import add_command
from rchan.cli.screen import print_json
from rchan.cpus import default_n_buffers

_ABOUT: Final = """\
Make a channel, with nobody attached to it: any process can open it by its
name, write and read. Its memory is taken at once, so that a full file system
is an error here and not later.

A channel has buffers, one for each CPU; a buffer is a circle of sub-buffers.
Say how big it is to be by --size, or exactly by the other three. When a buffer
is full, later records are dropped and counted; with --overwrite the oldest
sub-buffer is (a flight recorder). A record is never longer than a sub-buffer.

Only your own processes can use it. With --group, everybody in that group can:
it is made in /dev/shm/rchan-group-NUMBER, or in a directory of that group, and
the others give --group, or RCHAN_GROUP in their environment, too.
"""
_EXAMPLES: Final = """\
examples:
  rchan create app                               8 x 256K for each CPU
  rchan create flight --overwrite --size 64M     keep the newest 64 MiB
  rchan create log --n-buffers 1 --size 1M       one buffer: one order
  rchan create app --exist-ok --json             there already? fine; show it
  rchan create app --group team                  for all members of group team

JSON: name, path (of its control file), subbuf_size, n_subbufs, n_buffers,
overwrite.

exit status: 0, or 5: it exists already (with --exist-ok: with another
geometry, 2); 7: no memory left; of other failures: see 'rchan --help'.
"""


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(subcommands, "create", _ABOUT, _EXAMPLES, "[options] NAME")
    add_name_to(parser)
    add_shape_to(parser, "one per CPU")
    parser.add_argument(
        "--mode", type=_mode, default=0o600, help="permission bits of its files: 600 at least"
    )
    parser.add_argument("--exist-ok", action="store_true", help="it may be there already")
    add_json_to(parser, "print what was made as JSON")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Make it; the exit status."""
    shape = shape_of(options, default_n_buffers())
    channel = create(
        options.name, options.parent, mode=options.mode, exist_ok=options.exist_ok, **shape
    )
    try:
        if options.json:
            keys = ("name", "path", "subbuf_size", "n_subbufs", "n_buffers", "overwrite")
            print_json({key: getattr(channel, key) for key in keys})
    finally:
        channel.detach()
    return exits.OK


def _mode(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an octal number such as 600") from None
