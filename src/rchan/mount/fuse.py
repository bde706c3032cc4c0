"""One connection to the kernel: requests become calls of the file system. Nothing waits here."""

import os
import stat
from collections.abc import Callable
from errno import (
    EACCES,
    EBADF,
    EINVAL,
    ENODATA,
    ENOENT,
    ENOSYS,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
    ESPIPE,
)
from time import time_ns
from typing import Final

from rchan import _core
from rchan.errors import ChannelNotFound
from rchan.mount import protocol
from rchan.mount.entries import Entry, Kind
from rchan.mount.filesystem import Filesystem
from rchan.mount.handles import Handles, OpenedDirectory, type_of
from rchan.mount.nodes import Node, Nodes
from rchan.mount.opened import MOST, BufferFile, ControlFile, TextFile
from rchan.mount.passthrough import Passthrough
from rchan.mount.protocol import Malformed, Op, Request, decode
from rchan.mount.refusals import number_of

BACKING_XATTR: Final = "user.rchan.backing"
_ACCESS: Final = os.O_ACCMODE
# What relay's own file systems refuse, with their errnos.
_REFUSED: Final = {
    Op.READLINK: EINVAL,
    Op.SYMLINK: EPERM,
    Op.MKNOD: EPERM,
    Op.UNLINK: EPERM,
    Op.RENAME: EPERM,
    Op.RENAME2: EPERM,
    Op.LINK: EPERM,
    Op.CREATE: EACCES,
    Op.SETXATTR: EOPNOTSUPP,
    Op.REMOVEXATTR: EOPNOTSUPP,
    Op.IOCTL: ENOTTY,
    Op.FALLOCATE: EOPNOTSUPP,
    Op.TMPFILE: EOPNOTSUPP,
}
_Report = Callable[[str], None]


class Session:
    """Answers requests, one at a time."""

    def __init__(
        self,
        device: int,
        filesystem: Filesystem,
        polls: _core.Polls,
        *,
        timeout: int = 0,
        report: _Report = lambda _: None,
    ) -> None:
        """device: /dev/fuse, mounted. polls: of the same device, answers what it can of polls.

        timeout: seconds that the kernel waits for an answer; 0: for ever.
        report: told what went wrong inside, in words.
        """
        self._device = device
        self._files = filesystem
        self._polls = polls
        self.timeout = timeout  # once ready: what the kernel agreed to
        self._report = report
        self._nodes = Nodes(filesystem.entry(""))
        self._handles = Handles()
        self._passthrough = Passthrough(device, False)
        self._scratch = bytearray(MOST)
        self.ready = False  # INIT was answered
        self._answers: dict[int, Callable[[Request], bytes | None]] = {
            Op.INIT: self._init,
            Op.LOOKUP: self._lookup,
            Op.FORGET: self._forget,
            Op.BATCH_FORGET: self._batch_forget,
            Op.GETATTR: self._getattr,
            Op.SETATTR: self._setattr,
            Op.MKDIR: self._mkdir,
            Op.RMDIR: self._rmdir,
            Op.OPEN: self._open,
            Op.READ: self._read,
            Op.WRITE: self._write,
            Op.POLL: self._poll,
            Op.RELEASE: self._release,
            Op.OPENDIR: self._opendir,
            Op.READDIR: self._readdir,
            Op.RELEASEDIR: self._releasedir,
            Op.STATFS: self._statfs,
            Op.GETXATTR: self._getxattr,
            Op.LISTXATTR: self._listxattr,
            Op.FSYNC: self._fsync,
            Op.FSYNCDIR: lambda _: b"",
            Op.INTERRUPT: lambda _: None,  # nothing here takes long enough to be interrupted
            Op.DESTROY: lambda _: b"",
        }

    def handle(self, message: bytearray | bytes, length: int) -> None:
        """Answer this request, whatever is in it."""
        try:
            request = decode(message, length)
        except Malformed as error:
            self._report(str(error))
            return
        answer = self._answers.get(request.op)
        number = 0
        payload: bytes | None = None
        if answer is None:
            number = _REFUSED.get(request.op, ENOSYS)  # type: ignore[call-overload]
        else:
            try:
                payload = answer(request)
            except Exception as error:
                number = number_of(error, self._report)
        if number:
            self._send(protocol.reply_error(request.unique, number))
        elif payload is not None and not self._send(protocol.reply(request.unique, payload)):
            self._not_delivered(request, payload)

    def _not_delivered(self, request: Request, payload: bytes) -> None:
        """The client has given up: the kernel will neither forget nor release what it asked for."""
        if request.op in (Op.OPEN, Op.OPENDIR):
            self._close_handle(protocol.first_number(payload))
        elif request.op in (Op.LOOKUP, Op.MKDIR):
            self._nodes.forget(protocol.first_number(payload), 1)

    def close(self) -> None:
        """Let go of all that clients have open; the device stays open."""
        for number in self._handles.all():
            self._close_handle(number)

    def _send(self, message: bytes) -> bool:
        """False: the client has given up, or the mount is gone, as the next read will say."""
        try:
            os.write(self._device, message)
        except OSError:
            return False
        return True

    def _init(self, request: Request) -> bytes | None:
        major, minor, readahead, offered = protocol.init_fields(request)
        if major < protocol.MAJOR or (major == protocol.MAJOR and minor < protocol.OLDEST_MINOR):
            raise Malformed(f"the kernel speaks FUSE {major}.{minor}, which is too old")
        if major > protocol.MAJOR:
            return protocol.init_reply(protocol.MINOR, 0, 0, 0)  # it asks again, with ours
        wanted = protocol.INIT_EXT | protocol.PAGES | protocol.PARALLEL_DIROPS
        wanted |= protocol.ASYNC_READ | protocol.PASSTHROUGH
        if self.timeout:
            wanted |= protocol.REQUEST_TIMEOUT
        flags = wanted & offered
        self._passthrough = Passthrough(self._device, bool(flags & protocol.PASSTHROUGH))
        if not flags & protocol.REQUEST_TIMEOUT:
            self.timeout = 0
        self.ready = True
        return protocol.init_reply(minor, readahead, flags, self.timeout)

    # names

    def _lookup(self, request: Request) -> bytes:
        parent = self._nodes[request.node]
        return self._entry_reply(parent, self._files.entry(_below(parent, request.name())))

    def _entry_reply(self, parent: Node, entry: Entry) -> bytes:
        node = self._nodes.found(parent, entry)
        return protocol.entry_reply(node.number, self._attributes(node, 0))

    def _attributes(self, node: Node, reader: int) -> bytes:
        entry = node.entry
        size, changed = entry.size, entry.found.st_mtime_ns
        if entry.kind is Kind.BUFFER:
            opened = self._files.buffers.get((entry.found.st_dev, entry.found.st_ino))
            if opened is not None:
                size, changed = opened.size_for(reader), opened.look(time_ns())
        elif entry.kind is not Kind.DIRECTORY:
            changed = time_ns()
        return protocol.attributes(entry, size, changed)

    def _forget(self, request: Request) -> None:
        self._nodes.forget(request.node, protocol.forget_count(request))

    def _batch_forget(self, request: Request) -> None:
        for number, lookups in protocol.forgets(request):
            self._nodes.forget(number, lookups)

    def _getattr(self, request: Request) -> bytes:
        node = self._nodes[request.node]
        of_file, _ = protocol.getattr_fields(request)
        if of_file and node.entry.kind is Kind.BUFFER:
            # lseek to the end asks so; nobody else does. A buffer is a stream.
            raise OSError(ESPIPE, "a buffer has no end")
        self._look_again(node)
        return protocol.attr_reply(self._attributes(node, request.pid))

    def _look_again(self, node: Node) -> None:
        """The entry as it is now; one that is open may have lost its name."""
        try:
            entry = self._files.entry(node.path)
        except ChannelNotFound:
            entry = None
        if entry is not None and entry.identity == node.entry.identity:
            node.entry = entry
        elif node.entry.kind is not Kind.BUFFER or self._opened(node) is None:
            raise ChannelNotFound(f"{node.path!r} is gone")

    def _opened(self, node: Node) -> object:
        found = node.entry.found
        return self._files.buffers.get((found.st_dev, found.st_ino))

    def _setattr(self, request: Request) -> bytes:
        node = self._nodes[request.node]
        what, size = protocol.setattr_fields(request)
        if node.entry.kind is Kind.CONTROL and what & ~_TIMES == protocol.SETATTR_SIZE and not size:
            return protocol.attr_reply(self._attributes(node, 0))  # `echo flush > app.ctl`
        raise OSError(EACCES if what & protocol.SETATTR_SIZE else EPERM, "cannot be changed")

    def _mkdir(self, request: Request) -> bytes:
        parent = self._nodes[request.node]
        name = request.name(_MKDIR_HEAD)
        return self._entry_reply(parent, self._files.make_directory(_below(parent, name)))

    def _rmdir(self, request: Request) -> bytes:
        self._files.remove_directory(_below(self._nodes[request.node], request.name()))
        return b""

    # files

    def _open(self, request: Request) -> bytes:
        node = self._nodes[request.node]
        access = protocol.open_flags(request) & _ACCESS
        if access == os.O_RDWR:
            raise OSError(EACCES, "nothing here can be read and written")
        if node.parent is None or self._files.entry(node.path).identity != node.entry.identity:
            raise ChannelNotFound(f"{node.path!r} is gone")
        what = self._files.open(node.entry, access == os.O_WRONLY)
        flags, backing = protocol.FOPEN_DIRECT_IO, 0
        if isinstance(what, BufferFile):
            flags, backing = self._passthrough.open_flags(what.opened)
        return protocol.open_reply(self._handles.add(node, what), flags, backing)

    def _read(self, request: Request) -> bytes | None:
        fh, offset, size, how, *_ = request.fields(protocol.READ_IN)
        if not how & protocol.READ_LOCKOWNER:
            # splice and sendfile through the page cache lose what they do not use. Refused, cp and
            # others fall back to read.
            raise OSError(EINVAL, "a buffer is read with read")
        what = self._handles[fh].what
        if isinstance(what, TextFile):
            return what.text[offset : offset + size]
        if not isinstance(what, BufferFile):
            raise OSError(EBADF, "this is not open for reading")
        held = what.read(size, offset, self._scratch)
        if held is None:
            return b""
        length = held.length
        try:
            held.deliver(self._device, protocol.reply_head(request.unique, length))
        except OSError as error:
            if error.errno != ENOENT:  # ENOENT: the reader was killed; what it would have had stays
                raise
            return None
        what.went_on(offset, length, request.pid)
        return None

    def _write(self, request: Request) -> bytes:
        fh, data = protocol.write_data(request)
        what = self._handles[fh].what
        if not isinstance(what, ControlFile):
            raise OSError(EBADF, "this is not open for writing")
        return protocol.write_reply(what.write(data))

    def _poll(self, request: Request) -> bytes | None:
        """The first of a file; from then on they do not come here."""
        fh, kh, flags, _ = request.fields(protocol.POLL_IN)
        what = self._handles[fh].what
        if not isinstance(what, BufferFile):
            return protocol.poll_reply(_ALWAYS)
        self._polls.add(fh, what.opened.buffer)
        wanted = kh if flags & protocol.POLL_SCHEDULE_NOTIFY else None
        self._polls.answer(request.unique, fh, wanted)
        return None

    def _release(self, request: Request) -> bytes:
        self._close_handle(protocol.handle_field(request))
        return b""

    def _close_handle(self, number: int) -> None:
        handle = self._handles.remove(number)
        if handle is None or not isinstance(handle.what, BufferFile):
            return
        opened = handle.what.opened
        self._polls.drop(number)
        if opened.users == 1:
            self._passthrough.close(opened)
        self._files.buffers.release(opened)

    def _fsync(self, request: Request) -> bytes:
        if self._nodes[request.node].entry.kind is Kind.BUFFER:
            raise OSError(EINVAL, "a buffer is not on a disk")
        return b""

    # directories

    def _opendir(self, request: Request) -> bytes:
        node = self._nodes[request.node]
        above = node.parent or node
        names = [(node.entry.inode, _DIRECTORY, "."), (above.entry.inode, _DIRECTORY, "..")]
        names += [(e.inode, type_of(e), e.name) for e in self._files.list(node.path)]
        return protocol.open_reply(self._handles.add(node, OpenedDirectory(names)), 0)

    def _readdir(self, request: Request) -> bytes:
        fh, offset, size, *_ = request.fields(protocol.READ_IN)
        what = self._handles[fh].what
        if not isinstance(what, OpenedDirectory):
            raise OSError(EBADF, "this is no directory")
        out = bytearray()
        for position, (inode, kind, name) in enumerate(what.names[offset:], offset + 1):
            entry = protocol.dirent(inode, position, kind, name)
            if len(out) + len(entry) > size:
                break
            out += entry
        return bytes(out)

    def _releasedir(self, request: Request) -> bytes:
        self._handles.remove(protocol.handle_field(request))
        return b""

    def _statfs(self, _: Request) -> bytes:
        return protocol.statfs_reply(os.statvfs(self._files.root))

    # attributes with names

    def _getxattr(self, request: Request) -> bytes:
        room, name = protocol.getxattr_fields(request)
        entry = self._nodes[request.node].entry
        if name != BACKING_XATTR or entry.kind is not Kind.BUFFER:
            raise OSError(ENODATA, "there is no such attribute")
        return _sized(os.fsencode(entry.path), room)

    def _listxattr(self, request: Request) -> bytes:
        entry = self._nodes[request.node].entry
        names = BACKING_XATTR.encode() + b"\0" if entry.kind is Kind.BUFFER else b""
        return _sized(names, protocol.listxattr_room(request))


_DIRECTORY: Final = stat.S_IFDIR >> 12
_MKDIR_HEAD: Final = 8
_ALWAYS: Final = 0x145  # POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
_TIMES: Final = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 10  # atime, mtime, both now, ctime


def _below(parent: Node, name: str) -> str:
    above = parent.path
    return f"{above}/{name}" if above else name


def _sized(value: bytes, room: int) -> bytes:
    if not room:
        return protocol.xattr_size_reply(len(value))
    if len(value) > room:
        raise OSError(ERANGE, "more than there is room for")
    return value
