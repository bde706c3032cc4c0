"""What can go wrong with a recording, apart from the channel itself."""

from errno import EEXIST, EIO, ENOENT
from os import strerror

from rchan.errors import RchanError


class RecordingExists(RchanError, FileExistsError):
    """The directory already holds a recording of that name; nothing was touched."""

    _number = EEXIST


class RecordingNotFound(RchanError, FileNotFoundError):
    """There is no manifest of that name."""

    _number = ENOENT


class RecordingDamaged(RchanError, ValueError):
    """The manifest is not one, or is of another version."""


class RecordingFailed(RchanError, OSError):
    """The output cannot be written (no space, an I/O error, …); `errno` says why.

    What was written before stays in the files, whole sub-buffers only. Everything else is
    still in the channel: record it again into another directory.
    """

    _number = EIO

    @classmethod
    def because(cls, what: str, error: OSError) -> "RecordingFailed":
        """The failure to do `what`, with the number and words of the system's error."""
        number = error.errno or EIO
        failure = cls(f"{what}: {strerror(number)}")
        failure.errno = number
        return failure
