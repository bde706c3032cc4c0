"""Exit statuses of the command `rchan`, and which error has which."""

from typing import Final

from rchan.errors import (
    BadName,
    ChannelBusy,
    ChannelExists,
    ChannelNotFound,
    CorruptChannel,
    GeometryError,
    NoSpace,
    NotPermitted,
    RchanError,
)
from rchan.mount import AlreadyMounted, BadMountPoint, NotMounted
from rchan.recorder import RecordingDamaged, RecordingExists, RecordingFailed, RecordingNotFound

OK: Final = 0
FAILURE: Final = 1  # anything that has no status of its own
USAGE: Final = 2  # also a name or size that cannot be
NOT_FOUND: Final = 3  # no such channel, directory or recording
DAMAGED: Final = 4  # a channel or manifest that is damaged or of another version
EXISTS: Final = 5  # a channel or recording of that name is there already
NOT_PERMITTED: Final = 6
NO_SPACE: Final = 7  # for the channel in memory
RECORDING_FAILED: Final = 8  # the output cannot be written; the rest is still in the channel
UNFINISHED: Final = 9  # recorded, but a stopped writer or another reader held a buffer to the end
CANNOT_RUN: Final = 126  # COMMAND is there but cannot be run
NO_COMMAND: Final = 127  # COMMAND is not there
SIGNAL: Final = 128  # + number of the signal that ended COMMAND
INTERRUPTED: Final = 130  # told by a second SIGINT not to wait for COMMAND
OUTPUT_CLOSED: Final = 141  # nobody reads standard output (128 + SIGPIPE)

_STATUS: Final[tuple[tuple[type[RchanError], int], ...]] = (
    (RecordingFailed, RECORDING_FAILED),
    (RecordingExists, EXISTS),
    (RecordingNotFound, NOT_FOUND),
    (RecordingDamaged, DAMAGED),
    (NotMounted, NOT_FOUND),
    (AlreadyMounted, EXISTS),
    (BadMountPoint, USAGE),
    (ChannelNotFound, NOT_FOUND),
    (ChannelExists, EXISTS),
    (CorruptChannel, DAMAGED),
    (NotPermitted, NOT_PERMITTED),
    (NoSpace, NO_SPACE),
    (BadName, USAGE),
    (GeometryError, USAGE),
    (ChannelBusy, FAILURE),
)

TEXT: Final = f"""exit status:
  {OK}  fine                        {NOT_PERMITTED}  not permitted
  {FAILURE}  another failure             {NO_SPACE}  no memory left for the channel
  {USAGE}  wrong usage                 {RECORDING_FAILED}  the recording cannot be written
  {NOT_FOUND}  no such channel             {UNFINISHED}  a buffer was held by somebody to the end
  {DAMAGED}  damaged channel           {CANNOT_RUN}  COMMAND cannot be run
  {EXISTS}  exists already            {NO_COMMAND}  COMMAND is not there
"""


def status_of(error: RchanError) -> int:
    """The exit status for this error: of the first class in the table that it belongs to."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), FAILURE)
