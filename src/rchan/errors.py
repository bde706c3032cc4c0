"""The errors: one base, and each is also the builtin exception that it resembles."""

import errno as _errno
from typing import ClassVar, cast


class RchanError(Exception):
    """Base of all errors of rchan. `str()` is a sentence that names the thing and the remedy."""

    _number: ClassVar[int | None] = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        error = cast(object, self)
        if isinstance(error, OSError):
            error.errno = error.errno or self._number

    def __str__(self) -> str:
        return str(self.args[-1]) if self.args else ""


class ChannelExists(RchanError, FileExistsError):
    """A channel, or a file, of this name is there already."""

    _number = _errno.EEXIST


class ChannelNotFound(RchanError, FileNotFoundError):
    """There is no channel, buffer file or directory of this name."""

    _number = _errno.ENOENT


class CorruptChannel(RchanError, ValueError):
    """The shared memory holds what no rchan wrote there: damaged, truncated or foreign."""


class IncompatibleChannel(CorruptChannel):
    """A channel of another version of the layout or of another byte order."""


class NotPermitted(RchanError, PermissionError):
    """The operating system, or rchan's care for whose directory it is, forbids it."""

    _number = _errno.EACCES


class NoSpace(RchanError, OSError):
    """The file system cannot hold the channel; the message says how much there is."""

    _number = _errno.ENOSPC


class GeometryError(RchanError, ValueError):
    """A size or number that no channel can have, or another one than the channel has."""


class BadName(RchanError, ValueError):
    """Not a name for a channel or a directory."""


class ChannelClosed(RchanError, ValueError):
    """This handle, or file, was closed before."""


class NotHeld(RchanError, ValueError):
    """A sub-buffer that is not, or no longer, in this reader's hand."""


class ChannelBusy(RchanError, TimeoutError):
    """Somebody held a buffer for longer than is waited for."""

    _number = _errno.ETIMEDOUT


class CallbackFailed(RchanError, RuntimeError):
    """A callback refused, or raised (that was reported through `sys.unraisablehook`)."""


class NoSuchBuffer(RchanError, IndexError):
    """A CPU number that the machine cannot have, or one whose buffer does not exist."""


class Unsupported(RchanError, OSError):
    """The kernel or the file system lacks something that rchan needs here."""

    _number = _errno.EOPNOTSUPP


class WrongChannel(RchanError, ValueError):
    """A channel of the other kind: typed events, or plain records."""


class FieldError(RchanError, ValueError):
    """A value that a field of an event cannot hold, or a field that no event can have."""


class DamagedPacket(RchanError, ValueError):
    """Bytes that are no packet of events, or not a whole one."""


class SchemaError(RchanError, ValueError):
    """An event type that cannot be: its name, its fields, or that it is one too many."""


class SchemaConflict(SchemaError):
    """Two different event types of one name in one channel."""


class SpanActive(RchanError, RuntimeError):
    """A span that is entered twice, or left without having been entered."""


class WrongType(RchanError, TypeError):
    """An argument of the wrong type."""


class SystemFailure(RchanError, OSError):
    """A system call failed in a way that has no name of its own here."""


class RchanWarning(UserWarning):
    """Something was lost that the program should know about, such as records that were too big."""
