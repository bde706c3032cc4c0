"""One directory of a recording: everything in it is opened by its descriptor, never by path."""

from contextlib import suppress
from os import (
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    close,
    fsync,
    getpid,
    listdir,
    mkdir,
    replace,
    unlink,
    write,
)
from os import open as os_open
from pathlib import Path

from rchan.recorder.errors import RecordingExists, RecordingFailed

_NEW = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC


class Place:
    """An open directory; path is what messages call it."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    @classmethod
    def at(cls, path: Path) -> "Place":
        """The directory of this path. Raises OSError."""
        return cls(os_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path)

    def below(self, name: str, make: bool = False) -> "Place":
        """A directory in it. Raises OSError."""
        if make:
            with suppress(FileExistsError):
                mkdir(name, 0o700, dir_fd=self.fd)
        flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        return Place(os_open(name, flags, dir_fd=self.fd), self.path / name)

    def make(self, name: str) -> int:
        """A new file, private to its owner. Raises RecordingExists, RecordingFailed."""
        try:
            return os_open(name, _NEW, 0o600, dir_fd=self.fd)
        except FileExistsError as error:
            raise RecordingExists(f"{self.path / name} exists already") from error
        except OSError as error:
            raise RecordingFailed.because(f"cannot make {self.path / name}", error) from error

    def open(self, name: str) -> int:
        """A file that is there, or a new one. Raises RecordingFailed."""
        flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC
        try:
            return os_open(name, flags, 0o600, dir_fd=self.fd)
        except OSError as error:
            raise RecordingFailed.because(f"cannot open {self.path / name}", error) from error

    def names(self) -> list[str]:
        """What is in it, sorted."""
        return sorted(listdir(self.fd))

    def remove(self, name: str) -> None:
        """A file, if it is there."""
        with suppress(FileNotFoundError):
            unlink(name, dir_fd=self.fd)

    def put(self, name: str, data: bytes) -> None:
        """Put a file in place, at once and for good: nobody ever sees anything but a whole one.

        Raises RecordingFailed; then the old one stands.
        """
        fresh = f".{name}.{getpid()}"
        try:
            self._write(fresh, data)
            replace(fresh, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            fsync(self.fd)
        except OSError as error:
            with suppress(OSError):
                self.remove(fresh)
            raise RecordingFailed.because(f"cannot write {self.path / name}", error) from error

    def _write(self, name: str, data: bytes) -> None:
        flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC
        fd = os_open(name, flags, 0o600, dir_fd=self.fd)
        try:
            done = 0
            while done < len(data):
                done += write(fd, data[done:])
            fsync(fd)
        finally:
            close(fd)

    def close(self) -> None:
        """Let go of it. A second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            close(fd)
