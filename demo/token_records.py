"""The records of the demo: a fixed header and a token's text."""

from collections.abc import Iterator
from struct import Struct
from tokenize import TokenInfo
from typing import NamedTuple

HEADER = Struct("<QIIHHHH")  # seq, file, line, worker, kind, flags, length of the text
TEXT_MAX = 1000  # bytes; what is longer is cut and marked
CUT = 1  # flag


class Token(NamedTuple):
    """One record, unpacked; `record` is all of it, header and text."""

    seq: int
    file: int
    line: int
    worker: int
    kind: int
    flags: int
    record: memoryview


def pack(seq: int, file: int, worker: int, token: TokenInfo) -> bytes:
    """The record of one token."""
    data = token.string.encode("utf-8", "surrogatepass")
    flags = CUT if len(data) > TEXT_MAX else 0
    data = data[:TEXT_MAX]
    return HEADER.pack(seq, file, token.start[0], worker, token.type, flags, len(data)) + data


def unpack_all(data: memoryview) -> Iterator[Token]:
    """The records of a recorded file, in order. Raises ValueError if one is not whole."""
    at, end = 0, len(data)
    while at < end:
        if end - at < HEADER.size:
            raise ValueError(f"half a header at byte {at}")
        *head, length = HEADER.unpack_from(data, at)
        until = at + HEADER.size + length
        if until > end:
            raise ValueError(f"half a record at byte {at}")
        yield Token(*head, data[at:until])
        at = until
