"""Trace: a directory of recorded channels, and what `rchan verify` says of it."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from rchan.closing import Closing
from rchan.tracefile.errors import RecordingDamaged, RecordingNotFound
from rchan.tracefile.manifest import OWN
from rchan.tracefile.recorded import RecordedChannel, RecordedSubbuf, merged_by_time
from rchan.tracefile.stream import Problem


class Trace(Closing):
    """Made by `open`: `for sub in trace` in the order of time. A context manager.

    Also of a recording that is unfinished, cut or damaged: what is whole is read, and `problems`
    says what is not, as far as it was read.
    """

    def __init__(self, channels: list[RecordedChannel]) -> None:
        self.channels = channels

    def __repr__(self) -> str:
        return f"<rchan.tracefile.Trace of {[one.name for one in self.channels]}>"

    @property
    def problems(self) -> list[Problem]:
        """All that were found so far."""
        return [problem for channel in self.channels for problem in channel.problems]

    def subbufs(self, check: bool = True) -> Iterator[RecordedSubbuf]:
        """All sub-buffers that are whole, over all channels and buffers, in the order of time.

        check: verify checksums, and leave out what is damaged; else `data` raises for that.
        """
        return merged_by_time([one.subbufs(check) for one in self.channels], self.offsets_ns())

    def offsets_ns(self) -> list[int]:
        """What to add to the times of each channel so that they can be compared.

        0 for those of one run of one machine; else CLOCK_REALTIME is what they have in common.
        """
        known = [channel.recording for channel in self.channels]
        boots = {one.geometry.boot_id for one in known if one is not None}
        if len(boots) <= 1:
            return [0] * len(known)
        return [0 if one is None else one.start.offset_ns for one in known]

    def __iter__(self) -> Iterator[RecordedSubbuf]:
        return self.subbufs()

    def close(self) -> None:
        """Close all files. A second call does nothing."""
        for channel in self.channels:
            channel.close()


def open(directory: str | PathLike[str]) -> Trace:
    """Open what `rchan record -o` made: all channels in it, or the directory of one.

    Raises RecordingNotFound (there is none), RecordingDamaged (it cannot be read at all).
    """
    path = Path(directory)
    try:
        if (path / OWN).is_dir():
            return Trace([RecordedChannel(path)])
        found = sorted(each for each in path.iterdir() if (each / OWN).is_dir())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RecordingNotFound(f"there is no recording in {str(path)!r}") from error
    except OSError as error:
        raise RecordingDamaged(f"{str(path)!r} cannot be read: {error.strerror}") from error
    found = [each for each in found if not each.name.startswith(".")]
    if not found:
        raise RecordingNotFound(f"there is no recording in {str(path)!r}")
    return Trace([RecordedChannel(each) for each in found])


@dataclass(slots=True)
class Report:
    """What `verify` found in one recorded channel."""

    channel: str
    directory: str
    state: str
    subbufs: int = 0
    """Whole."""
    records: int = 0
    bytes: int = 0
    checked: int = 0
    """Sub-buffers that have a checksum, and it is right."""
    problems: tuple[Problem, ...] = ()

    @property
    def damaged(self) -> bool:
        """Is anything not as it was recorded?"""
        return any(problem.severity == "damage" for problem in self.problems)

    @property
    def unfinished(self) -> bool:
        """Was it not ended by its recorder (or not yet)?"""
        return self.state != "complete"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        problems = [asdict(problem) for problem in self.problems]
        verdict = {"damaged": self.damaged, "unfinished": self.unfinished}
        return {**asdict(self), **verdict, "problems": problems}


def verify(
    directory: str | PathLike[str], progress: Callable[[int], None] | None = None
) -> list[Report]:
    """Read everything in a directory of recordings and check it.

    progress: called with the bytes that were read so far. Raises as `open` does.
    """
    reports, done = [], 0
    with open(directory) as trace:
        for channel in trace.channels:
            state = channel.recording.state if channel.recording is not None else "unknown"
            report = Report(channel.name, str(channel.directory), state)
            for sub in channel.subbufs():
                report.subbufs += 1
                report.records += sub.records
                report.bytes += sub.length
                report.checked += sub.entry.checked
                done += sub.length
                if progress is not None:
                    progress(done)
            report.problems = tuple(channel.problems)
            reports.append(report)
    return reports
