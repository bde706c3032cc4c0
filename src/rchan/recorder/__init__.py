"""Recorder: channels' records to files, nothing counted as read before it is written."""

from rchan.recorder.errors import (
    RecordingDamaged,
    RecordingExists,
    RecordingFailed,
    RecordingNotFound,
)
from rchan.recorder.files import FileOptions, FileSink, ZstdFileSink
from rchan.recorder.notice import Notice
from rchan.recorder.notify import Manager
from rchan.recorder.options import Limits, Options, Progress
from rchan.recorder.rotation import RotatingSink, Rotation
from rchan.recorder.session import (
    TICK,
    Recorder,
    Recordings,
    record,
)
from rchan.recorder.sinks import CallbackSink, NullSink, PipeSink, Sink
from rchan.tracefile.manifest import Geometry, Moment, RecordedFile, Recording, load

__all__ = [
    "TICK",
    "CallbackSink",
    "FileOptions",
    "FileSink",
    "Geometry",
    "Limits",
    "Manager",
    "Moment",
    "Notice",
    "NullSink",
    "Options",
    "PipeSink",
    "Progress",
    "RecordedFile",
    "Recorder",
    "Recording",
    "RecordingDamaged",
    "RecordingExists",
    "RecordingFailed",
    "RecordingNotFound",
    "Recordings",
    "RotatingSink",
    "Rotation",
    "Sink",
    "ZstdFileSink",
    "load",
    "record",
]
