"""Which finished sub-buffer comes next: buffers in turn, or in the order of time."""

from collections.abc import Sequence
from contextlib import suppress
from math import inf

from rchan import _core
from rchan.errors import ChannelBusy
from rchan.taken import Source, TakenSubbuf


def _by_time(sub: TakenSubbuf) -> tuple[int, int]:
    return sub.first_ns, sub.cpu


class Turns:
    """Each buffer in its turn, so that none starves."""

    def __init__(self) -> None:
        self._next = 0

    def pick(self, sources: Sequence[Source], ended: bool) -> TakenSubbuf | None:
        """The next one that is there now, of any buffer."""
        turn, count = self._next, len(sources)
        for _ in sources:
            if turn >= count:
                turn = 0
            found = sources[turn].take()
            turn += 1
            if found is not None:
                self._next = turn
                return found
        return None

    def patience(self) -> float:
        """Seconds until something is due, whatever the writers do."""
        return inf

    def put_down(self) -> None:
        """Nothing is kept here."""


class TimeOrder:
    """A merge of the buffers by the times of their sub-buffers' first records.

    Holds the oldest finished sub-buffer of every buffer (the fronts). The oldest front goes out as
    soon as no other buffer can have an older one: each has a front itself, or nothing unread, or
    what it has began later than the last one of it ended. One with unread records in an
    unfinished sub-buffer that may be older holds the rest back for `watermark_ns`;
    then that sub-buffer is finished from here, and takes part.
    """

    def __init__(self, watermark_ns: int | None) -> None:
        self._watermark_ns = watermark_ns
        self._fronts: dict[int, TakenSubbuf] = {}
        self._newest_ns = 0

    def pick(self, sources: Sequence[Source], ended: bool) -> TakenSubbuf | None:
        """The oldest, if it is known to be that. ended: nobody writes any more."""
        self._raise_if_in_hand(sources)
        for _ in range(len(sources) + 1):
            self._fill(sources)
            if not self._fronts:
                return None
            first = min(self._fronts.values(), key=_by_time)
            in_doubt = [source for source in sources if self._may_be_older(source, first)]
            if not in_doubt:
                return self._hand_out(first)
            overdue = self._overdue(first)
            if not (overdue or ended):
                return None
            if not self._finish(in_doubt):
                return self._hand_out(first) if overdue else None
        return None

    def patience(self) -> float:
        """Seconds until the oldest front is overdue."""
        if self._watermark_ns is None or not self._fronts:
            return inf
        oldest = min(self._fronts.values(), key=_by_time)
        left_ns = oldest.last_ns + self._watermark_ns - _core.now_ns()
        return max(left_ns / 1e9, 0.001)

    def put_down(self) -> None:
        """Give up the fronts: the next reader gets them."""
        for front in self._fronts.values():
            front.put_down()
        self._fronts.clear()

    def _raise_if_in_hand(self, sources: Sequence[Source]) -> None:
        for source in sources:
            if source.cpu not in self._fronts and source.in_hand():
                raise ChannelBusy(
                    f"a sub-buffer of CPU {source.cpu} is in your hand: in time order, give it "
                    "back before you take the next"
                )

    def _fill(self, sources: Sequence[Source]) -> None:
        for source in sources:
            if source.cpu not in self._fronts:
                found = source.take()
                if found is not None:
                    self._fronts[source.cpu] = found

    def _may_be_older(self, source: Source, first: TakenSubbuf) -> bool:
        """Could this buffer still give a sub-buffer that is older than `first`?"""
        after_ns = 0 if source.last is None else source.last.last_ns
        if source.cpu in self._fronts or after_ns >= first.first_ns:
            return False
        return source.busy or source.buffer.books().readable_records > 0

    def _overdue(self, first: TakenSubbuf) -> bool:
        if self._watermark_ns is None:
            return False
        return _core.now_ns() - first.last_ns >= self._watermark_ns

    def _finish(self, in_doubt: Sequence[Source]) -> bool:
        """Finish what is unfinished there. True: there may be new fronts."""
        finished = False
        for source in in_doubt:
            if not source.busy:
                with suppress(ChannelBusy):  # a stalled writer has it: the others go on
                    finished |= source.buffer._finish()
                finished |= source.unread()
        return finished

    def _hand_out(self, first: TakenSubbuf) -> TakenSubbuf:
        del self._fronts[first.cpu]
        first.late = first.first_ns < self._newest_ns
        self._newest_ns = max(self._newest_ns, first.first_ns)
        return first
