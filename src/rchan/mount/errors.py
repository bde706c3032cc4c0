"""What can go wrong with a mount; each is also an RchanError."""

from errno import EEXIST, EIO

from rchan.errors import RchanError


class MountFailed(RchanError, OSError):
    """The kernel, /dev/fuse or fusermount3 did not do it; the message says what to do."""

    _number = EIO


class BadMountPoint(RchanError, ValueError):
    """Nothing can be mounted there: missing, no directory, not empty, or in the way of the root."""


class AlreadyMounted(RchanError, FileExistsError):
    """Something is mounted there already."""

    _number = EEXIST


class NotMounted(RchanError, FileNotFoundError):
    """No channels are mounted there."""
