"""Nodes: what the kernel calls entries by, numbers that stay as long as it remembers them."""

from dataclasses import dataclass

from rchan.errors import ChannelNotFound
from rchan.mount.entries import Entry, Kind
from rchan.mount.protocol import ROOT_ID


@dataclass(slots=True)
class Node:
    """An entry that the kernel has a number of."""

    number: int
    parent: "Node | None"
    entry: Entry
    lookups: int = 0

    @property
    def path(self) -> str:
        """From the mount's root, "" is that itself."""
        if self.parent is None:
            return ""
        above = self.parent.path
        return f"{above}/{self.entry.name}" if above else self.entry.name


class Nodes:
    """All numbers that are in use."""

    def __init__(self, root: Entry) -> None:
        self._by_number = {ROOT_ID: Node(ROOT_ID, None, root, 1)}
        self._by_key: dict[tuple[int, str, tuple[int, int, Kind]], Node] = {}
        self._next = ROOT_ID + 1

    def __len__(self) -> int:
        return len(self._by_number)

    def __getitem__(self, number: int) -> Node:
        """Raises ChannelNotFound."""
        node = self._by_number.get(number)
        if node is None:
            raise ChannelNotFound(f"the kernel asks for node {number}, which it was never given")
        return node

    def found(self, parent: Node, entry: Entry) -> Node:
        """The node of an entry that was looked up: one more lookup to be forgotten later."""
        key = parent.number, entry.name, entry.identity
        node = self._by_key.get(key)
        if node is None:
            node = self._by_key[key] = Node(self._next, parent, entry)
            self._by_number[self._next] = node
            self._next += 1
        node.entry = entry
        node.lookups += 1
        return node

    def forget(self, number: int, lookups: int) -> None:
        """The kernel has forgotten so many lookups; a number that it has no use for goes."""
        node = self._by_number.get(number)
        if node is None or node.parent is None:
            return
        node.lookups -= lookups
        if node.lookups <= 0:
            del self._by_number[number]
            self._by_key.pop((node.parent.number, node.entry.name, node.entry.identity), None)
