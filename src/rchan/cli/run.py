"""`rchan run`: a program, and what all its Python processes log, in a trace."""

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import (
    SIG_BLOCK,
    SIG_SETMASK,
    SIGALRM,
    SIGCONT,
    SIGHUP,
    SIGINT,
    SIGQUIT,
    SIGTERM,
    SIGTTIN,
    SIGTTOU,
    SIGUSR1,
    SIGUSR2,
    SIGWINCH,
    pthread_sigmask,
    sigtimedwait,
)
from typing import Any, Final

from rchan.catalog import remove
from rchan.channel import Channel
from rchan.cli import exits
from rchan.cli.command import Command, Mask
from rchan.cli.options import add_shape_to, shape_of
from rchan.cli.parsing import add_command
from rchan.cli.screen import complain, say
from rchan.clients.launch import Death, Watch, environment
from rchan.cpus import default_n_buffers
from rchan.errors import ChannelBusy, ChannelNotFound
from rchan.events import Tracer, ctf
from rchan.taken import TakenSubbuf

_ABOUT: Final = """\
Run COMMAND and record what it and all Python processes that it starts (by fork,
spawn or subprocess) have to say, as events in one trace: every log record,
uncaught exceptions, warnings, garbage collections. COMMAND needs no change and
knows nothing of it; its own logging goes on as it is.

With --overwrite only the newest events are kept, in memory, and DIR gets a
snapshot whenever a process dies of a signal or of an uncaught exception.
"""
_EXAMPLES: Final = """\
examples:
  rchan run -- python app.py                          record all of it
  rchan run -o trace -- gunicorn -w 4 app:app         also programs in Python
  rchan run --overwrite --size 64M -- python job.py   only what led to a crash
  babeltrace2 trace                                   read it

DIR is a trace in the Common Trace Format; with --overwrite it has one in
snapshot-1, snapshot-2, ... for each death. Without -o it is called
rchan-run-DATE-TIME.

COMMAND can write events of its own: RCHAN_CHANNEL has the channel's name,
RCHAN_PARENT its directory. Signals that can be passed on are passed on to it.
Python processes that are started with -I, -E or -S, or with an environment of
their own, are not recorded. When COMMAND has ended, so has the recording.

exit status: that of COMMAND, or 128 + the number of the signal that ended it;
of failures before it was started: see 'rchan --help'.
"""
_TICK: Final = 0.02
_MOST_SNAPSHOTS: Final = 100
_PASSED: Final = frozenset(
    {
        *(SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT),
        *(SIGTTIN, SIGTTOU, SIGWINCH),
    }
)
_SI_KERNEL: Final = 0x80  # sent by the terminal: COMMAND has had it from there, too


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    parser: ArgumentParser = add_command(
        subcommands, "run", _ABOUT, _EXAMPLES, "[-o DIR] [options] -- COMMAND..."
    )
    parser.add_argument("-o", metavar="DIR", dest="directory", help="output: a new directory")
    add_shape_to(parser, "one per CPU")
    parser.add_argument("--quiet", action="store_true", help="no summary")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Run and record; the exit status."""
    if not options.command:
        return complain("there is no COMMAND: write it after --", exits.USAGE)
    directory = Path(options.directory or time.strftime("rchan-run-%Y%m%d-%H%M%S"))
    try:
        directory.mkdir(0o700, parents=True)
    except FileExistsError:
        return complain(f"{directory}: exists already", exits.EXISTS)
    except OSError as error:
        return complain(f"{directory}: {os.strerror(error.errno or 0)}", exits.RECORDING_FAILED)
    name = f"run-{os.getpid()}"
    try:
        with ExitStack() as stack:
            tracer = stack.enter_context(Tracer(name, **shape_of(options, default_n_buffers())))
            stack.callback(_remove, tracer.channel)
            watch = stack.enter_context(Watch()) if options.overwrite else None
            return _run(options, tracer.channel, directory, watch)
    finally:
        with suppress(OSError):
            directory.rmdir()  # if there is nothing in it


def _remove(channel: Channel) -> None:
    with suppress(ChannelNotFound):
        remove(str(channel.name), channel.directory)


def _run(options: Namespace, channel: Channel, directory: Path, watch: Watch | None) -> int:
    with _signals_held() as mask:
        try:
            command = Command(options.command, environment(channel, watch, os.environ), mask)
        except FileNotFoundError:
            return complain(f"{options.command[0]}: command not found", exits.NO_COMMAND)
        except OSError as error:
            words = os.strerror(error.errno or 0)
            return complain(f"{options.command[0]}: {words}", exits.CANNOT_RUN)
        failure = None
        try:
            if watch is None:
                record_trace(channel, directory, lambda: _over(command))
            else:
                _watch(options, channel, directory, watch, command)
        except Exception as error:  # the program goes on all the same
            failure = error
            complain(f"{error}: recording ends here", exits.RECORDING_FAILED)
        while not _over(command):
            time.sleep(_TICK)
        if failure is None and not options.quiet and watch is None:
            _conclude(channel, directory)
        return command.poll() or exits.OK


@contextmanager
def _signals_held() -> Iterator[Mask]:
    """They wait to be passed on. Gives the mask as it was, for the program."""
    before = pthread_sigmask(SIG_BLOCK, _PASSED)
    try:
        yield before
    finally:
        while sigtimedwait(_PASSED, 0) is not None:
            pass
        pthread_sigmask(SIG_SETMASK, before)


def _over(command: Command) -> bool:
    """Has it ended? Passes on what signals have come."""
    while (info := sigtimedwait(_PASSED, 0)) is not None:
        if info.si_code != _SI_KERNEL:
            command.send(info.si_signo)
    return command.poll() is not None


def record_trace(channel: Channel, directory: Path, over: Callable[[], bool]) -> None:
    """Drain the channel into a trace directory, until `over()` and then to the end."""
    ctf.write_trace(channel, directory, _packets(channel, over))


def _packets(channel: Channel, over: Callable[[], bool]) -> Iterator[TakenSubbuf]:
    while True:
        last = over()
        if last:
            with suppress(ChannelBusy):  # a writer that was stopped in the middle: all but its own
                channel.flush()
        with channel.reader(timeout=0 if last else _TICK) as reader:
            yield from reader
        if last:
            return


def _watch(
    options: Namespace, channel: Channel, directory: Path, watch: Watch, command: Command
) -> None:
    """A snapshot at each death, until the program has ended."""
    written = 0
    while True:
        over = _over(command)  # before the look: what died before, is found by it
        deaths = watch.wait(0 if over else _TICK)
        if deaths and written < _MOST_SNAPSHOTS:
            written += 1
            where = ctf.write_trace(channel, directory / f"snapshot-{written}")
            if not options.quiet:
                say(f"rchan: {_words(deaths)}: {where}", sys.stderr)
        if over and not deaths:
            return


def _words(deaths: list[Death]) -> str:
    words = {"killed": "was killed", "exception": "raised what nobody caught"}
    return ", ".join(f"process {death.pid} {words[death.why]}" for death in deaths)


def _conclude(channel: Channel, directory: Path) -> None:
    total = channel.stats().total
    lost = total.dropped.records
    say(
        f"rchan: {total.consumed.records:,} events in {directory}"
        + (f"; {lost:,} were dropped: give a larger --size" if lost else ""),
        sys.stderr,
    )
