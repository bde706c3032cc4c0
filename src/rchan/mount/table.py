"""The kernel's table of mounts, as this process sees it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KIND: Final = "fuse.relayfs"


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of it."""

    point: str
    kind: str
    source: str

    @property
    def ours(self) -> bool:
        """Was it made by `rchan mount`?"""
        return self.kind == KIND


def mounts() -> list[Mount]:
    """All mounts, the topmost of one place last."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return [_parsed(line) for line in text.splitlines()]


def _parsed(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    kind, source, *_ = right.split(" ")
    return Mount(_plain(left.split(" ")[4]), kind, _plain(source))


def _plain(field: str) -> str:
    raw = field.encode(errors="surrogateescape")
    plain = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), raw)
    return plain.decode(errors="surrogateescape")


def mounted_at(point: str) -> Mount | None:
    """The topmost mount at this very place."""
    found = [mount for mount in mounts() if mount.point == point]
    return found[-1] if found else None
