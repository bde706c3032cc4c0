"""Channel: the object that the user holds, and how to come by one."""

import warnings
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from rchan import _core
from rchan.buffers import BufferMap, check_cpu
from rchan.callbacks import Callbacks, check_callbacks, hooks
from rchan.cpus import default_n_buffers, online
from rchan.errors import (
    ChannelBusy,
    ChannelClosed,
    ChannelExists,
    ChannelNotFound,
    GeometryError,
    NoSuchBuffer,
    RchanWarning,
    Unsupported,
    WrongChannel,
    WrongType,
)
from rchan.geometry import check_mode, whole_number
from rchan.groups import Group
from rchan.names import CONTROL_SUFFIX, Parent, check_base, place
from rchan.reader import Reader
from rchan.snapshot import Snapshot, take_snapshot
from rchan.stats import ChannelStats, channel_stats
from rchan.tap import Start, Tap
from rchan.wakeup import Wakeup, from_bits, to_bits

if TYPE_CHECKING:
    from typing_extensions import Buffer as _Bytes

    from rchan._core import _Hooks

_OPEN_ATTEMPTS: Final = 16
_open_channels: "weakref.WeakSet[Channel]" = weakref.WeakSet()


class Channel(_core.Channel):
    """A channel (the kernel's struct rchan); made by `create` or `open`.

    A context manager: it is closed at the end. Any number of threads may use it at once.
    It is pickled by its name, so that it can be handed to other processes. Every method but
    `close` and `detach` raises ChannelClosed after either of them.
    """

    __slots__ = ("callbacks", "private_data")

    callbacks: Callbacks | None
    private_data: Any

    @property
    def name(self) -> str | None:
        """The channel's name; None while it is buffer-only."""
        return self.base

    @property
    def path(self) -> str | None:
        """Absolute path of its control file; None while it is buffer-only."""
        base = self.base
        return None if base is None else str(Path(self.directory, base + CONTROL_SUFFIX))

    @property
    def buffers(self) -> BufferMap:
        """The buffers that exist now, of all processes, by CPU number."""
        return BufferMap(self)

    @property
    def wakeup(self) -> Wakeup:
        """When writers wake readers that sleep; may be set at any time, by any process.

        "subbuf": when a sub-buffer is finished (relay's way). "write": at every record.
        ("bytes", n), ("records", n): after n of them in one buffer, over sub-buffers (perf's
        watermark), at a flush, and once half of the buffer's sub-buffers are unread. "never": at no
        record and no sub-buffer: readers poll. poll() announces what readers were woken for, so
        unfinished sub-buffers too, unless this is "subbuf". Holds from the next record on. The
        default and "never" cost a writer nothing; in the others it takes its slower path.

        Setting it raises WrongType, GeometryError (n is not from 1 to 2**24 - 1), ChannelClosed.
        """
        return from_bits(self._wakeup)

    @wakeup.setter
    def wakeup(self, wakeup: Wakeup) -> None:
        self._wakeup = to_bits(wakeup)

    def flush(self) -> None:
        """Finish the current sub-buffer of every buffer, also an empty one (relay_flush).

        Raises ChannelBusy, after it did the others, if a buffer's owner did not let go.
        """
        self._raise_if_busy(self._flush(), "flushed")

    def reset(self) -> None:
        """Empty every buffer and begin anew (relay_reset); what was unread counts as discarded.

        Raises ChannelBusy, after it did the others, if a buffer was held by somebody.
        """
        self._raise_if_busy(self._reset(), "reset")

    def _raise_if_busy(self, busy: list[int], done: str) -> None:
        if busy:
            numbers = ", ".join(map(str, busy))
            raise ChannelBusy(
                f"channel {self.name!r}: buffer {numbers} was held by a writer or reader and was "
                f"not {done} (the others were): try again"
            )

    def finalize(self) -> None:
        """Let nobody write any more, in any process; wake all readers; files stay.

        Raises ChannelBusy if a stalled writer holds a buffer (it can finish that one record).
        """
        stalled = self._finalize()
        if stalled:
            raise ChannelBusy(
                f"channel {self.name!r} is finalized, but in {stalled} of its buffers a writer "
                "has not finished its record: call finalize again to wait for it"
            )

    def close(self) -> None:
        """Give the channel up (relay_close). A second call does nothing.

        The creator's handle finalizes the channel and removes its files; what others have open
        can be read to the end. A handle of `open` only detaches. Warns (RchanWarning) once, at
        the creator, if a record was too big to be stored.
        """
        if self.closed:
            return
        attachment = self.attachment
        name, creator, too_big = self.name, self.creator, self.last_toobig
        most = self.subbuf_size
        self._close()
        _open_channels.discard(self)
        if creator and too_big:
            warnings.warn(
                f"channel {name!r}: records were dropped because they are longer than a sub-buffer "
                f"(subbuf_size={most:,}); the last had {too_big:,} bytes "
                "(stats().total.dropped_too_big)",
                RchanWarning,
                stacklevel=2,
            )
        del attachment

    def detach(self) -> None:
        """Give only this handle up: the channel and its files stay, also if we created it.

        A buffer-only channel goes with its last handle.
        """
        if not self.closed:
            self._detach()
            _open_channels.discard(self)

    def __enter__(self) -> Self:
        if self.closed:
            raise ChannelClosed("this channel handle is closed: create or open another")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def subbufs_consumed(self, cpu: int, k: int) -> None:
        """Count k more sub-buffers of a CPU's buffer as read (relay_subbufs_consumed).

        cpu: whose buffer. Ignored if there is no such buffer, or if k > n_subbufs. A half-read
        sub-buffer counts as one. Raises BlockingIOError while another reader holds a sub-buffer,
        WrongType.
        """
        if not isinstance(cpu, int) or not isinstance(k, int):
            raise WrongType(f"cpu and k must be of type int, not {cpu!r} and {k!r}")
        buffer = self.buffers.get(cpu)
        if buffer is not None and 0 <= k <= self.n_subbufs:
            buffer.consumed(k)

    def late_setup_files(self, base: str, parent: Parent = None) -> None:
        """Give a buffer-only channel its name and files, losing nothing (relay_late_setup_files).

        base, parent: the name and the directory, as of `create`. All or nothing: after a failure
        it can be tried again. Raises BadName, WrongType, ChannelExists (such a name, or this
        channel has one already), ChannelNotFound (parent), CallbackFailed, NotPermitted,
        Unsupported (another file system), SystemFailure.
        """
        shared = "" if self.group is None else self.group
        self._late_setup(place(parent, shared)[0], check_base(base))

    def prepare_cpu(self, cpu: int) -> _core.Buffer:
        """This CPU's buffer and file, made if they are not there (relay_prepare_cpu).

        cpu: its number. Raises NoSuchBuffer (no such CPU), NoSpace, CallbackFailed, WrongType.
        """
        return self._prepare(check_cpu(cpu))

    def stats(self) -> ChannelStats:
        """The books, by cause: of each buffer that exists and of all together (relay_stats)."""
        return channel_stats(self._buffers())

    def tap(
        self,
        cpus: Iterable[int] | None = None,
        start: Start = "unread",
        timeout: float | None = None,
        until_orphaned: bool = False,
    ) -> Tap:
        """Read along without consuming: iterates over copies of finished sub-buffers.

        cpus: only the buffers of these CPUs; None: of all, also of those that come later.
        start: "unread": where the consumer is, from the beginning of its sub-buffer; "oldest":
        what is still there, although consumed; "now": the sub-buffer that is being filled.
        timeout: seconds to wait for the next one; 0: not at all, None: for ever.
        until_orphaned: end when the channel is `orphaned`, as `reader` does.
        Raises NoSuchBuffer, WrongType, ChannelBusy (written too fast to find a beginning).
        """
        indices = None if cpus is None else {check_cpu(cpu) % self.n_buffers for cpu in cpus}
        return Tap(self, indices, start, timeout, until_orphaned)

    def snapshot(self, start: Start = "oldest", into: "_Bytes | None" = None) -> Snapshot:
        """Copy everything that is there now, the unfinished sub-buffers too, oldest first.

        Nothing is consumed, and no writer stopped or slowed. start: "oldest", or "unread": what
        the consumer has not had. into: writable memory for the copies, such as a bytearray that
        the snapshot before used (whose copies then change); what does not fit goes elsewhere.
        Raises ChannelBusy (written too fast to find a beginning), CorruptChannel, WrongType.
        """
        return take_snapshot(self, start, into)

    def producers(self) -> list[int]:
        """Process ids of the channel's producers: of each handle, but those that have only read.

        A handle that has done nothing yet counts, this one too. For people only.
        """
        return self._producers()

    def reader(
        self,
        cpus: Iterable[int] | None = None,
        in_time_order: bool = False,
        watermark: float | None = 0.1,
        flush_interval: float | None = None,
        timeout: float | None = None,
        until_orphaned: bool = False,
    ) -> Reader:
        """A reader of finished sub-buffers: `for sub in channel.reader(): …`, or `async for`.

        cpus: only the buffers of these CPUs. flush_interval: seconds after which the reader
        finishes a slow, unfinished sub-buffer itself, unless it is empty. timeout: the loop ends
        when nothing came for so many seconds. It also ends when the channel is finalized, and with
        until_orphaned when it is `orphaned`, after everything was read.

        in_time_order: over all CPUs, by `first_ns`; whatever comes later was written later than
        that. watermark: seconds that a CPU with unread records in an unfinished sub-buffer may hold
        the others back before the reader finishes that; None: as long as it likes.

        Raises WrongType, NoSuchBuffer, GeometryError (a negative time), ChannelClosed.
        """
        return Reader(
            self,
            None if cpus is None else self._indices(cpus),
            in_time_order=in_time_order,
            watermark=watermark,
            flush_interval=flush_interval,
            timeout=timeout,
            until_orphaned=until_orphaned,
        )

    def _indices(self, cpus: Iterable[int]) -> frozenset[int]:
        if isinstance(cpus, str | bytes) or not isinstance(cpus, Iterable):
            raise WrongType(f"cpus must be several CPU numbers, not {type(cpus).__name__}")
        chosen = frozenset(check_cpu(cpu) % self.n_buffers for cpu in cpus)
        if not chosen:
            raise NoSuchBuffer("cpus is empty: name at least one CPU, or None for all")
        return chosen

    def __reduce__(self) -> tuple[Any, ...]:
        if self.closed:
            raise ChannelClosed("a closed channel handle cannot be pickled")
        if self.name is None:
            raise Unsupported(
                "a buffer-only channel cannot be pickled, it has no name yet: call "
                "late_setup_files first, or inherit it by fork"
            )
        group = "" if self.group is None else self.group
        return open, (self.name, self.directory, None, None, group)

    def __repr__(self) -> str:
        if self.closed:
            return "<rchan.Channel closed>"
        mode = "overwrite" if self.overwrite else "no-overwrite"
        return (
            f"<rchan.Channel {self.name!r}: {self.n_buffers} buffers of {self.n_subbufs} x "
            f"{self.subbuf_size} bytes, {mode}>"
        )


def _adopt(channel: Channel, callbacks: Callbacks | None, private_data: object) -> Channel:
    channel.callbacks = callbacks
    channel.private_data = private_data
    _open_channels.add(channel)
    return channel


def create(
    name: str | None,
    parent: Parent = None,
    subbuf_size: int = 262144,
    n_subbufs: int = 8,
    overwrite: bool = False,
    n_buffers: int | None = None,
    callbacks: Callbacks | None = None,
    private_data: object = None,
    mode: int = 0o600,
    exist_ok: bool = False,
    group: Group = None,
) -> Channel:
    """Create a channel (relay_open); its creator's `close` removes it.

    name: its files are name.chan, name0, name1, …; None: buffer-only, for late_setup_files.
    parent: the directory: None is the default one, relative ones are below it.
    subbuf_size: bytes of a sub-buffer, and so of the longest record. n_subbufs: sub-buffers of a
    buffer. overwrite: True keeps the newest records, False the oldest (and counts the others).
    n_buffers: None is one per CPU, but no more than twice the control group's CPU quota; 1 is
    the kernel's global buffer. callbacks: what decides and is told, see `Callbacks`; they run in
    the process that causes them. private_data: kept in the attribute of that name.
    mode: permission bits of the files, 0o600 at least, none for others. exist_ok: a channel of this
    name and geometry may be there already, made by somebody else; then join it as `open` does.
    group: name or number of a group that we are in: its members may do everything with the channel
    (mode 0o660). The directory must be the group's; that of parent None is
    /dev/shm/rchan-group-<number>. None: as RCHAN_GROUP says, else nobody; "": nobody.

    Raises WrongType, BadName, GeometryError (also: another geometry than the channel that is
    there), ChannelExists, ChannelNotFound (no such directory), NotPermitted, NoSpace,
    CallbackFailed, Unsupported, SystemFailure, and with exist_ok WrongChannel (it holds typed
    events) and ChannelBusy (somebody makes and removes it all the time); then nothing is left
    behind.
    """
    hooked = hooks(check_callbacks(callbacks))
    base = None if name is None else check_base(name)
    where, shared = place(parent, group)
    make = _maker(where, base, subbuf_size, n_subbufs, overwrite, n_buffers, mode, hooked, shared)
    if base is None or not exist_ok:
        return _adopt(make(), callbacks, private_data)
    for _ in range(_OPEN_ATTEMPTS):
        try:
            return _adopt(make(), callbacks, private_data)
        except ChannelExists:
            try:
                joined = Channel._attach(where, base, hooked, shared)
            except ChannelNotFound:  # removed in between: create it after all
                continue
            _check_same(joined, subbuf_size, n_subbufs, bool(overwrite), n_buffers)
            return _adopt(joined, callbacks, private_data)
    raise ChannelBusy(f"channel {base!r} comes and goes: somebody creates and removes it all along")


def _maker(
    where: str,
    base: str | None,
    subbuf_size: int,
    n_subbufs: int,
    overwrite: bool,
    n_buffers: int | None,
    mode: int,
    hooked: "_Hooks | None",
    group: int | None,
    stamps: tuple[int, int] | None = None,
) -> Callable[[], Channel]:
    """What makes the channel, its numbers checked."""
    subbuf_size = whole_number("subbuf_size", subbuf_size, 1, 2**32 - 1)
    n_subbufs = whole_number("n_subbufs", n_subbufs, 1, _core.MAX_SUBBUFS)
    if n_buffers is not None:
        n_buffers = whole_number("n_buffers", n_buffers, 1, _core.MAX_BUFFERS)
    mode = check_mode(mode)
    if group is not None:
        mode |= 0o660
    count = n_buffers or default_n_buffers()
    given = (where, base, subbuf_size, n_subbufs, count, bool(overwrite), mode)
    return lambda: Channel._create(*given, online(), hooked, stamps, group)


def create_for_events(
    name: str,
    parent: Parent,
    subbuf_size: int,
    n_subbufs: int,
    overwrite: bool,
    n_buffers: int | None,
    mode: int,
    stamps: tuple[int, int],
    group: Group = None,
) -> Channel:
    """Create a channel whose sub-buffers are packets of events; stamps: its clock and Hz."""
    (where, shared), base = place(parent, group), check_base(name)
    geometry = (subbuf_size, n_subbufs, overwrite, n_buffers)
    make = _maker(where, base, *geometry, mode, None, shared, stamps)
    return _adopt(make(), None, None)


def _check_same(
    joined: Channel, subbuf_size: int, n_subbufs: int, overwrite: bool, n_buffers: int | None
) -> None:
    if joined.events:
        name = joined.name
        joined._detach()
        raise WrongChannel(f"channel {name!r} holds typed events: open it with rchan.Tracer")
    wanted = {"subbuf_size": subbuf_size, "n_subbufs": n_subbufs, "overwrite": overwrite}
    if n_buffers is not None:
        wanted["n_buffers"] = n_buffers
    there = {key: getattr(joined, key) for key in wanted}
    if there != wanted:
        name = joined.name
        joined._detach()
        has = ", ".join(f"{key}={value}" for key, value in there.items())
        asked = ", ".join(f"{key}={value}" for key, value in wanted.items())
        raise GeometryError(f"channel {name!r} exists with {has}; asked for was {asked}")


def open(
    name: str,
    parent: Parent = None,
    callbacks: Callbacks | None = None,
    private_data: object = None,
    group: Group = None,
) -> Channel:
    """Take part in a channel of another process, or of this one: write, read, control.

    name, parent, callbacks, private_data, group: as in `create`; callbacks run in the process that
    causes them. Raises WrongType, BadName, ChannelNotFound, CorruptChannel, IncompatibleChannel,
    NotPermitted, SystemFailure.
    """
    base = check_base(name)
    hooked = hooks(check_callbacks(callbacks))
    where, shared = place(parent, group)
    return _adopt(Channel._attach(where, base, hooked, shared), callbacks, private_data)


def open_channels() -> list[Channel]:
    """All channel handles that this process has open."""
    return [channel for channel in list(_open_channels) if not channel.closed]
