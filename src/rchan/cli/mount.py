"""`rchan mount`: the channels of a directory as files."""

import os
import sys
import syslog
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Any, Final

from rchan.cli import exits
from rchan.cli.options import check_seconds
from rchan.cli.screen import say
from rchan.mount import DEFAULT_TIMEOUT, Mount

_TEXT: Final = """\
Every channel NAME is there as NAME0, NAME1, ... (one buffer each, read by cat,
dd, tail -f, poll, mmap, ...), NAME.stat (its books), NAME.info (its geometry)
and NAME.ctl, to which flush, reset, pause, resume or 'consumed CPU N' can be
written. Directories are directories; mkdir and rmdir make and remove them.

examples:
  rchan mount /mnt/relay
  cat /mnt/relay/app0
  echo flush > /mnt/relay/app.ctl
  rchan umount /mnt/relay

It goes on in the background until 'rchan umount' or SIGTERM.

exit status: 0: it is mounted (with --foreground: it was, and ended as it was
told); 2: that cannot be a mount point; 5: it is one already; 6: not permitted;
of other failures: see 'rchan --help'.
"""
_PIPE_READY: Final = b"R"


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = subcommands.add_parser(
        "mount",
        help="show the channels as files",
        description="Mount the channels of a directory as files (relayfs).",
        epilog=_TEXT,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("point", metavar="MOUNTPOINT", help="an empty directory")
    parser.add_argument(
        "--root", metavar="DIR", help="its channels; relative: below the default directory"
    )
    parser.add_argument("--foreground", action="store_true", help="stay, until Ctrl-C")
    parser.add_argument(
        "--allow-other", action="store_true", help="other users may use it, as far as modes allow"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=check_seconds,
        default=DEFAULT_TIMEOUT,
        help="clients wait no longer for a server that hangs; 0: for ever "
        f"(default {DEFAULT_TIMEOUT})",
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Mount and serve, here or in the background; the exit status."""
    mounted = Mount(
        options.point,
        options.root,
        allow_other=options.allow_other,
        timeout=options.timeout,
        report=_Log(_aloud if options.foreground else _to_syslog),
    )
    if options.foreground:
        mounted.stop_at_signals()
        mounted.serve(lambda: _aloud(f"{mounted.root} is mounted at {mounted.point}"))
        return exits.OK
    return _in_background(mounted)


class _Log:
    """Says each thing once, not at every request."""

    def __init__(self, say: Any) -> None:
        self._say = say
        self._last = ""

    def __call__(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self._say(text)


def _aloud(text: str) -> None:
    say(f"rchan: {text}", sys.stderr)


def _to_syslog(text: str) -> None:
    syslog.syslog(syslog.LOG_WARNING, text)


def _in_background(mounted: Mount) -> int:
    """Serve in a child that nobody waits for; come back when clients can use the mount."""
    ready, say_ready = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = exits.FAILURE
        try:
            os.close(ready)
            _leave_terminal()
            mounted.stop_at_signals()
            mounted.serve(lambda: _tell(say_ready))
            status = exits.OK
        except Exception as error:
            _to_syslog(f"the mount at {mounted.point} ended: {error!r}")
        finally:
            os._exit(status)
    os.close(say_ready)
    mounted.forget()
    with os.fdopen(ready, "rb") as answer:
        if answer.read(1) == _PIPE_READY:
            return exits.OK
    return exits.FAILURE


def _leave_terminal() -> None:
    os.setsid()
    os.chdir("/")
    syslog.openlog("rchan", syslog.LOG_PID)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


def _tell(fd: int) -> None:
    os.write(fd, _PIPE_READY)
    os.close(fd)
