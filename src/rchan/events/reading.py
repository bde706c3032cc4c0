"""Reading events: of live channels, snapshots and trace directories; as objects or columns."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rchan import _core
from rchan.channel import Channel
from rchan.closing import Closing
from rchan.errors import WrongType
from rchan.events.clock import Clock
from rchan.events.following import Following
from rchan.events.record import EventRecord, Report
from rchan.events.schema import Schemas
from rchan.events.sources import add_types, source_of, trace_directories
from rchan.reader import Reader
from rchan.snapshot import Snapshot
from rchan.tap import Tap

if TYPE_CHECKING:
    import pyarrow

_ROWS: Final = 512  # Python objects at a time
_BATCH: Final = 65536
_TABLE_BATCH: Final = 1 << 20
_WITHOUT_LIMIT: Final = 1 << 40


def unwatched(done: int) -> None:
    """Nobody wants to know."""


class EventReader(Closing):
    """Events in the order of time, over all CPUs and processes; made by `rchan.events.read`.

    Iterate over it for `EventRecord`s, or ask for Arrow `tables` or `batches`: each goes on where
    the one before stopped. Damaged packets never raise: they are skipped and counted in `report`.
    """

    def __init__(
        self, source: object, names: Iterable[str] | None = None, follow: bool = False
    ) -> None:
        """As of `rchan.events.read`."""
        if isinstance(names, str):
            raise WrongType(f"names must be several, such as [{names!r}], not a str")
        self._wanted = None if names is None else frozenset(names)
        if follow and not isinstance(source, Channel):
            raise WrongType(f"only a Channel can be followed, not a {type(source).__name__}")
        self._source = (
            Following(source, self._wanted)
            if follow and isinstance(source, Channel)
            else source_of(source, self._wanted)
        )
        clock = self._source.clock
        anchor = clock.anchor
        self._decoder = _core.Decoder(
            clock.uuid.bytes,
            anchor.stamp % 2**64,
            (anchor.realtime_ns + 2**63) % 2**64 - 2**63,
            clock.frequency,
        )
        add_types(self._decoder, self._source.schemas, self._wanted)
        self._rows = self._records()
        self._progress: Callable[[int], None] = unwatched

    def _watch(self, progress: Callable[[int], None]) -> None:
        """Have it called, as events are read, with the bytes of packets that were read so far."""
        self._progress = progress

    def _more(self) -> bool:
        found = self._source.more(self._decoder)
        self._progress(self._source.fed_bytes)
        return found

    # ---- events ----

    def __iter__(self) -> Iterator[EventRecord]:
        """The events, from where the last loop stopped."""
        return self

    def __next__(self) -> EventRecord:
        return next(self._rows)

    def dicts(self) -> Iterator[dict[str, Any]]:
        """The same as dicts: `EventRecord.to_dict`."""
        return (event.to_dict() for event in self)

    def _records(self) -> Iterator[EventRecord]:
        while True:
            found = self._decoder.rows(_ROWS, False)
            yield from map(EventRecord._make, found)
            if not found and not self._more():
                break
        while found := self._decoder.rows(_ROWS, True):
            yield from map(EventRecord._make, found)
        self._rows = self._records()  # of a live channel, another loop may find more

    # ---- columns ----

    def batches(self, rows: int = _BATCH) -> "Iterator[tuple[str, pyarrow.RecordBatch]]":
        """Arrow record batches: the name of an event type, and events of it by time.

        rows: after so many events of all types there is a batch of each type that had one. Columns:
        time (timestamp, ns, UTC), cpu, pid, tid, then the fields; a field of one of these names
        gets an underscore behind it. Raises Unsupported: pyarrow is not installed.
        """
        from rchan.events.arrow import Columns  # noqa: PLC0415  (an extra)

        columns = Columns(self._decoder, self._source.schemas)
        total = 0
        while True:
            found = self._decoder.columns(rows - total, False)
            total += found
            if total >= rows or self._decoder.full():
                yield from columns.take()
                total = 0
            elif not found and not self._more():
                break
        while self._decoder.columns(rows, True):
            yield from columns.take()
        yield from columns.take()

    def tables(self) -> "dict[str, pyarrow.Table]":
        """All events that are left, as an Arrow table for each type that has some.

        polars (`polars.from_arrow`), pandas (`table.to_pandas`) and duckdb take them as they are.
        Raises Unsupported: pyarrow is not installed.
        """
        from rchan.events.arrow import to_tables  # noqa: PLC0415  (an extra)

        return to_tables(self.batches(_TABLE_BATCH))

    # ---- what it says ----

    @property
    def schemas(self) -> Schemas:
        """The event types that are known now."""
        return self._source.schemas

    @property
    def clock(self) -> Clock:
        """What the stamps of this trace mean."""
        return self._source.clock

    @property
    def report(self) -> Report:
        """What was read, skipped and lost so far."""
        packets, events, late, skipped, lost, discarded, missing, damage = self._decoder.counts()
        damage = dict(Counter(damage) + Counter(self._source.damage))
        lost += self._source.skipped_bytes
        return Report(packets, events, late, skipped, lost, discarded, missing, damage)

    def close(self) -> None:
        """Close files. A Reader or Tap that was given stays open: it is its maker's."""
        self._source.close()


def read(
    source: Channel | Snapshot | Reader | Tap | str | PathLike[str],
    names: Iterable[str] | None = None,
    *,
    follow: bool = False,
) -> EventReader:
    """Read events, merged by time over all CPUs and processes.

    source: the path of a trace directory, or of a recording with one or several in it; a Snapshot;
    a Channel: what it holds now, nothing is consumed; a Reader or a Tap: a live channel, until that
    reader or tap ends or its timeout is over. Live events wait up to 0.1 s for older ones of other
    CPUs; what comes even later is given out and counted (`report.late`). names: only events of
    these types; None: all. follow: of a Channel, what it holds and then what is written, until it
    is finalized; nothing is consumed.

    Returns an `EventReader`: iterate, or ask for `tables()`. Raises ChannelNotFound (no directory,
    or no metadata in it), CorruptChannel (the metadata is damaged, or of another version),
    IncompatibleChannel (of a machine of the other byte order), WrongChannel (plain records),
    WrongType, OSError.
    """
    if isinstance(source, str | PathLike) and not follow:
        paths = trace_directories(Path(source))
        if len(paths) > 1:
            from rchan.events.together import Together  # noqa: PLC0415  (a kind of EventReader)

            return Together(paths, names)
        source = paths[0]
    return EventReader(source, names, follow)
