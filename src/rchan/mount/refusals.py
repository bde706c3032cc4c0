"""Which errno a client gets for which failure."""

import errno
import traceback
from collections.abc import Callable
from typing import Final

from rchan.errors import (
    BadName,
    ChannelBusy,
    ChannelClosed,
    ChannelExists,
    ChannelNotFound,
    CorruptChannel,
    GeometryError,
    NoSpace,
    NoSuchBuffer,
    NotPermitted,
    RchanError,
    Unsupported,
    WrongType,
)
from rchan.mount.protocol import Malformed

_NUMBERS: Final[tuple[tuple[type[RchanError], int], ...]] = (
    (Malformed, errno.EINVAL),
    (ChannelNotFound, errno.ENOENT),
    (ChannelExists, errno.EEXIST),
    (CorruptChannel, errno.EIO),
    (NotPermitted, errno.EACCES),
    (ChannelBusy, errno.EBUSY),
    (ChannelClosed, errno.EBADF),
    (NoSuchBuffer, errno.EINVAL),
    (NoSpace, errno.ENOSPC),
    (BadName, errno.EINVAL),
    (GeometryError, errno.EINVAL),
    (WrongType, errno.EINVAL),
    (Unsupported, errno.EOPNOTSUPP),
)
_WORTH_TELLING: Final = (CorruptChannel, Malformed)


def number_of(error: Exception, report: Callable[[str], None]) -> int:
    """The errno for a failure. What an administrator should know of is reported, in one line."""
    if isinstance(error, _WORTH_TELLING):
        report(str(error))
    if isinstance(error, RchanError):
        fallback = getattr(error, "errno", None) or errno.EIO
        return next((n for kind, n in _NUMBERS if isinstance(error, kind)), fallback)
    if isinstance(error, OSError) and error.errno:
        return error.errno
    report("internal error: " + "".join(traceback.format_exception(error)))
    return errno.EIO
