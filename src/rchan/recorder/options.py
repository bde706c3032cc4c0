"""What a recording is told to do, when it ends, and how far it is."""

from dataclasses import dataclass, field

from rchan.errors import GeometryError, WrongType
from rchan.recorder.files import FileOptions
from rchan.recorder.rotation import Rotation
from rchan.stats import Count
from rchan.zstd import compressor


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is: seconds since its start, what was recorded, what is missing."""

    seconds: float
    subbufs: int
    records: int
    bytes: int
    lost: dict[str, Count]
    channels: int = 1
    stalled: str | None = None
    """Why nothing is consumed at the moment; None: all is well."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a recording ends by itself: the first that is reached. None: no such limit."""

    seconds: float | None = None
    bytes: int | None = None
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What `record` does besides; see there."""

    files: FileOptions = field(default_factory=FileOptions)
    rotation: Rotation = field(default_factory=Rotation)
    limits: Limits = field(default_factory=Limits)
    flush_every: float | None = None
    until_empty: bool = False
    watch: bool = False
    append: bool = False
    sync: bool = False

    def check(self) -> None:
        """Raises GeometryError, WrongType, Unsupported (no zstd)."""
        _positive("flush_every", self.flush_every)
        for name in ("size", "seconds", "subbufs", "keep"):
            _positive(f"rotation.{name}", getattr(self.rotation, name))
        for name in ("seconds", "bytes", "records"):
            _positive(f"limits.{name}", getattr(self.limits, name))
        if self.files.compression not in (None, "zstd"):
            raise GeometryError(f"compression is {self.files.compression!r}: 'zstd' or None")
        if self.files.compression is not None:
            compressor(self.files.level)


def _positive(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"{name} must be a number or None, not {type(value).__name__}")
    if not value > 0:
        raise GeometryError(f"{name} is {value}: it must be more than 0, or None")


__all__ = ["Limits", "Options", "Progress"]
