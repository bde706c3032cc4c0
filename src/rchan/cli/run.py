"""`rchan run`: a program, and what all its Python processes log, in a trace."""

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EEXIST
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
from rchan.channel import Channel, create_for_events
from rchan.cli import exits
from rchan.cli.command import Command, Mask
from rchan.cli.options import add_shape_to, shape_of
from rchan.cli.parsing import add_command
from rchan.cli.screen import complain, say
from rchan.clients.launch import Death, Watch, environment
from rchan.cpus import default_n_buffers
from rchan.errors import ChannelExists, ChannelNotFound
from rchan.events import ctf
from rchan.events.clock import choose
from rchan.recorder import Recorder, Recording

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
  rchan events trace                                  read it
  babeltrace2 trace                                   the same

DIR gets a recording, as of 'rchan record', which is a trace in the Common
Trace Format; with --overwrite, a trace for each death: snapshot-1, snapshot-2.
Without -o it is called rchan-run-DATE-TIME. 'rchan verify DIR' checks it.

If rchan itself is killed, COMMAND goes on, what was recorded is there, and the
rest waits in the channel: 'rchan record -o DIR run-PID' goes on with it.

COMMAND can write events of its own: RCHAN_CHANNEL has the channel's name,
RCHAN_PARENT its directory. Signals that can be passed on are passed on to it.
Python processes that are started with -I, -E or -S, or with an environment of
their own, are not recorded. When COMMAND has ended, so has the recording.

exit status: that of COMMAND, or 128 + the number of the signal that ended it;
of failures before it was started: see 'rchan --help'.
"""
_TICK: Final = 0.02  # seconds between two looks at COMMAND, when nothing is recorded
_MOST_SNAPSHOTS: Final = 100
_NAMES: Final = 1000  # of channels of processes with the same number
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
    try:
        return _run(options, directory)
    finally:
        with suppress(OSError):
            directory.rmdir()  # if there is nothing in it


def _run(options: Namespace, directory: Path) -> int:
    with ExitStack() as stack:
        channel = _new_channel(shape_of(options, default_n_buffers()))
        stack.callback(channel.detach)
        leave = stack.enter_context(ExitStack())
        leave.callback(_remove, channel)
        watch = recorder = None
        if options.overwrite:
            watch = stack.enter_context(Watch())
        else:
            recorder = Recorder(channel, directory, notice=_notice)
        mask = stack.enter_context(_signals_held())
        try:
            command = Command(options.command, environment(channel, watch, os.environ), mask)
        except OSError as error:
            if recorder is not None:
                recorder.abandon()
            return _not_started(options.command[0], error)
        failed = _recorded(options, command, recorder, directory, watch, channel)
        if failed and recorder is not None:
            leave.pop_all()  # what is not recorded is in the channel
        while not _over(command):
            time.sleep(_TICK)
        return command.poll() or exits.OK


def _new_channel(shape: dict[str, Any]) -> Channel:
    """Never one that is there: a process of another container may have our number, or a killed one
    may have had it.
    """
    first = f"run-{os.getpid()}"
    for name in (first, *(f"{first}-{number}" for number in range(2, _NAMES))):
        with suppress(ChannelExists):
            return create_for_events(name, None, **shape, mode=0o600, stamps=choose("auto"))
    raise ChannelExists(EEXIST, f"{first} and all names like it are taken: remove some (rchan rm)")


def _remove(channel: Channel) -> None:
    with suppress(ChannelNotFound):
        remove(str(channel.name), channel.directory)


def _notice(text: str) -> None:
    say(f"rchan: {text}", sys.stderr)


def _not_started(name: str, error: OSError) -> int:
    if isinstance(error, FileNotFoundError):
        return complain(f"{name}: command not found", exits.NO_COMMAND)
    return complain(f"{name}: {os.strerror(error.errno or 0)}", exits.CANNOT_RUN)


def _recorded(
    options: Namespace,
    command: Command,
    recorder: Recorder | None,
    directory: Path,
    watch: Watch | None,
    channel: Channel,
) -> bool:
    """Until the program has ended. True: that failed; the program goes on all the same."""
    try:
        if watch is not None:
            _watch(options, channel, directory, watch, command)
        elif recorder is not None:
            (done,) = recorder.run(lambda: _over(command))
            _conclude(options, done, directory)
    except Exception as error:
        complain(f"{error}: recording ends here", exits.RECORDING_FAILED)
        if recorder is not None:
            words = f"rchan record -o {directory} {channel.name}"
            _notice(f"what is not recorded is still in the channel: {words}")
        return True
    return False


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


def _conclude(options: Namespace, done: Recording, directory: Path) -> None:
    lost = sum(count.records for count in done.lost.values())
    if not options.quiet:
        say(
            f"rchan: {done.records:,} events in {directory}"
            + (f"; {lost:,} were dropped: give a larger --size" if lost else ""),
            sys.stderr,
        )
    if done.unfinished:
        held = ", ".join(map(str, done.unfinished))
        _notice(f"buffer {held} was held by a stopped process: its last events are not recorded")
