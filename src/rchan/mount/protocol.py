"""The kernel's FUSE protocol: numbers, structures and messages, as far as the mount speaks it.

From the kernel's user-space interface, <linux/fuse.h>. Offsets in a request count from its body.
"""

import os
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, pack
from typing import Final

from rchan.errors import RchanError
from rchan.mount.entries import Entry


class Op(IntEnum):
    """Requests that are known by name; all others are refused with ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    BATCH_FORGET = 42
    FALLOCATE = 43
    RENAME2 = 45
    TMPFILE = 51


MAJOR: Final = 7
MINOR: Final = 40  # the first with passthrough
OLDEST_MINOR: Final = 31
REQUEST_MAX: Final = 8192  # the kernel wants room for so much, and max_write is less
MAX_WRITE: Final = 4096
MAX_PAGES: Final = 256  # 1 MiB a READ
ROOT_ID: Final = 1

# INIT flags
ASYNC_READ: Final = 1 << 0
PARALLEL_DIROPS: Final = 1 << 18
ABORT_ERROR: Final = 1 << 21
PAGES: Final = 1 << 22
INIT_EXT: Final = 1 << 30
PASSTHROUGH: Final = 1 << 37
REQUEST_TIMEOUT: Final = 1 << 42

# OPEN reply
FOPEN_DIRECT_IO: Final = 1 << 0
FOPEN_NONSEEKABLE: Final = 1 << 2
FOPEN_STREAM: Final = 1 << 4
FOPEN_NOFLUSH: Final = 1 << 5
FOPEN_PASSTHROUGH: Final = 1 << 7

GETATTR_FH: Final = 1 << 0
READ_LOCKOWNER: Final = 1 << 1  # absent: the page cache reads, and may throw away what it gets
POLL_SCHEDULE_NOTIFY: Final = 1 << 0
SETATTR_SIZE: Final = 1 << 3
SETATTR_FH: Final = 1 << 6
SETATTR_LOCKOWNER: Final = 1 << 9

BACKING_OPEN: Final = 0x4010E501
BACKING_CLOSE: Final = 0x4004E502

IN_HEADER: Final = Struct("<IIQQIIIHH")
OUT_HEADER: Final = Struct("<IiQ")
_INIT_IN: Final = Struct("<IIIII")
_INIT_OUT: Final = Struct("<IIIIHHIIHHIIH22x")
_GETATTR_IN: Final = Struct("<IIQ")
_SETATTR_IN: Final = Struct("<IIQQ")
_OPEN_IN: Final = Struct("<II")
_OPEN_OUT: Final = Struct("<QIi")
READ_IN: Final = Struct("<QQIIQII")
WRITE_IN: Final = Struct("<QQIIQII")
_WRITE_OUT: Final = Struct("<II")
_RELEASE_IN: Final = Struct("<Q")
POLL_IN: Final = Struct("<QQII")
_POLL_OUT: Final = Struct("<II")
_GETXATTR_IN: Final = Struct("<II")
_FORGET_IN: Final = Struct("<Q")
_BATCH_IN: Final = Struct("<II")
_FORGET_ONE: Final = Struct("<QQ")
_ATTR: Final = Struct("<QQQQQQIIIIIIIIII")
_ENTRY_OUT: Final = Struct("<QQQQII")
_ATTR_OUT: Final = Struct("<QII")
_DIRENT: Final = Struct("<QQII")
_STATFS: Final = Struct("<QQQQQIIII24x")
BACKING_MAP: Final = Struct("<iIQ")
KH: Final = Struct("<Q")
_BLOCK: Final = 512
_NS: Final = 10**9


class Malformed(RchanError, ValueError):
    """A request that is shorter or other than it says."""


@dataclass(slots=True)
class Request:
    """A request as it came, its body a copy."""

    op: int
    unique: int
    node: int
    pid: int
    body: bytes

    def fields(self, layout: Struct) -> tuple[int, ...]:
        """The numbers at the start of the body. Raises Malformed."""
        if len(self.body) < layout.size:
            raise Malformed(f"request {self.op} has {len(self.body)} bytes, not {layout.size}")
        return layout.unpack_from(self.body)

    def name(self, start: int = 0) -> str:
        """The name at the end of the body. Raises Malformed."""
        name, end, _ = self.body[start:].partition(b"\0")
        if not end or not name or b"/" in name:
            raise Malformed(f"request {self.op} has no name")
        return os.fsdecode(name)


def decode(message: bytearray | bytes, length: int) -> Request:
    """The request in the first `length` bytes. Raises Malformed."""
    if length < IN_HEADER.size:
        raise Malformed(f"a request of {length} bytes has no header")
    size, op, unique, node, _uid, _gid, pid, _extra, _ = IN_HEADER.unpack_from(message)
    if size != length:
        raise Malformed(f"a request of {length} bytes says that it has {size}")
    return Request(op, unique, node, pid, bytes(memoryview(message)[IN_HEADER.size : length]))


def reply(unique: int, payload: bytes = b"") -> bytes:
    """A successful answer."""
    return OUT_HEADER.pack(OUT_HEADER.size + len(payload), 0, unique) + payload


def reply_head(unique: int, length: int) -> bytes:
    """The head of a successful answer of so many bytes."""
    return OUT_HEADER.pack(OUT_HEADER.size + length, 0, unique)


def reply_error(unique: int, number: int) -> bytes:
    """An answer that is an errno."""
    return OUT_HEADER.pack(OUT_HEADER.size, -number, unique)


def init_fields(request: Request) -> tuple[int, int, int, int]:
    """Major and minor version, readahead, all flags."""
    major, minor, readahead, flags, more = request.fields(_INIT_IN)
    return major, minor, readahead, flags | (more << 32 if flags & INIT_EXT else 0)


def init_reply(minor: int, readahead: int, flags: int, timeout: int) -> bytes:
    """The INIT answer. timeout: seconds that the kernel waits for any answer; 0: for ever."""
    depth = 1 if flags & PASSTHROUGH else 0
    low, high = flags & 0xFFFFFFFF, flags >> 32
    background, congested, grain = 16, 12, 1
    return _INIT_OUT.pack(
        *(MAJOR, min(minor, MINOR), readahead, low, background, congested),
        *(MAX_WRITE, grain, MAX_PAGES, 0, high, depth, timeout),
    )


def attributes(entry: Entry, size: int, changed_ns: int) -> bytes:
    """struct fuse_attr."""
    found = entry.found
    seconds, rest = divmod(changed_ns, _NS)
    links = found.st_nlink if entry.found.st_nlink and entry.kind.value == 1 else 1
    return _ATTR.pack(
        *(entry.inode, size, -(-size // _BLOCK), seconds, seconds, seconds, rest, rest, rest),
        *(entry.mode, links, found.st_uid, found.st_gid, 0, entry.block_size, 0),
    )


def entry_reply(node: int, attrs: bytes) -> bytes:
    """struct fuse_entry_out; nothing of it may be kept."""
    return _ENTRY_OUT.pack(node, 0, 0, 0, 0, 0) + attrs


def attr_reply(attrs: bytes) -> bytes:
    """struct fuse_attr_out; nothing of it may be kept."""
    return _ATTR_OUT.pack(0, 0, 0) + attrs


def getattr_fields(request: Request) -> tuple[bool, int]:
    """Is it about an open file, and which."""
    flags, _, fh = request.fields(_GETATTR_IN)
    return bool(flags & GETATTR_FH), fh


def setattr_fields(request: Request) -> tuple[int, int]:
    """What is to be set (but for which file), and the size."""
    valid, _, _, size = request.fields(_SETATTR_IN)
    return valid & ~(SETATTR_FH | SETATTR_LOCKOWNER), size


def open_flags(request: Request) -> int:
    """O_RDONLY, ... as the client gave them."""
    return request.fields(_OPEN_IN)[0]


def open_reply(fh: int, flags: int, backing_id: int = 0) -> bytes:
    """struct fuse_open_out."""
    return _OPEN_OUT.pack(fh, flags, backing_id)


def first_number(payload: bytes) -> int:
    """The node of an entry reply, or the open file of an open reply."""
    number: int = KH.unpack_from(payload)[0]
    return number


def handle_field(request: Request) -> int:
    """The open file that a request is about."""
    return request.fields(_RELEASE_IN)[0]


def write_data(request: Request) -> tuple[int, bytes]:
    """The open file, and what is written to it. Raises Malformed."""
    fh, _, size, *_ = request.fields(WRITE_IN)
    data = request.body[WRITE_IN.size : WRITE_IN.size + size]
    if len(data) != size:
        raise Malformed(f"a write of {size} bytes has {len(data)}")
    return fh, data


def write_reply(count: int) -> bytes:
    """struct fuse_write_out."""
    return _WRITE_OUT.pack(count, 0)


def poll_reply(mask: int) -> bytes:
    """struct fuse_poll_out."""
    return _POLL_OUT.pack(mask, 0)


def getxattr_fields(request: Request) -> tuple[int, str]:
    """Room that the client has, and the attribute's name."""
    return request.fields(_GETXATTR_IN)[0], request.name(_GETXATTR_IN.size)


def listxattr_room(request: Request) -> int:
    """Room that the client has."""
    return request.fields(_GETXATTR_IN)[0]


def xattr_size_reply(size: int) -> bytes:
    """struct fuse_getxattr_out."""
    return pack("<II", size, 0)


def forget_count(request: Request) -> int:
    """How many lookups of the node are forgotten."""
    return request.fields(_FORGET_IN)[0]


def forgets(request: Request) -> list[tuple[int, int]]:
    """(node, how many lookups) of a BATCH_FORGET."""
    count, _ = request.fields(_BATCH_IN)
    room = (len(request.body) - _BATCH_IN.size) // _FORGET_ONE.size
    if count > room:
        raise Malformed(f"{count} nodes to forget, room for {room}")
    end = _BATCH_IN.size + count * _FORGET_ONE.size
    parts = _FORGET_ONE.iter_unpack(request.body[_BATCH_IN.size : end])
    return [(node, lookups) for node, lookups in parts]


def dirent(inode: int, position: int, kind: int, name: str) -> bytes:
    """One name of a directory; position: where the next one is."""
    raw = os.fsencode(name)
    return _DIRENT.pack(inode, position, len(raw), kind) + raw + bytes(-len(raw) % 8)


def statfs_reply(found: os.statvfs_result) -> bytes:
    """struct fuse_statfs_out."""
    return _STATFS.pack(
        *(found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree),
        *(found.f_bsize, 255, found.f_frsize, 0),
    )
