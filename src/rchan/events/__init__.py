"""Typed events in packets of the Common Trace Format: types, schemas, the Tracer, trace files."""

from rchan._core import Event, Span
from rchan.events.clock import Anchor, Clock
from rchan.events.reading import EventReader, read
from rchan.events.record import EventRecord, Report
from rchan.events.schema import EventSchema, Schemas
from rchan.events.tracer import Tracer
from rchan.events.types import FieldType

__all__ = [
    "Anchor",
    "Clock",
    "Event",
    "EventReader",
    "EventRecord",
    "EventSchema",
    "FieldType",
    "Report",
    "Schemas",
    "Span",
    "Tracer",
    "read",
]
