"""Records that can be checked, and the ledger of who wrote which, for storms in Python."""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

HEAD = struct.Struct("<IIII")  # writer, number, length of all, checksum
WRITERS, NUMBERS = 4096, 4096
# A record's fate, as its writer knows it. UNKNOWN: killed between the attempt and the answer.
NEVER, UNKNOWN, STORED, DROPPED = range(4)


class TornError(Exception):
    """Bytes that are no record. args[0]: where."""


def record(writer: int, number: int, length: int) -> bytes:
    fill = bytes((writer * 31 + number * 7 + i) & 255 for i in range(length - HEAD.size))
    checksum = zlib.crc32(fill, writer << 16 ^ number)
    return HEAD.pack(writer, number, length, checksum) + fill


def records(data: bytes) -> Iterator[tuple[int, int]]:
    """(writer, number) of each. Raises TornError."""
    at = 0
    while at < len(data):
        if len(data) - at < HEAD.size:
            raise TornError(at)
        writer, number, length, checksum = HEAD.unpack_from(data, at)
        fill = data[at + HEAD.size : at + length]
        if length != HEAD.size + len(fill) or zlib.crc32(fill, writer << 16 ^ number) != checksum:
            raise TornError(at)
        yield writer, number
        at += length


class Ledger:
    """Shared by all processes of a storm, and outlives each."""

    def __init__(self, path: Path) -> None:
        size = 4096 + WRITERS * NUMBERS
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, size)
        self.memory = mmap.mmap(fd, size)
        os.close(fd)
        self._beats = memoryview(self.memory)[:4096].cast("Q")

    def attempt(self, writer: int, number: int) -> None:
        self.memory[4096 + writer * NUMBERS + number] = UNKNOWN

    def answer(self, writer: int, number: int, stored: bool) -> None:
        at = 4096 + writer * NUMBERS + number
        self.memory[at] = STORED if stored else DROPPED

    def fate(self, writer: int, number: int) -> int:
        return self.memory[4096 + writer * NUMBERS + number]

    def fates(self, writer: int) -> bytes:
        at = 4096 + writer * NUMBERS
        return self.memory[at : at + NUMBERS]

    def beat(self, actor: int) -> None:
        self._beats[actor] += 1

    def beats(self, actor: int) -> int:
        return self._beats[actor]
