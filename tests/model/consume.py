"""The model's reader side: read, take and give back, subbufs_consumed, laps, the account."""

from collections.abc import Generator
from typing import Any

from .explore import Op, Program
from .truth import delivered, given_up, handed_on, in_hand, lapped, taken_back
from .words import (
    ACCOUNT,
    ACCOUNT_WORDS,
    HEAD,
    OWNER,
    PADDING,
    READER,
    RECORDS,
    RESETTING,
    START_BYTES,
    START_RECORDS,
    STARTED,
    TAIL,
    TOTAL_BYTES,
    TOTAL_RECORDS,
    UNDO,
    Note,
    Sizes,
    choose,
    give,
    is_dead,
    is_free_or_dead,
    load,
    peek,
    store,
    take,
    take_over,
)

Steps = Generator[Op, Any, Any]


class Reading(Sizes):
    """Taking words, and what readers do.

    patient: whoever finds a live holder waits; else it may also give up at any time.
    """

    def __init__(
        self,
        subbuf_size: int,
        n_subbufs: int,
        *,
        overwrite: bool = False,
        header: int = 0,
        patient: bool = True,
    ) -> None:
        super().__init__(subbuf_size, n_subbufs)
        self.overwrite = overwrite
        self.header = header
        self.patient = patient

    def header_of(self, p: int) -> tuple[Any, ...]:
        return tuple(("header", p, at) for at in range(self.header))

    # --- programs

    def reader(self, me: int, times: int, count: int) -> Program:
        """read(count), so many times."""
        for _ in range(times):
            if (yield from self.read_word(me)):
                yield from self.read(count)
                yield give(READER, me)

    def taker(self, me: int, times: int) -> Program:
        """take, look at the bytes, give back."""
        for _ in range(times):
            if (yield from self.read_word(me)):
                yield from self.take_one()
                yield give(READER, me)

    def holder(self, me: int, count: int, hands_on: bool) -> Program:
        """A read that somebody else gets (rchan_hold), or refuses (then it is unread again)."""
        if (yield from self.read_word(me)):
            if (yield from self.hold(count)):
                if hands_on:
                    yield store(UNDO, 0, handed_on())
                else:
                    yield from self.undo()
            yield give(READER, me)

    def consumer(self, me: int, count: int) -> Program:
        """subbufs_consumed(count)."""
        if (yield from self.read_word(me)):
            yield from self.subbufs_consumed(count)
            yield give(READER, me)

    # --- owner and reader words

    def try_word(self, word: int, me: int) -> Steps:
        """One attempt: 0: it was free, else the dead holder it was taken from; None: not had."""
        seen = yield take(word, me)
        if seen and not (yield from self.may_take_over(seen)):
            return None
        if seen and (yield take_over(word, seen, me)) != seen:
            return None
        return seen

    def may_take_over(self, holder: int) -> Steps:
        return (yield is_dead(holder))

    def take_word(self, word: int, me: int) -> Steps:
        while True:
            seen = yield from self.try_word(word, me)
            if seen is not None:
                return seen
            if self.patient:
                yield is_free_or_dead(word)
            elif (yield choose(2)):
                return None

    def read_word(self, me: int) -> Steps:
        """Take the reader word; whoever holds it looks whether a reset was left unfinished."""
        while True:
            if (yield from self.take_word(READER, me)) is None:
                return False
            if not (yield load(RESETTING)):
                yield from self.undo()
                return True
            yield give(READER, me)  # whoever finishes the reset needs it
            if (yield from self.own(me)):
                yield give(OWNER, me)
            if not self.patient:
                return False

    def own(self, me: int) -> Steps:
        raise NotImplementedError

    # --- the account

    def account(self) -> Steps:
        """Where the valid account lies."""
        tail = yield peek(TAIL)
        return ACCOUNT[0] if (yield peek(ACCOUNT[0])) == tail else ACCOUNT[1]

    def sums(self) -> Steps:
        """The valid account: consumed, overwritten, discarded; records and bytes of each."""
        account = yield from self.account()
        sums: tuple[int, ...] = ()
        for word in range(1, ACCOUNT_WORDS):
            sums += ((yield peek(account + word)),)
        return sums

    def move_tail(self, to: tuple[int, int], sums: tuple[int, ...], *notes: Note) -> Steps:
        """The other account first; `tail` then makes it the valid one."""
        account = yield from self.account()
        other = ACCOUNT[0] + ACCOUNT[1] - account
        yield store(other, to)
        for word in range(1, ACCOUNT_WORDS):
            yield store(other + word, sums[word - 1])
        yield store(TAIL, to, *notes)

    # --- laps

    def is_lapped(self, c: int, started: int) -> bool:
        """Signed: c is started + 1 in a full buffer that was read to its end."""
        return started - c >= self.n

    def lap(self) -> Steps:
        """If the writer has lapped the reader: go on at the oldest whole sub-buffer."""
        while True:
            started = yield load(STARTED)
            if not self.is_lapped((yield peek(TAIL))[0], started):
                return
            c = started - self.n + 1
            written = yield from self.written_before(c, started)
            if written is None:
                continue
            sums = yield from self.sums()
            records = written[0] - sums[0] - sums[2] - sums[4]
            size = written[1] - sums[1] - sums[3] - sums[5]
            sums = (*sums[:2], sums[2] + records, sums[3] + size, *sums[4:])
            yield from self.move_tail((c, 0), sums, lapped(self, c))
            return

    def written_before(self, c: int, started: int) -> Steps:
        """Records and bytes written before sub-buffer c. None: it was lapped meanwhile."""
        if c == started:  # its meta may not be written yet; its totals are
            records = yield load(TOTAL_RECORDS + (c & 1))
            size = yield load(TOTAL_BYTES + (c & 1))
        else:
            records = yield load(self.meta(c) + START_RECORDS)
            size = yield load(self.meta(c) + START_BYTES)
        if (yield load(STARTED)) != started:
            return None
        return records, size

    def is_whole(self, c: int) -> Steps:
        """The second look: what was copied of sub-buffer c is good."""
        started = yield load(STARTED)
        return not self.is_lapped(c, started)

    # --- read

    def read(self, count: int) -> Steps:
        """Over sub-buffer boundaries until `count` bytes are served or nothing is there."""
        while count:
            got = yield from self.read_some(count)
            if got is None:
                return
            count -= got

    def read_some(self, count: int) -> Steps:
        """Of one sub-buffer, and consume it; the number of bytes. None: nothing there."""
        while True:
            yield from self.lap()
            c, done = yield peek(TAIL)
            used, records = yield from self.used(c)
            data = yield from self.copy_out(c, done, min(used, done + count))
            if not (yield from self.is_whole(c)):
                continue
            end = done + len(data)
            finished = records is not None and end >= used
            if not data and not finished:
                return None
            sums = yield from self.sums()
            sums = (sums[0] + (records if finished else 0), sums[1] + len(data), *sums[2:])
            to = (c + 1, 0) if finished else (c, end)
            yield from self.move_tail(to, sums, delivered(data, c if finished else None))
            return len(data)

    def used(self, c: int) -> Steps:
        """Bytes used in sub-buffer c so far, and its records if it is finished (else None)."""
        p, offset = yield load(HEAD)
        if c >= p:
            return (0 if offset == self.full else offset), None
        padding = yield load(self.meta(c) + PADDING)
        records = yield load(self.meta(c) + RECORDS)
        return self.size - padding, records

    def copy_out(self, c: int, begin: int, end: int) -> Steps:
        data: tuple[Any, ...] = ()
        for at in range(begin, end):
            data += ((c, at, (yield load(self.data(c) + at))),)
        return data

    def take_one(self) -> Steps:
        """Take the oldest finished sub-buffer, use it, give it back. False: there is none."""
        yield from self.lap()
        c, done = yield peek(TAIL)
        used, records = yield from self.used(c)
        if records is None:
            return False
        data = yield from self.copy_out(c, done, used)
        yield from self.give_back(c, data, records)
        return True

    def give_back(self, c: int, data: tuple[Any, ...], records: int) -> Steps:
        """One look decides: consumed, or (the next reader counts it) overwritten."""
        if not (yield from self.is_whole(c)):
            return
        sums = yield from self.sums()
        sums = (sums[0] + records, sums[1] + len(data), *sums[2:])
        yield from self.move_tail((c + 1, 0), sums, delivered(data, c))

    # --- a read that is handed on

    def hold(self, count: int) -> Steps:
        """Copy up to `count` bytes of one sub-buffer; noted, then consumed at once. False: none."""
        while True:
            c, done = before = yield peek(TAIL)
            sums = yield from self.sums()
            notes: tuple[Note, ...] = ()
            started = yield load(STARTED)
            if self.is_lapped(c, started):
                c, done = started - self.n + 1, 0
                written = yield from self.written_before(c, started)
                if written is None:
                    continue
                records = written[0] - sums[0] - sums[2] - sums[4]
                size = written[1] - sums[1] - sums[3] - sums[5]
                sums = (*sums[:2], sums[2] + records, sums[3] + size, *sums[4:])
                notes = (lapped(self, c),)
            used, records = yield from self.used(c)
            data = yield from self.copy_out(c, done, min(used, done + count))
            if not (yield from self.is_whole(c)):
                continue
            end = done + len(data)
            finished = records is not None and end >= used
            if not data and not finished and not notes:
                return False
            sums = (sums[0] + (records if finished else 0), sums[1] + len(data), *sums[2:])
            to = (c + 1, 0) if finished else (c, end)
            notes = (*notes, delivered(data, c if finished else None))
            yield from self.keep_back(before, to, sums, in_hand(*notes))
            return True

    def keep_back(
        self, before: tuple[int, int], to: tuple[int, int], sums: tuple[int, ...], note: Note
    ) -> Steps:
        yield store(UNDO, (*before, "noted"))
        yield from self.move_tail(to, sums, note)

    def undo(self) -> Steps:
        """What was read and not handed on is unread again; the reader word is held."""
        noted = yield peek(UNDO)
        if not noted:
            return
        before = noted[:2]
        tail = yield peek(TAIL)
        one = yield peek(ACCOUNT[0])
        other = yield peek(ACCOUNT[1])
        if before in (one, other) and before < tail:
            yield store(TAIL, before, taken_back())
        yield from self.forget_other()
        yield store(UNDO, 0)

    def forget_other(self) -> Steps:
        """The account that is not valid says what never was: a reset may add it up."""
        account = yield from self.account()
        other = ACCOUNT[0] + ACCOUNT[1] - account
        for word in range(1, ACCOUNT_WORDS):
            yield store(other + word, 0)

    # --- subbufs_consumed

    def subbufs_consumed(self, count: int) -> Steps:
        """tail to min(p, c + count), byte 0; what was overwritten before counts as that."""
        while True:
            c = (yield peek(TAIL))[0]
            started = yield load(STARTED)
            p = (yield load(HEAD))[0]
            to = min(p, c + count)
            if to == c:
                return
            if self.is_lapped(to, started):
                # still lapped there: the next lap counts it all
                sums = yield from self.sums()
                yield from self.move_tail((to, 0), sums)
                return
            if self.is_lapped(c, started):
                yield from self.lap()
                count -= (yield peek(TAIL))[0] - c
                continue
            if (yield from self.consume_unseen(c, to)):
                return

    def consume_unseen(self, c: int, to: int) -> Steps:
        """Count sub-buffers c to `to` (whole when looked at) as consumed. False: look again."""
        sums = yield from self.sums()
        records, size = 0, -(yield peek(TAIL))[1]
        for at in range(c, to):
            size += self.size - (yield load(self.meta(at) + PADDING))
            records += yield load(self.meta(at) + RECORDS)
        if not (yield from self.is_whole(c)):
            return False
        sums = (sums[0] + records, sums[1] + size, *sums[2:])
        yield from self.move_tail((to, 0), sums, given_up(to))
        return True
