"""The model of docs/explanation/protocol.md: taking words, write, reserve, switch, flush, reset.

One `yield` is one atomic step on a shared word (words.py says which word is which of layout.h).
Each method is a part of an actor's program; tests override single methods to plant a bug.
"""

from collections.abc import Generator
from typing import Any

from .consume import Reading
from .explore import Op, Program
from .truth import committed, decided, discarded, finished
from .words import (
    ACCOUNT,
    ACCOUNT_WORDS,
    BEGUN,
    CONTENDED,
    DROPPED,
    HEAD,
    OWNER,
    PADDING,
    PENDING,
    READER,
    RECORDS,
    RESET_BYTES,
    RESET_RECORDS,
    RESET_UNFINISHED,
    RESETTING,
    START_BYTES,
    START_RECORDS,
    STARTED,
    TAIL,
    TOTAL_BYTES,
    TOTAL_RECORDS,
    UNFINISHED,
    Note,
    add,
    give,
    load,
    peek,
    store,
)

Data = tuple[Any, ...]
Steps = Generator[Op, Any, Any]


def record(writer: int, number: int, size: int) -> Data:
    """The bytes of a record: each says whose, which, and which byte of it."""
    return tuple((writer, number, at) for at in range(size))


class Protocol(Reading):
    """What a process does, by the rules. `header`: bytes that subbuf_start reserves."""

    # --- programs

    def writer(self, me: int, sizes: tuple[int, ...]) -> Program:
        for number in range(len(sizes)):
            yield from self.write(me, record(me, number, sizes[number]))

    def reserver(self, me: int, size: int, commits: bool) -> Program:
        """Fills a reservation in place, byte by byte, then commits or aborts it."""
        data = record(me, 0, size)
        place = yield from self.reserve(me, data)
        if place is None:
            return
        p, offset = place
        yield from self.copy(p, offset, data)
        if commits:
            yield from self.commit(p, offset, data)
        yield give(OWNER, me)

    def flusher(self, me: int) -> Program:
        if (yield from self.own(me)):
            yield from self.begin()
            yield from self.switch()
            yield give(OWNER, me)

    def resetter(self, me: int) -> Program:
        """-EBUSY (nothing done) when a live process holds one of the words."""
        if not (yield from self.own(me)):
            return
        if (yield from self.take_word(READER, me)) is not None:
            yield from self.reset()
            yield give(READER, me)
        yield give(OWNER, me)

    # --- the owner word

    def own(self, me: int) -> Steps:
        """Take the owner word and set right what a dead holder left. False: not had."""
        while True:
            before = yield from self.take_word(OWNER, me)
            if before is None:
                return False
            if before == 0 or (yield from self.repair(me, before)):
                return True
            if not self.patient:
                return False

    def repair(self, me: int, dead: int) -> Steps:
        """False: a reset is unfinished, and a live reader has the other word: left as it was."""
        if (yield peek(RESETTING)):
            if (yield from self.try_word(READER, me)) is None:
                # not 0: the next one must find the unfinished reset, too
                yield give(OWNER, me, dead)
                return False
            yield from self.finish_reset()
            yield give(READER, me)
        yield from self.repair_pending()
        return True

    def repair_pending(self) -> Steps:
        """In a full buffer `pending` is void; else it must not be ahead of `head`."""
        offset = (yield peek(HEAD))[1]
        pending = yield peek(PENDING)
        if offset != self.full and pending[1] != offset:
            yield store(PENDING, (max(pending[0] - 1, 0), offset))

    # --- write

    def write(self, me: int, data: Data) -> Steps:
        place = yield from self.reserve(me, data)
        if place is None:
            return
        p, offset = place
        yield from self.copy_and_commit(p, offset, data)
        yield give(OWNER, me)

    def reserve(self, me: int, data: Data) -> Steps:
        """Where the record goes, with the owner word held; or None: dropped, counted, let go."""
        if not (yield from self.own(me)):
            yield add(CONTENDED, 1, decided(data[0][:2], "contended"))
            return None
        yield from self.begin()
        head = yield peek(HEAD)
        if head[1] + len(data) > self.size:
            if not (yield from self.switch()):
                yield from self.count_full(data)
                yield give(OWNER, me)
                return None
            head = yield peek(HEAD)
        return head

    def copy_and_commit(self, p: int, offset: int, data: Data) -> Steps:
        yield from self.copy(p, offset, data)
        yield from self.commit(p, offset, data)

    def copy(self, p: int, offset: int, data: Data) -> Steps:
        for at in range(len(data)):
            yield store(self.data(p) + offset + at, data[at])

    def commit(self, p: int, offset: int, data: Data) -> Steps:
        pending = yield peek(PENDING)
        yield store(PENDING, (pending[0] + 1, offset + len(data)))
        yield store(HEAD, (p, offset + len(data)), committed(p, offset, data, data[0][:2]))

    def count_full(self, data: Data) -> Steps:
        select = yield peek(DROPPED)
        count = yield peek(DROPPED + 1 + (select & 1))
        yield store(DROPPED + 1 + (~select & 1), count + 1)
        yield store(DROPPED, select + 1, decided(data[0][:2], "full"))

    # --- switch

    def switch(self) -> Steps:
        """False: FULL."""
        p, offset = yield peek(HEAD)
        if offset != self.full:
            yield from self.finish(p, offset)
            p += 1
        if not self.overwrite and not (yield from self.has_room(p)):
            return False
        yield from self.start(p)
        return True

    def has_room(self, p: int) -> Steps:
        tail = yield load(TAIL)
        return p - tail[0] < self.n

    def finish(self, p: int, offset: int) -> Steps:
        records = (yield peek(PENDING))[0]
        yield store(self.meta(p) + PADDING, self.size - offset)
        yield store(self.meta(p) + RECORDS, records)
        yield from self.add_totals(p, records, offset)
        yield store(HEAD, (p + 1, self.full), finished(offset))

    def add_totals(self, p: int, records: int, size: int) -> Steps:
        """By parity: totals[p & 1] stays what it was until `head` says p + 1."""
        total = yield peek(TOTAL_RECORDS + (p & 1))
        yield store(TOTAL_RECORDS + (~p & 1), total + records)
        total = yield peek(TOTAL_BYTES + (p & 1))
        yield store(TOTAL_BYTES + (~p & 1), total + size)

    def start(self, p: int) -> Steps:
        yield from self.say_started(p)
        header = self.header_of(p)
        yield from self.copy(p, 0, header)  # the callback fills in what it reserved
        yield from self.write_start(p)
        yield store(PENDING, (0, len(header)))
        yield store(HEAD, (p, len(header)), self.begins(p, header))

    @staticmethod
    def begins(p: int, header: Data) -> Note:
        return committed(p, 0, header, None)

    def say_started(self, p: int) -> Steps:
        yield store(STARTED, p)

    def write_start(self, p: int) -> Steps:
        """meta's facts that hold from the start of sub-buffer p."""
        records = yield peek(TOTAL_RECORDS + (p & 1))
        yield store(self.meta(p) + START_RECORDS, records)
        size = yield peek(TOTAL_BYTES + (p & 1))
        yield store(self.meta(p) + START_BYTES, size)

    def begin(self) -> Steps:
        """Start sub-buffer 0 if nobody has. A head that is not 0 was begun by one who died."""
        if (yield peek(BEGUN)):
            return
        if (yield peek(HEAD)) == (0, 0):
            yield from self.start(0)
        yield store(BEGUN, 1)

    # --- reset, with both words held

    def reset(self) -> Steps:
        yield from self.undo()
        yield from self.forget_other()
        yield from self.lap()
        yield from self.note_sums()
        yield store(RESETTING, 1)
        yield from self.finish_reset()

    def note_sums(self) -> Steps:
        p, offset = yield peek(HEAD)
        records = yield peek(TOTAL_RECORDS + (p & 1))
        size = yield peek(TOTAL_BYTES + (p & 1))
        if offset != self.full:
            records += (yield peek(PENDING))[0]
            size += offset
        yield store(RESET_RECORDS, records)
        yield store(RESET_BYTES, size)
        unfinished = yield peek(UNFINISHED)
        yield store(RESET_UNFINISHED, unfinished + (offset if offset != self.full else 0))

    def finish_reset(self) -> Steps:
        """From the top, however far a killed one came: each store may be done again."""
        records = yield peek(RESET_RECORDS)
        size = yield peek(RESET_BYTES)
        yield from self.discard(records, size)
        yield store(TOTAL_RECORDS, records)
        yield store(TOTAL_BYTES, size)
        for p in range(self.n):
            yield store(self.meta(p) + PADDING, 0)
        unfinished = yield peek(RESET_UNFINISHED)
        yield store(UNFINISHED, unfinished)
        yield store(BEGUN, 0)
        yield store(PENDING, (0, 0))
        yield store(STARTED, 0)
        yield from self.rewind_tail()
        yield store(HEAD, (0, 0), discarded())
        yield store(RESETTING, 0)

    def discard(self, records: int, size: int) -> Steps:
        """What is neither consumed nor overwritten is discarded: in both accounts, so that it
        does not matter which of them is the valid one when both carry tail 0."""
        sums = yield from self.sums()
        sums = (*sums[:4], records - sums[0] - sums[2], size - sums[1] - sums[3])
        for account in range(2):
            for word in range(1, ACCOUNT_WORDS):
                yield store(ACCOUNT[account] + word, sums[word - 1])

    def rewind_tail(self) -> Steps:
        yield store(ACCOUNT[0], (0, 0))
        yield store(ACCOUNT[1], (0, 0))
        yield store(TAIL, (0, 0))
