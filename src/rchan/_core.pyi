"""The C binding: converts, calls, raises. The public surface is the package `rchan`."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar, final

from _typeshed import structseq
from typing_extensions import Buffer as _Bytes
from typing_extensions import disjoint_base

_Kind = TypeVar("_Kind", bound=Subbuf)

VERSION: Final[str]
ABI_VERSION: Final[int]
MAX_SUBBUFS: Final[int]
MAX_BUFFERS: Final[int]
MAX_SLOTS: Final[int]
BASE_MAX: Final[int]
TESTPOINTS: Final[bool]  # built with testpoints (never in a release)
# causes, in the order of the tuples in Books
DROP_CAUSES: Final[tuple[str, ...]]  # ("full", "too_big", "disabled", "contended")

def set_errors(module: Any) -> None:
    """Once, from rchan.errors: the classes that failures are raised as."""

def remove(directory: str, base: str, group: int | None = None) -> None: ...
def now_ns() -> int: ...
def crc32c(data: _Bytes, crc: int = 0, /) -> int: ...

# how Stream.drain ended
DRAINED_EMPTY: Final[int]  # nothing finished is left
DRAINED_LIMIT: Final[int]  # so many were asked for
DRAINED_FULL: Final[int]  # the next one belongs into another file
DRAINED_BUSY: Final[int]  # another reader holds the buffer
DRAINED_DATA: Final[int]  # the data cannot be written (os_errno)
DRAINED_INDEX: Final[int]  # the index cannot be written (os_errno)

def moment() -> tuple[int, int, int]: ...  # CPU's counter, monotonic ns, real time ns

# name, kind (index into rchan.events.types.SCALARS), bytes of a string at most, an enum's numbers,
# elements of an array (-1: none, -2: any number)
_Field: TypeAlias = tuple[str, int, int, dict[Any, int] | None, int]

@final
class Event:
    """A type of events; calling it writes one. Weakly referenceable."""

    @classmethod
    def _new(
        cls, channel: Channel, id: int, name: str, fields: tuple[_Field, ...], source: Any
    ) -> Self: ...
    def __call__(self, *values: Any, **named: Any) -> bool: ...
    def emit(self, /, *values: Any) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def id(self) -> int: ...
    @property
    def _source(self) -> Any: ...

@final
class Span:
    """A span of time between two events."""

    @property
    def id(self) -> int: ...
    @property
    def active(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        value: BaseException | None = None,
        trace: TracebackType | None = None,
        /,
    ) -> bool: ...

@final
class Spans:
    """Makes spans; asks `declare` once for each name and names of fields."""

    @classmethod
    def _new(
        cls,
        declare: Callable[[str, tuple[str, ...], tuple[Any, ...]], tuple[Event, Event]],
    ) -> Self: ...
    def span(self, name: str, /, **fields: Any) -> Span: ...

def mount(source: str, target: str, kind: str, flags: int, data: str, /) -> None: ...
def umount(target: str, flags: int, /) -> None: ...

@final
class Books(structseq[int], tuple[int, ...]):
    """Numbers of one buffer at one moment (a struct sequence: also a tuple of ints)."""

    subbufs_produced: int
    subbufs_consumed: int
    bytes_consumed: int  # position inside the sub-buffer that is being read
    offset: int  # bytes used in the current sub-buffer; subbuf_size + 1: full
    written_records: int
    written_bytes: int
    readable_records: int
    readable_bytes: int
    consumed_records: int
    consumed_bytes: int
    overwritten_records: int
    overwritten_bytes: int
    discarded_records: int
    discarded_bytes: int
    dropped_full_records: int
    dropped_full_bytes: int
    dropped_too_big_records: int
    dropped_too_big_bytes: int
    dropped_disabled_records: int
    dropped_disabled_bytes: int
    dropped_contended_records: int
    dropped_contended_bytes: int
    wakeups: int

@final
class Attachment:
    """A process's hold on a channel: control mapping, slot, descriptor. Weakly referenceable.
    Lives as long as the open Channel, or any Buffer of it."""

@final
class Bell:
    """A reader's doorbell: a descriptor that is readable once it was rung. A context manager.
    Raises ChannelClosed when closed, and in a forked copy, which is void."""

    def fileno(self) -> int: ...
    def rearm(self) -> None:
        """Unreadable until the next news of any buffer rings it, once. Then look once more."""
    def settle(self, buffer: Buffer, had_news: object, /) -> bool:
        """Readable while buffer.poll() is nonzero, else rearmed. False: closed, or the parent's.
        had_news: true if something came since the last time; else an armed bell stays armed."""
    def ring(self) -> None: ...  # the reader's own hand
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

@final
class Buffer:
    """One buffer as this process sees it. Weakly referenceable. Keeps its memory mapped."""

    @property
    def index(self) -> int: ...
    @property
    def attachment(self) -> Attachment: ...
    @property
    def channel_base(self) -> str | None: ...  # None: buffer-only
    @property
    def directory(self) -> str: ...
    @property
    def file_name(self) -> str | None: ...  # None: has no file (yet)
    @property
    def subbuf_size(self) -> int: ...
    @property
    def n_subbufs(self) -> int: ...
    @property
    def alloc_size(self) -> int: ...
    @property
    def subbufs_produced(self) -> int: ...
    @property
    def subbufs_consumed(self) -> int: ...
    @property
    def bytes_consumed(self) -> int: ...
    @property
    def resets(self) -> int: ...  # numbers of sub-buffers began anew at each
    @property
    def offset(self) -> int: ...
    @property
    def padding(self) -> tuple[int, ...]: ...
    @property
    def finalized(self) -> bool: ...
    @property
    def early_bytes(self) -> int: ...
    @property
    def _last_stamp(self) -> int: ...  # no event of it is later
    @property
    def _packets_begun(self) -> int: ...
    @property
    def file_size(self) -> int | None: ...  # None: no file
    @property
    def full(self) -> bool: ...
    @property
    def empty(self) -> bool: ...
    @property
    def memory(self) -> memoryview: ...  # read-only, alloc_size bytes, live
    def link(self, file_name: str, /) -> None:
        """Give the memory this name in the channel's directory (default create_buf_file)."""
    def unlink(self, file_name: str, /) -> None: ...
    def subbuf(self, index: int, /) -> memoryview:
        """Sub-buffer `index`, writable: for subbuf_start callbacks."""
    def subbuf_start_reserve(self, length: int, /) -> bool: ...
    def read(self, size: int, /) -> bytes:
        """relay's read. BlockingIOError: another reader holds the buffer."""
    def readinto(self, into: _Bytes, /) -> int: ...
    def poll(self) -> int: ...
    def wait(self, timeout: float | None = None) -> int:
        """Sleep until poll() is nonzero (its mask) or timeout seconds went by (0)."""
    def _hold(self, size: int, wait_us: int, scratch: _Bytes, /) -> Hold | None:
        """A read that somebody else gets: at most len(scratch) bytes, None: nothing is there.
        BlockingIOError: another reader has the buffer, for longer than wait_us."""
    def take(self) -> Subbuf | None:
        """The oldest finished sub-buffer, held until given back; None: there is none.
        BlockingIOError: another reader holds one."""
    def _take_as(self, kind: type[_Kind], before: Subbuf | None, /) -> _Kind | None:
        """The same as an object of `kind`, which does not call it. before: what its reader had
        before it, for `_news`."""
    def tap(self, start: str, /) -> Tap:
        """A position of its own, from "unread", "oldest" or "now" on."""
    def consumed(self, count: int, /) -> None: ...
    def flush(self) -> None: ...
    def _finish(self, subbuf: int = ..., /) -> bool:
        """A reader's flush: finish the current sub-buffer (only if it is this one) if a record
        and unread bytes are in it, and start none. False: nothing to do. ChannelBusy: a writer
        stalls."""
    def books(self) -> Books: ...
    def _is_whole(self) -> bool:
        """False: the channel's control file was cut, now or before. A reader's question, before it
        looks at the memory of a channel that others may damage; from now on a look is safe."""
    def _bell(self) -> Bell: ...  # of the channel: other buffers' news ring it, too
    # the parts of wait(), for tests that sleep without a thread
    def _sleeper_add(self) -> int: ...
    def _sleeper_remove(self, epoch: int) -> bool: ...
    @property
    def _wake_epoch(self) -> int: ...
    @property
    def _wake_asked(self) -> bool: ...

@final
class Hold:
    """Bytes read from a buffer on their way to somebody else. Dropped: unread again."""

    @property
    def length(self) -> int: ...
    def deliver(self, fd: int, head: _Bytes, /) -> None:
        """Write head and the bytes as one message. OSError: they are unread again."""
    def put_down(self) -> None: ...
    def __bytes__(self) -> bytes: ...

@final
class Polls:
    """The server's end of /dev/fuse: requests, of which it answers the polls of known files itself.
    For one thread at a time."""

    def __new__(cls, device: int, stop: int) -> Self: ...
    def receive(self, message: bytearray, /) -> int:
        """Wait for a request that is not answered here; its length. 0: `stop` is readable, or the
        mount is gone."""
    def add(self, fh: int, buffer: Buffer, /) -> None:
        """Answer the polls of this open file from now on. Known already: nothing."""
    def drop(self, fh: int, /) -> None: ...  # it was closed
    def answer(self, unique: int, fh: int, kh: int | None, /) -> bool:
        """Answer a poll; kh: who is to be told, once, of news after that. False: no such file."""
    def close(self) -> None: ...

@disjoint_base
class Subbuf:
    """A finished sub-buffer in the reader's hand. Read-only buffer protocol over the mapping
    (memoryview(sub)); in overwrite mode `whole` says whether what was read is good."""

    @property
    def cpu(self) -> int: ...  # the buffer's index
    @property
    def seq(self) -> int: ...
    @property
    def before_records(self) -> int: ...  # written before it, whatever became of them
    @property
    def resets(self) -> int: ...  # of its buffer, before it: seq began anew at each
    @property
    def data(self) -> memoryview: ...
    @property
    def length(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def first_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
    @property
    def overwritten(self) -> tuple[int, int]: ...  # (records, bytes), all before it
    @property
    def drops(self) -> tuple[tuple[int, int], ...]: ...  # per cause, as they stood at its start
    @property
    def _news(self) -> tuple[tuple[int, int], ...] | None: ...  # both, less those of `before`
    @property
    def whole(self) -> bool: ...
    @property
    def held(self) -> bool: ...
    def give_back(self, length: int | None = None) -> bool:
        """Consumed: the first `length` bytes (None: all). BufferError while a view of data lives.
        False: void, because the channel was reset, or this is a forked copy."""
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def put_down(self) -> None: ...  # not consumed; same error
    def _copy(self) -> bool: ...  # data is a copy from now on; False: overwritten meanwhile

@final
class Stream:
    """A recorded file and its index, as core/stream.h describes them. Owns no descriptor."""

    def __new__(cls, data_fd: int, index_fd: int) -> Self: ...
    def drain(self, buffer: Buffer, most: int, /) -> int: ...
    offset: int
    index_offset: int
    allocate: int
    start: int
    limit: int
    stride: int
    checked: bool
    any: bool
    last_resets: int
    last_seq: int
    subbufs: int
    records: int
    os_errno: int
    @property
    def last(self) -> bytes | None: ...  # the newest entry
    @property
    def bytes(self) -> int: ...

@final
class SubbufCopy:
    """A copy of a sub-buffer, as a tap delivers it. Read-only buffer protocol, and len()."""

    def __len__(self) -> int: ...
    @property
    def cpu(self) -> int: ...  # the buffer's index
    @property
    def seq(self) -> int: ...
    @property
    def data(self) -> memoryview: ...
    @property
    def length(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def first_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
    @property
    def finished(self) -> bool: ...  # False: what there was of it at the cut
    @property
    def was_reset(self) -> bool: ...  # seq began anew; missed counts sub-buffers from there
    @property
    def missed(self) -> tuple[int, int, int]: ...  # sub-buffers, records, bytes since the last
    @property
    def drops(self) -> tuple[tuple[int, int], ...]: ...  # per cause, as they stood at its start
    @property
    def lost(self) -> tuple[tuple[int, int], ...]: ...  # per cause, since the last one began
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Arena:
    """Memory for copies: `size` bytes of its own, or all of `into`."""

    def __new__(cls, size: int, into: _Bytes | None = None) -> Self: ...
    @property
    def size(self) -> int: ...
    @property
    def used(self) -> int: ...

@final
class Tap:
    """A reader's own position in one buffer; it consumes nothing."""

    def next(self, arena: Arena = ...) -> SubbufCopy | None:
        """A copy of the next finished sub-buffer (in `arena`, if there is room)."""
    def cut(self) -> Books:
        """End here, with what is unfinished; the books at this very moment."""
    def rest(self) -> tuple[int, int, int]: ...  # missed between the last copy and the cut
    @property
    def buffer(self) -> Buffer: ...
    @property
    def seq(self) -> int: ...
    @property
    def left(self) -> int: ...  # bytes up to the cut, at most

@final
class Reservation:
    """`length` bytes in place; a context manager: commits at the end, aborts on an exception.
    Writable buffer protocol (memoryview(slot)), slot[i], slot[a:b] = …"""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: int | slice, /) -> Any: ...
    def __setitem__(self, key: int | slice, value: Any, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    @property
    def position(self) -> int: ...  # byte position in the buffer
    @property
    def cpu(self) -> int: ...
    @property
    def stored(self) -> bool: ...  # False: was refused (dropped and counted): a scratch place
    def commit(self, length: int | None = None) -> None: ...  # the first `length` bytes
    def abort(self) -> None: ...

# What the binding calls, in the process that causes it; None: the built-in behaviour.
_Hooks = tuple[
    # create_buf_file: 0 refused, 1 done, 2 done and global
    Callable[[Buffer, str | None], int] | None,
    # remove_buf_file
    Callable[[Buffer, str | None], object] | None,
    # subbuf_start: index, prev, prev_padding
    Callable[[Buffer, int, int | None, int], object] | None,
    Callable[[Buffer, int], object] | None,  # deliver
    Callable[[Buffer, int], object] | None,  # buf_full
]

@disjoint_base
class Channel:
    """Base of rchan.Channel. write() is the fast path; the rest is slow and simple."""

    @classmethod
    def _create(
        cls,
        directory: str,
        base: str | None,
        subbuf_size: int,
        n_subbufs: int,
        n_buffers: int,
        overwrite: bool,
        mode: int,
        cpus: Sequence[int],
        hooks: _Hooks | None,
        stamps: tuple[int, int] | None = None,  # an event channel's clock and Hz
        group: int | None = None,  # whose members may do everything with it
    ) -> Self: ...
    @classmethod
    def _attach(
        cls, directory: str, base: str, hooks: _Hooks | None, group: int | None = None
    ) -> Self: ...
    def write(self, data: _Bytes, cpu: int | None = None) -> bool: ...
    def write_and_wake(self, data: _Bytes, cpu: int | None = None) -> bool: ...
    def reserve(self, length: int, cpu: int | None = None) -> Reservation: ...
    def _flush(self, cpu: int | None = None) -> list[int]: ...  # indices of buffers that were busy
    def _reset(self) -> list[int]: ...
    def _finalize(self) -> int: ...
    def _close(self) -> None: ...  # creator: finalize, remove; others: detach
    def _detach(self) -> None: ...
    def _late_setup(self, directory: str, base: str) -> None: ...
    def _prepare(self, cpu: int) -> Buffer: ...
    def _buffers(self) -> dict[int, Buffer]: ...  # all that exist, by index; maps new ones
    def _wait(self, timeout: float | None) -> bool:
        """Sleep until any buffer polls nonzero; False: timeout. Buffers made meanwhile are seen."""
    def _sleeper_add(self) -> int: ...  # from now on news change the epoch that this is
    def _sleep(self, epoch: int, timeout: float | None, /) -> None:
        """After a look that found nothing: until there are news since then. No sleeper any more."""
    def _bell(self) -> Bell: ...  # Unsupported: buffer-only; ChannelBusy: all taken
    def _wait_taps(self, taps: tuple[Tap, ...], known: _Bytes, timeout: float | None, /) -> bool:
        """Sleep until a tap has something, a buffer i with known[i] == 0 is there, or all ended."""
    def _producers(self) -> list[int]: ...  # pids of those that write, or may
    def _run_wakeups(self) -> int: ...
    def _metadata(self, offset: int, /) -> bytes: ...
    def _append_metadata(self, length: int, metadata: bytes, /) -> bool:
        """False: it is not `length` bytes long any more. ChannelBusy, NoSpace."""
    @property
    def events(self) -> bool: ...  # it holds typed events
    # clock (1 monotonic, 2 counter), base, Hz; anchor: stamp, monotonic, real time; uuid, same boot
    @property
    def _clock(self) -> tuple[int, int, int, int, int, int, bytes, bool] | None: ...
    _defer_wakeups: bool
    _wakeup: int  # rchan.wakeup knows its bits
    enabled: bool
    @property
    def closed(self) -> bool: ...
    @property
    def creator(self) -> bool: ...  # this handle made the channel, in this process
    @property
    def finalized(self) -> bool: ...
    @property
    def orphaned(self) -> bool: ...  # no other process is attached that writes, or may
    @property
    def base(self) -> str | None: ...
    @property
    def directory(self) -> str: ...
    @property
    def group(self) -> int | None: ...  # number of the group that shares it
    @property
    def sleepers(self) -> int: ...  # readers that wait now; one killed asleep until it is woken
    @property
    def subbuf_size(self) -> int: ...
    @property
    def n_subbufs(self) -> int: ...
    @property
    def n_buffers(self) -> int: ...
    @property
    def alloc_size(self) -> int: ...
    @property
    def overwrite(self) -> bool: ...
    @property
    def last_toobig(self) -> int: ...
    @property
    def created_ns(self) -> tuple[int, int]: ...  # realtime, monotonic
    @property
    def attachment(self) -> Attachment: ...
    @property
    def owner_wait(self) -> float: ...  # seconds that a writer waits for a taken buffer at most

@final
class Decoder:
    """Events of several streams of packets, merged by time; `rchan.events.read` uses it."""

    def __new__(cls, uuid: bytes, stamp: int, realtime_ns: int, frequency: int, /) -> Self: ...
    @property
    def n_types(self) -> int: ...
    def add(
        self,
        name: str,
        fields: tuple[tuple[str, int, dict[int, str] | None, int], ...],
        wanted: bool,
        /,
    ) -> None: ...
    def feed(self, stream: int, data: _Bytes, finished: bool, /) -> None: ...
    def set_open(self, stream: int, open: bool, /) -> None: ...
    def dry(self) -> list[int]: ...
    def full(self) -> bool: ...
    def rows(
        self, most: int, all: bool, /
    ) -> list[tuple[str, int, int, int, int, dict[str, Any]]]: ...
    def columns(self, most: int, all: bool, /) -> int: ...
    # rows, time, cpu, pid, tid; of each field: elements, list offsets, offsets, values
    def take(
        self, id: int, /
    ) -> tuple[
        int, _Bytes, _Bytes, _Bytes, _Bytes, tuple[tuple[int, _Bytes, _Bytes, _Bytes], ...]
    ]: ...
    # packets, events, late; skipped events, bytes; discarded events, missing packets; damage
    def counts(self) -> tuple[int, int, int, int, int, int, int, dict[str, int]]: ...
