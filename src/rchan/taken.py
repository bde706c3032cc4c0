"""TakenSubbuf: a finished sub-buffer in a reader's hand; Lost: what is missing before it."""

from dataclasses import dataclass
from typing import Final
from weakref import ref

from rchan import _core
from rchan.errors import NotHeld
from rchan.stats import Count

OVERTAKEN: Final = 16
"""Attempts to copy a sub-buffer that writers overwrite meanwhile, before trying again later."""

_Cumulative = tuple[tuple[int, int], ...]  # (records, bytes) by cause: overwritten, then the drops
_NO_COUNT: Final = Count()
_NOTHING: Final[_Cumulative] = ((0, 0),) * (1 + len(_core.DROP_CAUSES))


@dataclass(frozen=True, slots=True)
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
        """Both together."""
        return Lost(*(getattr(self, name).plus(getattr(other, name)) for name in self.__slots__))

    def __bool__(self) -> bool:
        return self != _NONE


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
        self.last: _core.Subbuf | None = None  # given back: it knows what was lost before it
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
        buffer = self.buffer
        self.busy = False
        if buffer.subbufs_produced == buffer.subbufs_consumed:
            return None
        if self.held is not None and self.in_hand():
            return None
        try:
            if self.copies:
                found = self._copied()
            else:
                sub = buffer.take()
                found = None if sub is None else TakenSubbuf(self, sub, None)
        except BlockingIOError:
            self.busy = True
            return None
        if found is not None:
            self.held = ref(found)
        return found

    def _copied(self) -> "TakenSubbuf | None":
        for _ in range(OVERTAKEN):
            sub = self.buffer.take()
            if sub is None:
                return None
            with sub.data as data:
                copy = bytes(data)
            if sub.whole:
                return TakenSubbuf(self, sub, copy)
            sub.put_down()  # overwritten meanwhile: the next take counts it and goes on behind it
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


class TakenSubbuf:
    """A finished sub-buffer in a reader's hand; nobody else gets it until it is given back.

    Made by a `Reader`. If it is dropped without being given back, it is put down.
    """

    __slots__ = ("__weakref__", "_before", "_copy", "_source", "_sub", "late", "length")

    length: int
    """Bytes in `data`."""
    late: bool
    """In time order: a sub-buffer that began later was handed out before it (a stalled writer)."""

    def __init__(self, source: Source, sub: _core.Subbuf, copy: bytes | None) -> None:
        self._source = source
        self._sub = sub
        self._copy = copy
        self._before = source.last
        self.length = sub.length
        self.late = False

    @property
    def cpu(self) -> int:
        """Index of its buffer."""
        return self._sub.cpu

    @property
    def seq(self) -> int:
        """Its number in the buffer: sub-buffers produced before it since the last reset."""
        return self._sub.seq

    @property
    def records(self) -> int:
        """Records in the sub-buffer."""
        return self._sub.records

    @property
    def first_ns(self) -> int:
        """Time of its first record, CLOCK_MONOTONIC."""
        return self._sub.first_ns

    @property
    def last_ns(self) -> int:
        """Time when it was finished, CLOCK_MONOTONIC."""
        return self._sub.last_ns

    @property
    def lost(self) -> Lost:
        """Lost in this buffer between the sub-buffer that this reader gave back last and this.

        For the first one that it takes: since the channel was created.
        """
        return _between(_told_by(self._before), _told_by(self._sub))

    @property
    def data(self) -> memoryview:
        """Its bytes, read-only: the mapping itself, or in overwrite mode a copy that is whole.

        Each call makes a view; as long as one of the mapping lives, also as a slice or an array,
        the sub-buffer cannot be given back. Raises NotHeld if it is not in the hand any more.
        """
        if not self._sub.held:
            raise NotHeld(f"{self._who()} was given back or put down: its data is gone")
        return self._sub.data if self._copy is None else memoryview(self._copy)

    @property
    def held(self) -> bool:
        """Is it in the hand: neither given back nor put down?"""
        return self._sub.held

    def release(self) -> bool:
        """Give it back: it is read, and its place is free for writers.

        False: nothing was done, because it was given back or put down before, because this is a
        copy of it that a fork made (it is the parent's), or because a subbuf_start callback let it
        be overwritten meanwhile. Raises BufferError while a view lives.
        """
        sub = self._sub
        if not sub.held:
            return False
        try:
            done = sub.give_back()
        except BufferError:
            raise self._view_lives() from None
        self._source.last = sub
        self._source.held = None
        return done

    def put_down(self) -> None:
        """Not read: the next reader gets it (again). Raises BufferError while a view lives."""
        try:
            self._sub.put_down()
        except BufferError:
            raise self._view_lives() from None

    def _view_lives(self) -> BufferError:
        return BufferError(
            f"a view of {self._who()} still lives (a variable, a slice, an array): release it "
            "first, for instance by `with sub.data as data:`"
        )

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
