"""One look at a channel: all that `ls`, `stat` and `top` show of it, at one moment.

Attached only for the look: who watches does not keep a channel from being orphaned, and its
writers' words are only read.
"""

from dataclasses import dataclass, field
from os import getpid
from time import monotonic_ns

from rchan import _core
from rchan.channel import Channel
from rchan.channel import open as open_channel
from rchan.errors import ChannelNotFound, NotPermitted, RchanError
from rchan.names import CONTROL_SUFFIX, Parent, directory
from rchan.stats import ChannelStats, Stats, stats_of


@dataclass(frozen=True, slots=True)
class Look:
    """A channel at one moment. Numbers are 0 if it could not be opened."""

    name: str
    state: str
    """live: somebody is attached; orphaned: nobody is; finalized: closed to writers; damaged;
    not permitted."""
    when_ns: int
    """When it was looked at (CLOCK_MONOTONIC)."""
    subbuf_size: int = 0
    n_subbufs: int = 0
    n_buffers: int = 0
    overwrite: bool = False
    enabled: bool = False
    created_ns: tuple[int, int] = (0, 0)
    """Realtime, monotonic."""
    producers: tuple[int, ...] = ()
    """Process ids of those who are attached, readers too."""
    stats: ChannelStats = field(default_factory=lambda: ChannelStats(Stats(), {}))
    offsets: tuple[int, ...] = ()
    """Bytes in the unfinished sub-buffer, of each buffer that exists; full: subbuf_size + 1."""
    wakeups: int = 0
    """Wake-ups of readers so far, of all buffers."""
    readers: int = 0
    """Readers that wait to be woken."""
    directory: str = ""
    """Absolute path of where it is."""

    @property
    def readable_there(self) -> bool:
        """Could it be opened?"""
        return self.subbuf_size > 0

    @property
    def capacity(self) -> int:
        """Bytes that all buffers that exist can hold."""
        return self.subbuf_size * self.n_subbufs * len(self.stats)

    @property
    def fill(self) -> float:
        """How much of that is unread: 0 to 1."""
        return _share(self.stats.total.readable.bytes, self.capacity)

    def fill_of(self, index: int) -> float:
        """The same of one buffer."""
        return _share(self.stats[index].readable.bytes, self.subbuf_size * self.n_subbufs)

    @property
    def age(self) -> float:
        """Seconds since the channel was made."""
        if not self.readable_there:
            return 0.0
        return max(0.0, (self.when_ns - self.created_ns[1]) / 1e9)


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else 0.0


def look_at(name: str, parent: Parent = None) -> Look | None:
    """Look at one channel; None: there is none of this name (any more)."""
    where = directory(parent)
    try:
        channel = open_channel(name, where)
    except ChannelNotFound:
        return None
    except NotPermitted:
        return Look(name, "not permitted", monotonic_ns(), directory=where)
    except RchanError:
        return Look(name, "damaged", monotonic_ns(), directory=where)
    try:
        return look_into(channel)
    except RchanError:
        return Look(name, "damaged", monotonic_ns(), directory=where)
    finally:
        channel.detach()


def look_into(channel: Channel) -> Look:
    """Look at a channel that is open here; this handle does not count as attached."""
    buffers = channel._buffers()
    books = {index: buffer.books() for index, buffer in buffers.items()}
    producers = channel.producers()
    if getpid() in producers:
        producers.remove(getpid())
    state = "finalized" if channel.finalized else "live" if producers else "orphaned"
    return Look(
        name=channel.name or "",
        state=state,
        when_ns=monotonic_ns(),
        subbuf_size=channel.subbuf_size,
        n_subbufs=channel.n_subbufs,
        n_buffers=channel.n_buffers,
        overwrite=channel.overwrite,
        enabled=channel.enabled,
        created_ns=channel.created_ns,
        producers=tuple(producers),
        stats=_stats(books),
        offsets=tuple(book.offset for book in books.values()),
        wakeups=sum(book.wakeups for book in books.values()),
        readers=channel.sleepers,
        directory=channel.directory,
    )


def _stats(books: dict[int, _core.Books]) -> ChannelStats:
    each = {index: stats_of(book) for index, book in books.items()}
    total = Stats()
    for stats in each.values():
        total = total.plus(stats)
    return ChannelStats(total, each)


def names_in(parent: Parent = None) -> list[str]:
    """Names of the channels of a directory, sorted. Raises as `rchan.list` does."""
    from os import scandir

    with scandir(directory(parent)) as entries:
        return sorted(
            entry.name.removesuffix(CONTROL_SUFFIX)
            for entry in entries
            if entry.name.endswith(CONTROL_SUFFIX) and entry.name != CONTROL_SUFFIX
        )


def looks(parent: Parent = None) -> list[Look]:
    """A look at each channel of a directory."""
    found = (look_at(name, parent) for name in names_in(parent))
    return [look for look in found if look is not None]
