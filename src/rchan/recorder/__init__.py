"""Recorder: a channel's records to files, nothing counted as read before it is written."""

from rchan.recorder.errors import (
    RecordingDamaged,
    RecordingExists,
    RecordingFailed,
    RecordingNotFound,
)
from rchan.recorder.manifest import Geometry, Moment, RecordedFile, Recording, load
from rchan.recorder.recording import TICK, Progress, Recorder, record

__all__ = [
    "TICK",
    "Geometry",
    "Moment",
    "Progress",
    "RecordedFile",
    "Recorder",
    "Recording",
    "RecordingDamaged",
    "RecordingExists",
    "RecordingFailed",
    "RecordingNotFound",
    "load",
    "record",
]
