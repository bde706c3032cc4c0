"""Whose directory is it? A recording's place is new, or its own that it goes on with."""

from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from os import fsencode, mkdir, rename, stat
from pathlib import Path
from shutil import rmtree
from time import monotonic, sleep
from typing import Final

from rchan.recorder.errors import (
    RecordingDamaged,
    RecordingExists,
    RecordingFailed,
    RecordingNotFound,
)
from rchan.recorder.place import Place
from rchan.tracefile.manifest import MANIFEST, OWN, Recording, load

_PATIENCE: Final = 5.0  # seconds that another recorder may take to make its place
_NEW: Final = ".new."  # a place in the making; the name of a dead maker's is used again
_STEM_MAX: Final = 200  # bytes: with buffer, number and suffixes it stays a file name


def stem_of(name: str) -> str:
    """What directory and files of this channel are called: never hidden, never too long."""
    stem = "_" + name[1:] if name.startswith(".") else name
    while len(fsencode(stem)) > _STEM_MAX:
        stem = stem[:-1]
    return stem


def open_output(directory: Path) -> Place:
    """The output directory, made with mode 0700 if it is missing. Raises RecordingFailed."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            directory.mkdir(0o700)
        return Place.at(directory)
    except OSError as error:
        raise RecordingFailed.because(f"cannot record to {directory}", error) from error


class Claim:
    """One channel's place in the output directory, locked.

    resumed: what the manifest there said, if it was there before.
    """

    def __init__(self, place: Place, own: Place, resumed: Recording | None) -> None:
        self.place = place
        self.own = own
        self.resumed = resumed

    def store(self, recording: Recording) -> None:
        """Put the manifest in place. Raises RecordingFailed."""
        self.own.put(MANIFEST, recording.to_json().encode())

    def abandon(self) -> None:
        """Take a new claim back: nothing was recorded."""
        self.close()
        if self.resumed is None:
            rmtree(self.place.path, ignore_errors=True)

    def close(self) -> None:
        """Let go of the directory, and so of the lock."""
        self.own.close()
        self.place.close()


def claim(output: Place, recording: Recording, append: bool) -> Claim:
    """The place of `recording`, which is to begin: its own unfinished one, or a new one.

    append: go on behind a complete one of the same channel, or beside one of another channel.
    Raises RecordingExists (nothing touched), RecordingFailed.
    """
    guard = _guarded(output)
    try:
        number = 1
        while _is_there(output, _numbered(recording.name, number + 1)):
            number += 1
        newest = _numbered(recording.name, number)
        if not _is_there(output, newest):
            return _make(output, newest, recording)
        found = _go_on(output, newest, recording, append)
        return found or _make(output, _numbered(recording.name, number + 1), recording)
    except OSError as error:
        if isinstance(error, RecordingExists | RecordingFailed):
            raise
        raise RecordingFailed.because(f"cannot record to {output.path}", error) from error
    finally:
        guard.close()


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}~{number}"


def _is_there(output: Place, name: str) -> bool:
    try:
        stat(name, dir_fd=output.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _guarded(output: Place) -> Place:
    """Only one recorder at a time looks for its place. The lock goes with the descriptor."""
    guard = Place.at(output.path)
    deadline = monotonic() + _PATIENCE
    while True:
        try:
            flock(guard.fd, LOCK_EX | LOCK_NB)
            return guard
        except BlockingIOError as error:
            if monotonic() > deadline:
                guard.close()
                message = f"{output.path} is being changed by another recorder"
                raise RecordingExists(message) from error
            sleep(0.01)


def _make(output: Place, name: str, recording: Recording) -> Claim:
    """Filled under another name, so that nobody ever sees a place without a manifest."""
    fresh = _NEW + name
    rmtree(output.path / fresh, ignore_errors=True)
    mkdir(fresh, 0o700, dir_fd=output.fd)
    place = output.below(fresh)
    own = place.below(OWN, make=True)
    made = Claim(place, own, None)
    try:
        flock(own.fd, LOCK_EX | LOCK_NB)
        made.store(recording)
        rename(fresh, name, src_dir_fd=output.fd, dst_dir_fd=output.fd)
    except BaseException:
        made.close()
        rmtree(output.path / fresh, ignore_errors=True)
        raise
    place.path, own.path = output.path / name, output.path / name / OWN
    return made


def _go_on(output: Place, name: str, recording: Recording, append: bool) -> Claim | None:
    """The place that is there, if it may be gone on with; None: make another beside it."""
    where = output.path / name
    try:
        before = load(where)
    except (RecordingNotFound, RecordingDamaged) as error:
        raise RecordingExists(
            f"{where} is there already, and is no recording that can be gone on with: "
            "give another directory"
        ) from error
    wanted = recording.channel, recording.geometry.created
    same = (before.channel, before.geometry.created) == wanted
    if not append and (not same or before.state == "complete"):
        _refuse(where, before, same)
    if not same:
        return None
    place = output.below(name)
    found = Claim(place, place.below(OWN), before)
    try:
        _lock(found, before)
    except BaseException:
        found.close()
        raise
    return found


def _lock(found: Claim, before: Recording) -> None:
    try:
        flock(found.own.fd, LOCK_EX | LOCK_NB)
    except BlockingIOError as error:
        raise RecordingExists(
            f"{found.place.path} is being written by another recorder "
            f"(process {before.recorder_pid}): give another directory"
        ) from error


def _refuse(where: Path, before: Recording, same: bool) -> None:
    what = "a complete recording" if before.state == "complete" else "an unfinished recording"
    whose = "of this channel" if same else f"of an earlier channel {before.channel!r}"
    raise RecordingExists(
        f"{where} already holds {what} {whose}: give another directory, or append to it (--append)"
    )


__all__ = ["Claim", "claim", "open_output", "stem_of"]
