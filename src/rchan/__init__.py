"""rchan: the Linux kernel's relay for user space.

Many threads and processes write small records into per-CPU buffers in shared memory, and never
block; others read, poll, map or splice them.

    channel = rchan.create("app")       # one process; the others: rchan.open("app")
    channel.write(b"a record")
    rchan.RelayFile(channel.buffers[0]).read(4096)
"""

import builtins as _builtins
import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from rchan import _core, errors
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

if _TYPE_CHECKING:
    from rchan import clients as clients
    from rchan import events as events
    from rchan import relay
    from rchan._core import Attachment, Books, Buffer, Event, Reservation, Span, Subbuf, SubbufCopy
    from rchan.buffers import BufferMap
    from rchan.callbacks import Callbacks, IsGlobal
    from rchan.catalog import ChannelInfo, list, remove
    from rchan.channel import Channel, create, open
    from rchan.clients import Installed, LogHandler, install
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

__version__ = _core.VERSION
"""Of this package: the one of meson.build, which the extension was compiled with."""

_core.set_errors(errors)

# What comes from where. It is imported when it is first asked for: `import rchan` alone takes a
# third of the time, and a program, such as the command `rchan`, waits only for what it uses.
_MODULES = {
    "_core": (
        "Attachment",
        "Books",
        "Buffer",
        "Event",
        "Reservation",
        "Span",
        "Subbuf",
        "SubbufCopy",
    ),
    "buffers": ("BufferMap",),
    "callbacks": ("Callbacks", "IsGlobal"),
    "catalog": ("ChannelInfo", "list", "remove"),
    "channel": ("Channel", "create", "open"),
    "clients": ("Installed", "LogHandler", "install"),
    "events": ("Tracer",),
    "events.types": (
        *("array", "bool", "bytes", "enum", "f32", "f64", "i8", "i16", "i32", "i64"),
        *("string", "text", "u8", "u16", "u32", "u64"),
    ),
    "file": ("RelayFile", "open_file"),
    "reader": ("Reader",),
    "snapshot": ("Snapshot",),
    "stats": ("ChannelStats", "Count", "Stats"),
    "taken": ("Lost", "TakenSubbuf"),
    "tap": ("Missed", "Tap"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not _TYPE_CHECKING:  # which is to say that there is no rchan.Chanel

    def __getattr__(name: str) -> object:
        if name in _MODULE_OF:
            found = getattr(_import_module(f"rchan.{_MODULE_OF[name]}"), name)
            globals()[name] = found
            return found
        if not name.startswith("_"):
            try:
                return _import_module(f"rchan.{name}")
            except ModuleNotFoundError:
                pass
        message = f"module 'rchan' has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=_sys.modules[__name__])


def __dir__() -> "_builtins.list[str]":
    return sorted({*globals(), *__all__})


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
    "Installed",
    "IsGlobal",
    "LogHandler",
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
    "install",
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
