"""What can be wrong with a recording that is to be read."""

from errno import ENOENT

from rchan.errors import RchanError


class RecordingNotFound(RchanError, FileNotFoundError):
    """There is no recording there."""

    _number = ENOENT


class RecordingDamaged(RchanError, ValueError):
    """The manifest is not one, or is of another version."""
