"""rchan: the Linux kernel's relay for user space.

Many threads and processes write small records into per-CPU buffers in shared memory, and never
block; others read, poll, map or splice them.

    channel = rchan.create("app")       # one process; the others: rchan.open("app")
    channel.write(b"a record")
    rchan.RelayFile(channel.buffers[0]).read(4096)
"""

from importlib.metadata import version as _version

from rchan import _core, errors, relay
from rchan._core import Attachment, Books, Buffer, Event, Reservation, Span, Subbuf, SubbufCopy
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
    DamagedPacket,
    FieldError,
    GeometryError,
    IncompatibleChannel,
    NoSpace,
    NoSuchBuffer,
    NotHeld,
    NotPermitted,
    RchanError,
    RchanWarning,
    SchemaConflict,
    SchemaError,
    SpanActive,
    SystemFailure,
    Unsupported,
    WrongChannel,
    WrongType,
)
from rchan.events import Tracer
from rchan.events.types import (
    array,
    bool,
    bytes,
    enum,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    string,
    text,
    u8,
    u16,
    u32,
    u64,
)
from rchan.file import RelayFile, open_file
from rchan.reader import Reader
from rchan.snapshot import Snapshot
from rchan.stats import ChannelStats, Count, Stats
from rchan.taken import Lost, TakenSubbuf
from rchan.tap import Missed, Tap

__version__ = _version("rchan")

_core.set_errors(errors)

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
    "DamagedPacket",
    "Event",
    "FieldError",
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
    "SchemaConflict",
    "SchemaError",
    "Snapshot",
    "Span",
    "SpanActive",
    "Stats",
    "Subbuf",
    "SubbufCopy",
    "SystemFailure",
    "TakenSubbuf",
    "Tap",
    "Tracer",
    "Unsupported",
    "WrongChannel",
    "WrongType",
    "array",
    "bool",
    "bytes",
    "create",
    "enum",
    "f32",
    "f64",
    "i8",
    "i16",
    "i32",
    "i64",
    "list",
    "open",
    "open_file",
    "relay",
    "remove",
    "string",
    "text",
    "u8",
    "u16",
    "u32",
    "u64",
]
