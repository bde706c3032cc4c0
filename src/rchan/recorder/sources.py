"""Which channels are recorded: those given, by name or by pattern, also those that appear later."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from os import listdir, stat
from pathlib import Path

from rchan import _core
from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.errors import ChannelNotFound, RchanError, WrongType
from rchan.names import CONTROL_SUFFIX, Parent, check_base
from rchan.names import directory as directory_of

Given = Channel | str | Iterable[Channel | str]


class Sources:
    """channels: open ones, names, and patterns (`*`, `?`, `[…]`) of names; parent: as in `open`.

    Raises WrongType, BadName, and what `rchan.names.directory` raises.
    """

    def __init__(self, channels: Given, parent: Parent = None) -> None:
        listed = [channels] if isinstance(channels, str | _core.Channel) else list(channels)
        self.handles = [one for one in listed if isinstance(one, Channel)]
        self.names: list[str] = []
        self.patterns: list[str] = []
        self.skipped: dict[str, str] = {}  # name -> why it could not be opened
        self._parent = parent
        self._seen: set[tuple[int, int]] = set()  # created_ns
        texts = [one for one in listed if not isinstance(one, Channel)]
        self._directory = directory_of(parent) if texts else ""
        for text in texts:
            if not isinstance(text, str):
                raise WrongType(f"a channel or a name is wanted, not {type(text).__name__}")
            is_pattern = any(sign in text for sign in "*?[") and not self._path(text).exists()
            (self.patterns if is_pattern else self.names).append(text)
        for name in self.names:
            check_base(name)

    def _path(self, name: str) -> Path:
        return Path(self._directory, name + CONTROL_SUFFIX)

    def open_all(self, patient: bool) -> list[tuple[Channel, bool]]:
        """All that are there, and whether the handle is ours. patient: a name may be missing.

        Raises what `rchan.open` raises for a name; what a pattern finds and cannot be opened is
        skipped.
        """
        found = [(channel, False) for channel in self.handles]
        for name in dict.fromkeys(self.names):
            try:
                found.append((open_channel(name, self._parent), True))
            except ChannelNotFound:
                if not patient:
                    for channel, owned in found:
                        if owned:
                            channel.detach()
                    raise
        for channel, _ in found:
            self._seen.add(channel.created_ns)
        return found + [(channel, True) for channel in self.fresh({}, patterns=True)]

    def fresh(self, active: dict[str, tuple[int, int] | None], patterns: bool) -> list[Channel]:
        """Channels that have come since the last look. active: name -> identity of its file."""
        names = dict.fromkeys(self.names)
        if patterns:
            names |= dict.fromkeys(self._matching())
        return [
            channel
            for name in names
            if (channel := self._opened(name, active.get(name))) is not None
        ]

    def _matching(self) -> list[str]:
        if not self.patterns:
            return []
        found = (
            name.removesuffix(CONTROL_SUFFIX)
            for name in listdir(self._directory)
            if name.endswith(CONTROL_SUFFIX) and name != CONTROL_SUFFIX
        )
        wanted = self.patterns
        return sorted(name for name in found if any(fnmatchcase(name, each) for each in wanted))

    def _opened(self, name: str, active: tuple[int, int] | None) -> Channel | None:
        """The channel of this name, unless it was seen before."""
        try:
            found = stat(self._path(name))
            if (found.st_dev, found.st_ino) == active:
                return None
            channel = open_channel(name, self._parent)
        except (ChannelNotFound, FileNotFoundError):
            return None
        except (RchanError, OSError) as error:
            self.skipped.setdefault(name, str(error))
            return None
        if channel.created_ns in self._seen:
            channel.detach()
            return None
        self._seen.add(channel.created_ns)
        return channel
