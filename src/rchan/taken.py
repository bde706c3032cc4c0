"""TakenSubbuf: a finished sub-buffer in a reader's hand; Lost: what is missing before it."""

from dataclasses import dataclass
from typing import Final
from weakref import ref

from rchan import _core
from rchan.stats import Count, repr_without_zeros

OVERTAKEN: Final = 16
"""Attempts to copy a sub-buffer that writers overwrite meanwhile, before trying again later."""

_Cumulative = tuple[tuple[int, int], ...]  # (records, bytes) by cause: overwritten, then the drops
_NO_COUNT: Final = Count()
_NOTHING: Final[_Cumulative] = ((0, 0),) * (1 + len(_core.DROP_CAUSES))


@dataclass(frozen=True, slots=True, repr=False)
class Lost:
    """Records and bytes that are missing, by cause; false if nothing is."""

    overwritten: Count = _NO_COUNT
    """Overwrite mode: newer ones took their place before they were read."""
    full: Count = _NO_COUNT
    """Never stored: the buffer was full."""
    too_big: Count = _NO_COUNT
    """Never stored: longer than a sub-buffer (less its header)."""
    disabled: Count = _NO_COUNT
    """Never stored: the channel was disabled or finalized."""
    contended: Count = _NO_COUNT
    """Never stored: all buffers were held by others for too long."""

    @property
    def total(self) -> Count:
        """All causes together."""
        drops = self.full.plus(self.too_big).plus(self.disabled).plus(self.contended)
        return self.overwritten.plus(drops)

    def plus(self, other: "Lost") -> "Lost":
        """The sum of this and other."""
        return Lost(*(getattr(self, name).plus(getattr(other, name)) for name in self.__slots__))

    def __bool__(self) -> bool:
        return self != _NONE

    def __repr__(self) -> str:
        return repr_without_zeros(self)


_NONE: Final = Lost()


def _between(before: _Cumulative, now: _Cumulative) -> Lost:
    if before == now:
        return _NONE
    pairs = zip(before, now, strict=True)
    return Lost(*(Count(b[0] - a[0], b[1] - a[1]) for a, b in pairs))


def _told_by(sub: _core.Subbuf | None) -> _Cumulative:
    return _NOTHING if sub is None else (sub.overwritten, *sub.drops)


class Source:
    """One buffer as one reader sees it: what it holds of it, and what it has told of losses."""

    __slots__ = ("buffer", "busy", "copies", "cpu", "held", "last", "opened")

    def __init__(self, buffer: _core.Buffer, copies: bool) -> None:
        self.buffer = buffer
        self.cpu = buffer.index
        self.copies = copies
        self.busy = False  # at the last look another reader held it
        self.held: ref[TakenSubbuf] | None = None
        self.last: TakenSubbuf | None = None  # given back: it knows what was lost before it
        self.opened: tuple[int, float] | None = None  # unfinished: its number, first seen when

    def in_hand(self) -> bool:
        """Does this reader hold a sub-buffer of it?"""
        held = self.held() if self.held is not None else None
        return held is not None and held.held

    def unread(self) -> bool:
        """Is there a finished sub-buffer that nobody has read?"""
        return self.buffer.subbufs_produced != self.buffer.subbufs_consumed

    def take(self) -> "TakenSubbuf | None":
        """The oldest finished sub-buffer; None: there is none, or it is in a hand (see busy)."""
        self.busy = False
        if self.held is not None and self.in_hand():
            return None
        try:
            found = self._copied() if self.copies else self.buffer._take_as(TakenSubbuf, self.last)
        except BlockingIOError:
            self.busy = True
            return None
        if found is not None:
            found._source = self
            found.late = False
            self.held = ref(found)
        return found

    def _copied(self) -> "TakenSubbuf | None":
        for _ in range(OVERTAKEN):
            found = self.buffer._take_as(TakenSubbuf, self.last)
            if found is None or found._copy():
                return found
            _put_down(found)  # overwritten meanwhile: the next take counts it and goes on behind it
        self.busy = True
        return None

    def unreported(self) -> Lost:
        """What was lost up to now, and no sub-buffer that was given back has told."""
        books = self.buffer.books()
        drops = (
            (getattr(books, f"dropped_{cause}_records"), getattr(books, f"dropped_{cause}_bytes"))
            for cause in _core.DROP_CAUSES
        )
        now = ((books.overwritten_records, books.overwritten_bytes), *drops)
        return _between(_told_by(self.last), now)


class TakenSubbuf(_core.Subbuf):
    """A finished sub-buffer in a reader's hand; nobody else gets it until it is given back.

    Made by a `Reader`. If it is dropped without being given back, it is put down.

    cpu: index of its buffer. seq: sub-buffers produced before it since the last reset. length:
    bytes in `data`. records: records in the sub-buffer. first_ns: time of its first record,
    last_ns: of its finish, CLOCK_MONOTONIC. held: is it neither given back nor put down?

    data: its bytes, read-only: the mapping itself, or in overwrite mode a copy that is whole.
    Each look makes a view; as long as one of the mapping lives, also as a slice or an array, the
    sub-buffer cannot be given back. Raises NotHeld if it is not in the hand any more.
    """

    __slots__ = ("__weakref__", "_source", "late")

    _source: Source | None
    """None once it was given back."""
    late: bool
    """In time order: a sub-buffer that began later was handed out before it (a stalled writer)."""

    @property
    def lost(self) -> Lost:
        """Lost in this buffer between the sub-buffer that this reader gave back last and this.

        For the first one that it takes: since the channel was created.
        """
        news = self._news
        return _NONE if news is None else Lost(*(Count(*each) for each in news))

    def give_back(self, length: int | None = None) -> bool:
        """It is read, or its first `length` bytes; see `release`.

        False: it was given back before, or is void, because the channel was reset.
        """
        if not self.held:
            return False
        done = _give_back(self, length)
        source = self._source
        if source is not None:
            source.last = self
            source.held = None
            self._source = None
        return done

    def release(self) -> bool:
        """Give it back: it is read, and its place is free for writers.

        False: nothing was done, because it was given back or put down before, because this is a
        copy of it that a fork made (it is the parent's), or because a subbuf_start callback let it
        be overwritten meanwhile. Raises BufferError while a view lives.
        """
        return self.give_back()

    def put_down(self) -> None:
        """Not read: the next reader gets it (again). Raises BufferError while a view lives."""
        _put_down(self)

    def _who(self) -> str:
        return f"sub-buffer {self.seq} of CPU {self.cpu}"

    def __len__(self) -> int:
        return self.length

    def __bytes__(self) -> bytes:
        with self.data as data:
            return bytes(data)

    def __repr__(self) -> str:
        state = "" if self.held else ", not held any more"
        return f"<rchan.TakenSubbuf: {self._who()}, {self.length} bytes{state}>"


_give_back: Final = _core.Subbuf.give_back
_put_down: Final = _core.Subbuf.put_down
