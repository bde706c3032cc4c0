"""What clients have open, by the number that the kernel was given."""

from dataclasses import dataclass

from rchan.errors import ChannelClosed
from rchan.mount.entries import Entry
from rchan.mount.filesystem import OpenedFile
from rchan.mount.nodes import Node


@dataclass(slots=True)
class OpenedDirectory:
    """A directory as it was when it was opened: number, type and name of what is in it."""

    names: list[tuple[int, int, str]]


@dataclass(slots=True)
class Handle:
    """One opening."""

    node: Node
    what: OpenedFile | OpenedDirectory


class Handles:
    """All that is open."""

    def __init__(self) -> None:
        self._by_number: dict[int, Handle] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._by_number)

    def add(self, node: Node, what: OpenedFile | OpenedDirectory) -> int:
        """Its number, never used again."""
        number, self._next = self._next, self._next + 1
        self._by_number[number] = Handle(node, what)
        return number

    def __getitem__(self, number: int) -> Handle:
        """Raises ChannelClosed."""
        handle = self._by_number.get(number)
        if handle is None:
            raise ChannelClosed(f"the kernel names open file {number}, which it was never given")
        return handle

    def remove(self, number: int) -> Handle | None:
        """No more open."""
        return self._by_number.pop(number, None)

    def all(self) -> list[int]:
        """Their numbers."""
        return list(self._by_number)


def type_of(entry: Entry) -> int:
    """d_type of a directory entry."""
    return entry.mode >> 12
