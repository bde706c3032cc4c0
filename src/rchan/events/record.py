"""EventRecord: one event that was read; Report: what was read, skipped and lost."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class EventRecord(NamedTuple):
    """One event, as it was read."""

    name: str
    """Of its type."""
    time_ns: int
    """When it was written: nanoseconds since 1970 (CLOCK_REALTIME)."""
    cpu: int
    """That ran the thread which wrote it."""
    pid: int
    """Process id, in the writer's PID namespace."""
    tid: int
    """Thread id, likewise."""
    fields: dict[str, Any]
    """Name -> value: int, float, bool, str, bytes, a list of one of them, an enum's label.

    A number that is none of its enum's is an int. Bytes of a string that are not UTF-8 are U+FFFD.
    """

    @property
    def time(self) -> datetime:
        """When it was written, in UTC, to the microsecond below."""
        return _EPOCH + timedelta(microseconds=self.time_ns // 1000)

    def to_dict(self) -> dict[str, Any]:
        """{"event": name, "time_ns": …, "cpu": …, "pid": …, "tid": …, "fields": {…}}."""
        name, time_ns, cpu, pid, tid, fields = self
        return {
            "event": name,
            "time_ns": time_ns,
            "cpu": cpu,
            "pid": pid,
            "tid": tid,
            "fields": fields,
        }


CAUSES: Final = {
    "short": "packets shorter than a header",
    "magic": "data that is no packet",
    "byte_order": "packets of the other byte order",
    "other_trace": "packets of another trace",
    "size": "packets whose sizes cannot be",
    "time": "packets that end before they begin",
    "truncated": "packets that were cut off",
    "count": "packets with another number of events than they say",
    "unknown_id": "packets with an event of an unknown type",
    "cut_event": "packets with an event that is longer than they are",
    "stamp": "events out of the order of time",
    "text": "strings that are not UTF-8",
}
"""What can be wrong, and what is counted of it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a reading of events has met so far."""

    packets: int = 0
    events: int = 0
    """Read, also those of types that were not asked for."""
    late: int = 0
    """Events that were given out after a later one, because they came too late (live sources)."""
    skipped_events: int = 0
    """Not readable, as far as the headers of their packets tell."""
    skipped_bytes: int = 0
    """Not readable."""
    discarded_events: int = 0
    """Dropped by writers, as packets tell (from the first packet that was read, or the start)."""
    missing_packets: int = 0
    """Overwritten or reset before they were read, as packets tell."""
    damage: dict[str, int] = field(default_factory=dict)
    """How often what was wrong: see CAUSES; empty: nothing."""

    def lines(self) -> list[str]:
        """What is missing, for people; empty: nothing."""
        found = []
        if self.discarded_events:
            found.append(f"{self.discarded_events:,} events were dropped by writers")
        if self.missing_packets:
            found.append(f"{self.missing_packets:,} packets were overwritten or reset")
        found += [f"{count:,} {CAUSES[cause]}" for cause, count in self.damage.items()]
        if self.skipped_bytes or self.skipped_events:
            skipped = f"{self.skipped_bytes:,} bytes, {self.skipped_events:,} events or more"
            found.append(f"skipped for that: {skipped}")
        if self.late:
            found.append(f"{self.late:,} events came too late for the order of time")
        return found
