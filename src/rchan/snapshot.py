"""Snapshot: everything that a channel holds at one moment, copied without stopping anybody."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

from rchan import _core
from rchan.errors import WrongType
from rchan.stats import ChannelStats, Stats, stats_of
from rchan.tap import Missed, Start, check_start, sum_missed

if TYPE_CHECKING:
    from typing_extensions import Buffer as _Bytes


class Snapshot(Sequence[_core.SubbufCopy]):
    """Copies of sub-buffers, the oldest first; made by `Channel.snapshot`.

    Each buffer is cut at one moment, all of them before the first byte is copied. What was there
    at the cut is here, or counted in `missed`: newer records took its place before it was copied.
    """

    __slots__ = ("_clock", "_copies", "_metadata", "books", "missed", "missed_by_cpu")

    books: ChannelStats
    """The books at the very cut."""
    missed: Missed
    """What was there at the cut, or unread when it was asked for, and could not be copied."""
    missed_by_cpu: dict[int, Missed]
    """The same, by buffer."""

    def __init__(
        self,
        copies: Iterable[_core.SubbufCopy],
        books: ChannelStats,
        missed: dict[int, Missed],
        channel: _core.Channel | None = None,
    ) -> None:
        """copies: in the order of each buffer.

        books: at the cut. missed: by buffer. channel: theirs.
        """
        self._copies = sorted(copies, key=lambda copy: copy.first_ns)
        self.books = books
        self.missed = sum_missed(missed.values())
        self.missed_by_cpu = missed
        # After the copies: so every event in them is described.
        events = channel is not None and channel.events
        self._clock = channel._clock if channel is not None and events else None
        self._metadata = channel._metadata(0) if channel is not None and events else b""

    @overload
    def __getitem__(self, index: int) -> _core.SubbufCopy: ...
    @overload
    def __getitem__(self, index: slice) -> list[_core.SubbufCopy]: ...
    def __getitem__(self, index: int | slice) -> _core.SubbufCopy | list[_core.SubbufCopy]:
        return self._copies[index]

    def __len__(self) -> int:
        return len(self._copies)

    @property
    def records(self) -> int:
        """Records in all copies."""
        return sum(copy.records for copy in self._copies)

    @property
    def size(self) -> int:
        """Bytes in all copies."""
        return sum(len(copy) for copy in self._copies)

    def data(self, cpu: int | None = None) -> bytes:
        """The bytes of one buffer (cpu: its index), or of all (None) in the order of this list."""
        return b"".join(copy.data for copy in self._copies if cpu is None or copy.cpu == cpu)

    def __repr__(self) -> str:
        return (
            f"<rchan.Snapshot of {len(self)} sub-buffers, {self.records} records, "
            f"{self.size} bytes; missed {self.missed.records} records>"
        )


def _copy(tap: _core.Tap, arena: _core.Arena, into: list[_core.SubbufCopy]) -> Missed:
    """Everything up to the tap's cut; what was missed."""
    missed = Missed()
    while (copy := tap.next(arena)) is not None:
        missed = missed.plus(copy.missed)
        into.append(copy)
    return missed.plus(tap.rest())


def take_snapshot(
    channel: _core.Channel, start: Start = "oldest", into: "_Bytes | None" = None
) -> Snapshot:
    """See `Channel.snapshot`."""
    if check_start(start) == "now":
        raise WrongType("a snapshot starts at 'oldest' or 'unread', not 'now'")
    taps = {index: buffer.tap(start) for index, buffer in channel._buffers().items()}
    stats = {index: stats_of(tap.cut()) for index, tap in taps.items()}
    total = Stats()
    for each in stats.values():
        total = total.plus(each)
    arena = _core.Arena(sum(tap.left for tap in taps.values()), into)
    copies: list[_core.SubbufCopy] = []
    missed = {index: _copy(tap, arena, copies) for index, tap in taps.items()}
    return Snapshot(copies, ChannelStats(total, stats), missed, channel)
