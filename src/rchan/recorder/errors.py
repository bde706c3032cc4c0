"""What can go wrong with a recording, apart from the channel itself."""

from errno import EEXIST, EIO
from os import strerror

from rchan.errors import RchanError
from rchan.tracefile.errors import RecordingDamaged, RecordingNotFound

__all__ = ["RecordingDamaged", "RecordingExists", "RecordingFailed", "RecordingNotFound"]


class RecordingExists(RchanError, FileExistsError):
    """The directory already holds another recording of that name; nothing was touched."""

    _number = EEXIST


class RecordingFailed(RchanError, OSError):
    """The output cannot be written (no space, an I/O error, …); `errno` says why.

    What was written before stays in the files, whole sub-buffers only. Everything else is
    still in the channel: record again into the same directory, and it goes on there.
    """

    _number = EIO

    @classmethod
    def because(cls, what: str, error: OSError) -> "RecordingFailed":
        """The failure to do `what`, with the number and words of the system's error."""
        number = error.errno or EIO
        failure = cls(f"{what}: {strerror(number)}")
        failure.errno = number
        return failure
