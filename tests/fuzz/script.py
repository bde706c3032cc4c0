"""The input of a target in Python."""

from __future__ import annotations


class Input:
    """Bytes, taken one after the other; zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def bytes(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def number(self) -> int:
        return int.from_bytes(self.bytes(1), "little")
