"""rchan: the Linux kernel's relay for user space.

Many threads and processes write small records into per-CPU buffers in shared memory, and never
block; others read, poll, map or splice them.

    channel = rchan.create("app")       # one process; the others: rchan.open("app")
    channel.write(b"a record")
    rchan.RelayFile(channel.buffers[0]).read(4096)
"""

from rchan import _core, errors, relay
from rchan._core import Attachment, Books, Buffer, Reservation, Subbuf, SubbufCopy
from rchan.buffers import BufferMap
from rchan.callbacks import Callbacks, IsGlobal
from rchan.catalog import ChannelInfo, list, remove
from rchan.channel import Channel, create, open
from rchan.errors import (
    BadName,
    CallbackFailed,
    ChannelBusy,
    ChannelClosed,
    ChannelExists,
    ChannelNotFound,
    CorruptChannel,
    GeometryError,
    IncompatibleChannel,
    NoSpace,
    NoSuchBuffer,
    NotHeld,
    NotPermitted,
    RchanError,
    RchanWarning,
    SystemFailure,
    Unsupported,
    WrongType,
)
from rchan.file import RelayFile, open_file
from rchan.reader import Reader
from rchan.snapshot import Snapshot
from rchan.stats import ChannelStats, Count, Stats
from rchan.taken import Lost, TakenSubbuf
from rchan.tap import Missed, Tap

_core.set_errors(errors)


def __getattr__(name: str) -> str:
    """`__version__`, when somebody asks: finding it out takes longer than importing the rest."""
    if name != "__version__":
        raise AttributeError(f"module 'rchan' has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415

    return version("rchan")


__all__ = [
    "Attachment",
    "BadName",
    "Books",
    "Buffer",
    "BufferMap",
    "CallbackFailed",
    "Callbacks",
    "Channel",
    "ChannelBusy",
    "ChannelClosed",
    "ChannelExists",
    "ChannelInfo",
    "ChannelNotFound",
    "ChannelStats",
    "CorruptChannel",
    "Count",
    "GeometryError",
    "IncompatibleChannel",
    "IsGlobal",
    "Lost",
    "Missed",
    "NoSpace",
    "NoSuchBuffer",
    "NotHeld",
    "NotPermitted",
    "RchanError",
    "RchanWarning",
    "Reader",
    "RelayFile",
    "Reservation",
    "Snapshot",
    "Stats",
    "Subbuf",
    "SubbufCopy",
    "SystemFailure",
    "TakenSubbuf",
    "Tap",
    "Unsupported",
    "WrongType",
    "create",
    "list",
    "open",
    "open_file",
    "relay",
    "remove",
]
