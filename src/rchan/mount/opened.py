"""What is open: buffers with their channels, shared by all who have them open; and the files."""

import os
from collections.abc import Callable
from contextlib import suppress
from errno import ESPIPE
from pathlib import Path
from typing import Final

from rchan import _core
from rchan.channel import Channel, open
from rchan.errors import ChannelNotFound, CorruptChannel
from rchan.mount.entries import Entry
from rchan.names import CONTROL_SUFFIX, buffer_names

MOST: Final = 1 << 20
"""Bytes that one read can get."""
_PATIENCE: Final = 1000  # microseconds, while another reader has the buffer
_MOST_READERS: Final = 1024
_READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class OpenChannel:
    """A channel of which buffers are open: one attachment for all of them."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.users = 0


class OpenBuffer:
    """A buffer that is open, once or several times."""

    def __init__(self, owner: OpenChannel, buffer: _core.Buffer, entry: Entry) -> None:
        self.owner = owner
        self.buffer = buffer
        self.entry = entry
        self.users = 0
        self.backing_id = 0  # of FUSE passthrough, once there is one
        self.alloc_size = buffer.alloc_size
        self._impatient = False
        self._readers: dict[int, int] = {}
        self._seen = self._signature()
        self.fd = os.open(entry.path, _READ_ONLY)
        self.changed_ns = entry.found.st_mtime_ns

    def check(self) -> None:
        """Raises CorruptChannel if the memory is not there any more."""
        self._check_control()
        if os.lseek(self.fd, 0, os.SEEK_END) < self.alloc_size:
            raise CorruptChannel(f"{self.entry.path!r} was truncated: remove the channel")

    def _check_control(self) -> None:
        if not self.buffer._is_whole():
            raise CorruptChannel(f"{self.owner.channel.path!r} was truncated: remove the channel")

    def hold(self, size: int, scratch: bytearray) -> _core.Hold | None:
        """A read on its way to the client; None: nothing is there.

        Raises BlockingIOError (another reader has the buffer), CorruptChannel.
        """
        self.check()
        patience = 0 if self._impatient else _PATIENCE
        self._impatient = True
        held = self.buffer._hold(size, patience, scratch)
        self._impatient = False
        return held

    def _signature(self) -> tuple[int, int]:
        """Another one whenever something was written. Raises CorruptChannel."""
        self._check_control()
        return self.buffer.subbufs_produced, self.buffer.offset

    def look(self, now_ns: int) -> int:
        """When it was last seen to have changed, for people and for `tail -f`."""
        signature = self._seen
        with suppress(CorruptChannel):
            signature = self._signature()
        if signature != self._seen:
            self._seen, self.changed_ns = signature, now_ns
        return self.changed_ns

    def was_read(self, reader: int, count: int) -> None:
        """A process has got so many bytes."""
        if len(self._readers) > _MOST_READERS:
            self._readers.clear()
        self._readers[reader] = self._readers.get(reader, 0) + count

    def size_for(self, reader: int) -> int:
        """st_size as this process is told: the buffer's.

        A process that has read more than the buffer holds gets a multiple: `tail -f` reads no
        more than st_size in all.
        """
        return self.alloc_size * (1 + self._readers.get(reader, 0) // self.alloc_size)


class OpenBuffers:
    """All buffers that are open, each only once."""

    def __init__(self) -> None:
        self._channels: dict[tuple[int, int], OpenChannel] = {}
        self._buffers: dict[tuple[int, int], OpenBuffer] = {}

    def get(self, entry_identity: tuple[int, int]) -> OpenBuffer | None:
        """The buffer whose file has this device and inode number, if it is open."""
        return self._buffers.get(entry_identity)

    def of(self, entry: Entry) -> OpenBuffer:
        """The buffer behind an entry; `release` it afterwards.

        Raises ChannelNotFound, CorruptChannel, NotPermitted, SystemFailure.
        """
        key = entry.found.st_dev, entry.found.st_ino
        opened = self._buffers.get(key)
        if opened is None:
            opened = self._buffers[key] = self._attach(entry)
        opened.users += 1
        return opened

    def release(self, opened: OpenBuffer) -> bool:
        """One user less; true: it was the last one, and the buffer is let go of."""
        opened.users -= 1
        if opened.users:
            return False
        self._buffers = {key: other for key, other in self._buffers.items() if other is not opened}
        os.close(opened.fd)
        self._let_go(opened.owner)
        return True

    def _let_go(self, owner: OpenChannel) -> None:
        owner.users -= 1
        if not owner.users:
            self._channels = {k: other for k, other in self._channels.items() if other is not owner}
            owner.channel.detach()

    def _attach(self, entry: Entry) -> OpenBuffer:
        for base, index in buffer_names(entry.name):
            control = Path(entry.place, base + CONTROL_SUFFIX)
            if not control.exists():
                continue
            owner = self._channel(base, control)
            owner.users += 1
            try:
                buffer = owner.channel._buffers().get(index)
                if buffer is not None:
                    return OpenBuffer(owner, buffer, entry)
            except BaseException:
                self._let_go(owner)
                raise
            self._let_go(owner)
        raise ChannelNotFound(f"no channel in {entry.place!r} has a buffer {entry.name!r}")

    def _channel(self, base: str, control: Path) -> OpenChannel:
        found = control.lstat()
        key = found.st_dev, found.st_ino
        if key not in self._channels:
            self._channels[key] = OpenChannel(open(base, str(control.parent)))
        return self._channels[key]


class BufferFile:
    """One opening of a buffer (the kernel's struct file)."""

    def __init__(self, opened: OpenBuffer) -> None:
        self.opened = opened
        self._position = 0

    def read(self, size: int, offset: int, scratch: bytearray) -> _core.Hold | None:
        """A read of at most size bytes; None: nothing is there.

        offset: where the client believes to be. Raises OSError (ESPIPE) if it wants to skip
        something: there is no seeking. BlockingIOError, CorruptChannel.
        """
        if offset > self._position:
            raise OSError(ESPIPE, "a buffer is a stream: nothing can be skipped")
        return self.opened.hold(min(size, len(scratch)), scratch)

    def went_on(self, offset: int, count: int, reader: int) -> None:
        """So many bytes reached the client, which was at offset."""
        self._position = max(self._position, offset + count)
        self.opened.was_read(reader, count)


class TextFile:
    """An opened text: what it was when it was opened."""

    def __init__(self, text: bytes) -> None:
        self.text = text


class ControlFile:
    """An opened control file."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self.write = write
