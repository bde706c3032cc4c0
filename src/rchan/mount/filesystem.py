"""The tree of channels as a file system: paths to what can be done with them. No FUSE in here."""

import os
from pathlib import Path
from typing import Final

from rchan.errors import BadName, ChannelNotFound, NotPermitted
from rchan.mount.control import perform
from rchan.mount.entries import Entry, Kind, find, listing, root_entry
from rchan.mount.opened import BufferFile, ControlFile, OpenBuffers, TextFile
from rchan.mount.texts import info_text, stat_text
from rchan.names import CONTROL_SUFFIX, directory, relayfs_create_dir, relayfs_remove_dir

OpenedFile = BufferFile | ControlFile | TextFile
_HIDDEN: Final = (CONTROL_SUFFIX,)


class Filesystem:
    """Channels below one directory. Paths are relative to it; "" is itself.

    Everything is looked up when it is asked for, so what other processes make and remove is there,
    or gone, at once. Nothing is attached to a channel unless one of its files is open.
    """

    def __init__(self, root: str) -> None:
        """root: an absolute path. Raises ChannelNotFound, NotPermitted."""
        self.root = directory(root)
        self.buffers = OpenBuffers()

    def entry(self, path: str) -> Entry:
        """What is at a path below the root. Raises ChannelNotFound, NotPermitted."""
        if not path:
            return root_entry(self.root)
        parent, _, name = path.rpartition("/")
        return find(self._directory(parent), name)

    def list(self, path: str) -> list[Entry]:
        """What is in the directory at path, by name. Raises ChannelNotFound, NotPermitted."""
        return list(listing(self._directory(path)))

    def make_directory(self, path: str) -> Entry:
        """relayfs_create_dir at that path.

        Raises ChannelExists, BadName, ChannelNotFound, NotPermitted.
        """
        parent, _, name = path.rpartition("/")
        place = self._directory(parent)
        if name.endswith(_HIDDEN):
            raise BadName(f"a directory's name must not end in {CONTROL_SUFFIX!r}")
        relayfs_create_dir(name, place)
        return find(place, name)

    def remove_directory(self, path: str) -> None:
        """relayfs_remove_dir of that path.

        Raises OSError (ENOTEMPTY), ChannelNotFound, NotPermitted.
        """
        place = self._directory(path)
        if os.listdir(place):
            Path(place).rmdir()  # says that it is not empty
        relayfs_remove_dir(place)

    def open(self, entry: Entry, write: bool) -> OpenedFile:
        """Open a file.

        entry: what `entry` or `list` gave. write: for writing only; else for reading only.
        Raises NotPermitted (the other way), ChannelNotFound, CorruptChannel, SystemFailure.
        """
        if write != (entry.kind is Kind.CONTROL):
            raise NotPermitted(f"{entry.name!r} can only be {'read' if write else 'written'}")
        if entry.kind is Kind.BUFFER:
            return BufferFile(self.buffers.of(entry))
        if entry.kind is Kind.CONTROL:
            return ControlFile(lambda data: perform(entry.place, entry.base, data))
        text = stat_text if entry.kind is Kind.STAT else info_text
        return TextFile(text(entry.place, entry.base))

    def _directory(self, path: str) -> str:
        """The directory behind a path, each part of it looked at."""
        place = directory(self.root)
        for part in path.split("/") if path else ():
            if part in ("", ".", ".."):
                raise ChannelNotFound(f"{path!r} is no path of the mount")
            place = directory(str(Path(place, part)))
        return place
