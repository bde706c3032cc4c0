"""Where recorded bytes go: one sink per buffer."""

from os import (
    O_CLOEXEC,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_WRONLY,
    close,
    fsync,
    ftruncate,
    pwrite,
)
from os import open as os_open
from typing import Protocol

from rchan.recorder.errors import RecordingExists, RecordingFailed


class Sink(Protocol):
    """Takes the sub-buffers of one buffer, in order, without their padding."""

    def write(self, data: memoryview) -> None:
        """All of `data` or nothing of it: RecordingFailed means that the sink is as before."""

    def sync(self) -> None:
        """Make what was written survive a power cut. RecordingFailed if that cannot be said."""

    def close(self) -> None:
        """Release what the sink holds. Not an error twice."""


class FileSink:
    """A new file, private to its owner.

    directory_fd: the directory that the file is made in; path: what messages call the file.
    Raises RecordingExists, RecordingFailed.
    """

    def __init__(self, directory_fd: int, name: str, path: str) -> None:
        self.path = path
        self._length = 0
        self._fd = -1
        flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        try:
            self._fd = os_open(name, flags, 0o600, dir_fd=directory_fd)
        except FileExistsError as error:
            raise RecordingExists(f"{path} exists already: give another directory") from error
        except OSError as error:
            raise RecordingFailed.because(f"cannot make {path}", error) from error

    def write(self, data: memoryview) -> None:
        done = 0
        try:
            while done < len(data):
                with data[done:] as rest:
                    done += pwrite(self._fd, rest, self._length + done)
        except BaseException as error:
            ftruncate(self._fd, self._length)
            if isinstance(error, OSError):
                raise RecordingFailed.because(f"cannot write {self.path}", error) from error
            raise
        self._length += done

    def sync(self) -> None:
        try:
            fsync(self._fd)
        except OSError as error:
            raise RecordingFailed.because(f"cannot sync {self.path}", error) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            close(fd)
