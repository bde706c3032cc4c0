"""Exit statuses of the command `rchan`, and which error has which."""

from typing import Final

OK: Final = 0
FAILURE: Final = 1  # anything that has no status of its own
USAGE: Final = 2  # also a name or size that cannot be
NOT_FOUND: Final = 3  # no such channel, directory or recording
DAMAGED: Final = 4  # a channel or recording that is damaged or of another version
EXISTS: Final = 5  # a channel or recording of that name is there already
NOT_PERMITTED: Final = 6
NO_SPACE: Final = 7  # for the channel in memory
RECORDING_FAILED: Final = 8  # the output cannot be written; the rest is still in the channel
UNFINISHED: Final = 9  # a buffer was held to the end; or verify: whole, but was not ended
BAD_INPUT: Final = 10  # with --strict also: some of the input was dropped or cut
ENDED: Final = 11  # the channel was removed or finalized meanwhile
CANNOT_RUN: Final = 126  # COMMAND is there but cannot be run
NO_COMMAND: Final = 127  # COMMAND is not there
SIGNAL: Final = 128  # + number of the signal that ended COMMAND
INTERRUPTED: Final = 130  # told by a second SIGINT not to wait for COMMAND
OUTPUT_CLOSED: Final = 141  # nobody reads standard output (128 + SIGPIPE)

# By name, for the sake of errors whose module is imported only where it is used.
_STATUS: Final = {
    "RecordingFailed": RECORDING_FAILED,
    "RecordingExists": EXISTS,
    "RecordingNotFound": NOT_FOUND,
    "RecordingDamaged": DAMAGED,
    "NotMounted": NOT_FOUND,
    "AlreadyMounted": EXISTS,
    "BadMountPoint": USAGE,
    "ChannelNotFound": NOT_FOUND,
    "ChannelExists": EXISTS,
    "CorruptChannel": DAMAGED,
    "NotPermitted": NOT_PERMITTED,
    "NoSpace": NO_SPACE,
    "BadName": USAGE,
    "GeometryError": USAGE,
    "WrongChannel": USAGE,
    "NoSuchBuffer": USAGE,
    "ChannelBusy": FAILURE,
}

WORDS: Final = {
    OK: "fine",
    FAILURE: "another failure",
    USAGE: "wrong usage",
    NOT_FOUND: "not there",
    DAMAGED: "damaged",
    EXISTS: "exists already",
    NOT_PERMITTED: "not permitted",
    NO_SPACE: "no memory left",
    RECORDING_FAILED: "the output cannot be written",
    UNFINISHED: "not finished",
    BAD_INPUT: "the input is not what it was said to be",
    ENDED: "the channel was removed meanwhile",
    CANNOT_RUN: "COMMAND cannot be run",
    NO_COMMAND: "COMMAND is not there",
    INTERRUPTED: "interrupted",
    OUTPUT_CLOSED: "nobody reads the output",
}


def _text() -> str:
    """All of them in two columns, for the help."""
    cells = [f"{number:>3}  {words}" for number, words in WORDS.items()]
    half = (len(cells) + 1) // 2
    pairs = zip(cells[:half], [*cells[half:], ""], strict=False)
    return "exit status:\n" + "".join(f"{a:34}{b}".rstrip() + "\n" for a, b in pairs)


TEXT: Final = _text()


def status_of(error: BaseException) -> int:
    """The exit status for this error: of the nearest class in the table that it belongs to."""
    names = (kind.__name__ for kind in type(error).__mro__)
    return next((_STATUS[name] for name in names if name in _STATUS), FAILURE)
