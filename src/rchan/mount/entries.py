"""What the mount shows: an entry is a directory, a buffer, or a text file beside the buffers."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from rchan.errors import BadName, ChannelNotFound, RchanError
from rchan.names import CONTROL_SUFFIX, buffer_names, check_base, directory


class Kind(Enum):
    """Kinds of entries."""

    DIRECTORY = 1
    BUFFER = 2
    STAT = 3
    INFO = 4
    CONTROL = 5


SUFFIXES: Final = {".stat": Kind.STAT, ".info": Kind.INFO, ".ctl": Kind.CONTROL}
_MODES: Final = {
    Kind.DIRECTORY: stat.S_IFDIR | 0o700,
    Kind.BUFFER: stat.S_IFREG | 0o400,
    Kind.STAT: stat.S_IFREG | 0o400,
    Kind.INFO: stat.S_IFREG | 0o400,
    Kind.CONTROL: stat.S_IFREG | 0o200,
}
_OTHERS_READ: Final = 0o044
_OTHERS_ENTER: Final = 0o055
_TEXT_SIZE: Final = 4096  # as sysfs says it: more than programs that ask for the size will need


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory of the mount."""

    name: str
    kind: Kind
    place: str
    """The directory behind it, or the one that its channel is in."""
    base: str
    """The channel; "" for a directory."""
    index: int
    """The buffer; -1 for anything else."""
    found: os.stat_result
    """Of the directory, the buffer's file, or the channel's control file."""

    @property
    def path(self) -> str:
        """The directory or file behind it."""
        if self.kind is Kind.DIRECTORY:
            return self.place
        name = self.name if self.kind is Kind.BUFFER else self.base + CONTROL_SUFFIX
        return str(Path(self.place, name))

    @property
    def identity(self) -> tuple[int, int, Kind]:
        """Another one of the same name has another identity."""
        return self.found.st_dev, self.found.st_ino, self.kind

    @property
    def inode(self) -> int:
        """Its inode number as the mount shows it."""
        shown = {Kind.STAT: 1, Kind.INFO: 2, Kind.CONTROL: 3}.get(self.kind, 0)
        return (self.found.st_ino & (1 << 60) - 1) | shown << 60

    @property
    def mode(self) -> int:
        """Type and permissions: the owner's, and what the channel lets others read."""
        mode = _MODES[self.kind]
        if self.kind is Kind.DIRECTORY:
            return mode | (self.found.st_mode & _OTHERS_ENTER)
        if self.kind is Kind.CONTROL:
            return mode
        return mode | (self.found.st_mode & _OTHERS_READ)

    @property
    def size(self) -> int:
        """Bytes of the buffer; for a text that is not there before it is opened, a page."""
        if self.kind is Kind.CONTROL:
            return 0
        return self.found.st_size if self.kind is Kind.BUFFER else _TEXT_SIZE

    @property
    def block_size(self) -> int:
        """More than the size, so that `wc -c` reads instead of believing the size."""
        return 1 << max(self.size.bit_length(), 12)


def find(place: str, name: str) -> Entry:
    """The entry of this name in a directory. Raises ChannelNotFound, NotPermitted."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ChannelNotFound(f"{name!r} is no name")
    path = Path(place, name)
    found = _look(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        return _directory_entry(path, found)
    base, dot, word = name.rpartition(".")
    kind = SUFFIXES.get(dot + word)
    if kind is not None and (control := _control_of(place, base)) is not None:
        return Entry(name, kind, place, base, -1, control)
    if found is not None and stat.S_ISREG(found.st_mode) and not name.endswith(CONTROL_SUFFIX):
        for base, index in buffer_names(name):
            if _control_of(place, base) is not None:
                return Entry(name, Kind.BUFFER, place, base, index, found)
    raise ChannelNotFound(f"there is no {name!r} in {place!r}")


def listing(place: str) -> Iterator[Entry]:
    """All entries of a directory, by name."""
    names = set(os.listdir(place))
    for control in [name for name in names if name.endswith(CONTROL_SUFFIX)]:
        names.remove(control)
        names |= {control.removesuffix(CONTROL_SUFFIX) + suffix for suffix in SUFFIXES}
    for name in sorted(names):
        try:
            yield find(place, name)
        except RchanError:
            continue  # gone meanwhile, not ours, or no channel's


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (OSError, ValueError):
        return None


def _directory_entry(path: Path, found: os.stat_result) -> Entry:
    return Entry(path.name, Kind.DIRECTORY, directory(str(path)), "", -1, found)


def _control_of(place: str, base: str) -> os.stat_result | None:
    try:
        check_base(base)
    except BadName:
        return None
    found = _look(Path(place, base + CONTROL_SUFFIX))
    return found if found is not None and stat.S_ISREG(found.st_mode) else None


def root_entry(root: str) -> Entry:
    """The directory that is mounted."""
    return _directory_entry(Path(root), Path(root).lstat())
