"""`rchan flush`, `reset`, `pause`, `resume`: what can be done to a channel in one call."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, Final

from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.cli import exits
from rchan.cli.completion import near_channel
from rchan.cli.options import add_names_to
from rchan.cli.parsing import add_command
from rchan.cli.screen import complain
from rchan.errors import ChannelNotFound, RchanError


def _pause(channel: Channel) -> None:
    channel.enabled = False


def _resume(channel: Channel) -> None:
    channel.enabled = True


_STATUS: Final = """
exit status: 0; 1: a buffer was held by a stopped writer or a reader and was
left as it is (try again); 3: there is no such channel; of other failures: see
'rchan --help'. With several channels, all are tried, and the first failure
gives the status.
"""
_ACTIONS: Final[dict[str, tuple[Callable[[Channel], None], str, str]]] = {
    "flush": (
        Channel.flush,
        """\
Finish the current sub-buffer of every buffer, so that readers who take whole
sub-buffers see what is in it now. An empty one is finished, too. A full
buffer is left as it is.
""",
        """\
examples:
  rchan flush app
  rchan flush app other
""",
    ),
    "reset": (
        Channel.reset,
        """\
Empty every buffer and begin anew. What was unread is thrown away, and counts
as discarded in the books.
""",
        """\
examples:
  rchan reset app
  rchan snapshot app -o before.log && rchan reset app
""",
    ),
    "pause": (
        _pause,
        """\
Let no writer write, in any process, until 'rchan resume'. Records that come
meanwhile are dropped and counted (dropped disabled). What is there can be read.
""",
        """\
examples:
  rchan pause flight
  rchan pause flight && rchan snapshot flight -o now.log && rchan resume flight
""",
    ),
    "resume": (
        _resume,
        """\
Let writers write again after 'rchan pause'.
""",
        """\
examples:
  rchan resume flight
""",
    ),
}


def add_to(subcommands: Any) -> None:
    """Describe the four subcommands to argparse."""
    for name, (_, about, examples) in _ACTIONS.items():
        parser: ArgumentParser = add_command(
            subcommands, name, about, examples + _STATUS, "[options] NAME..."
        )
        add_names_to(parser)
        parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Do it to each of them; the exit status."""
    action = _ACTIONS[options.subcommand][0]
    if len(options.names) == 1:
        return _act(action, options.names[0], options.parent)
    status = exits.OK
    for name in options.names:
        try:
            _act(action, name, options.parent)
        except RchanError as error:
            hint = near_channel(name, options.parent) if isinstance(error, ChannelNotFound) else ""
            failed = complain(f"{error}{hint}", exits.status_of(error))
            status = status or failed
    return status


def _act(action: Callable[[Channel], None], name: str, parent: str | None) -> int:
    channel = open_channel(name, parent)
    try:
        action(channel)
    finally:
        channel.detach()
    return exits.OK
