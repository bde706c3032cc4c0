"""The model finds bugs: each rule that is broken on purpose makes an invariant fail."""

from collections.abc import Callable
from typing import Any

import pytest

from .explore import Broken, Memory, Op
from .protocol import Data, Protocol, Steps
from .scenario import Scenario
from .truth import delivered, discarded
from .words import (
    BEGUN,
    G_BYTES,
    HEAD,
    OWNER,
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
    give,
    load,
    peek,
    store,
)


class PublishesFirst(Protocol):
    def copy_and_commit(self, p: int, offset: int, data: Data) -> Steps:
        yield from self.commit(p, offset, data)
        yield from self.copy(p, offset, data)


class NeverSaysStarted(Protocol):
    def start(self, p: int) -> Steps:
        yield from self.write_start(p)
        yield store(PENDING, (0, 0))
        yield store(HEAD, (p, 0))
        yield from self.say_started(p)  # late: the first bytes may be there before


class StartsAfterMeta(Protocol):
    def say_started(self, p: int) -> Steps:
        yield from self.write_start(p)
        yield store(STARTED, p)


class TakesOverUnrepaired(Protocol):
    def repair(self, me: int, dead: int) -> Steps:
        yield load(PENDING)
        return True


class StartsBeforePending(Protocol):
    def start(self, p: int) -> Steps:
        yield from self.say_started(p)
        yield from self.write_start(p)
        yield store(HEAD, (p, 0))
        yield store(PENDING, (0, 0))


class TotalsInPlace(Protocol):
    def add_totals(self, p: int, records: int, size: int) -> Steps:
        total = yield peek(TOTAL_RECORDS)
        yield store(TOTAL_RECORDS, total + records)
        yield store(TOTAL_RECORDS + 1, total + records)
        total = yield peek(TOTAL_BYTES)
        yield store(TOTAL_BYTES, total + size)
        yield store(TOTAL_BYTES + 1, total + size)


class ForgetsTheTail(Protocol):
    def has_room(self, p: int) -> Steps:
        tail = yield load(TAIL)
        return p - tail[0] <= self.n


class RobsTheLiving(Protocol):
    def may_take_over(self, holder: int) -> Steps:
        yield load(OWNER)
        return True


class NeverTakesOver(Protocol):
    def may_take_over(self, holder: int) -> Steps:
        yield load(OWNER)
        return False


class MovesTailFirst(Protocol):
    """The bytes are said to be free, then they are copied."""

    def take_one(self) -> Steps:
        c, _ = yield peek(TAIL)
        used, records = yield from self.used(c)
        if records is None:
            return False
        there = yield peek(G_BYTES)
        yield from self.consume_unseen(c, c + 1)
        data = yield from self.copy_out(c, 0, used)
        yield Op(_must_equal, (data, there[: len(data)]))
        return True


def _must_equal(memory: Memory, got: Data, there: Data) -> list[tuple[Memory, Any]]:
    if got != there:
        raise Broken(f"got {got}, there were {there}")
    return [(memory, None)]


class GivesReaderBackFirst(Protocol):
    def taker(self, me: int, times: int) -> Steps:
        for _ in range(times):
            if (yield from self.read_word(me)):
                c, done = yield peek(TAIL)
                used, records = yield from self.used(c)
                if records is not None:
                    data = yield from self.copy_out(c, done, used)
                    yield give(READER, me)
                    yield from self.give_back(c, data, records)
                else:
                    yield give(READER, me)


class DescribesLate(Protocol):
    """What it says of the sub-buffer is loaded after the last look."""

    def give_back(self, c: int, data: Data, records: int) -> Steps:
        if (yield from self.is_whole(c)):
            records = yield load(self.meta(c) + RECORDS)
            sums = yield from self.sums()
            sums = (sums[0] + records, sums[1] + len(data), *sums[2:])
            yield from self.move_tail((c + 1, 0), sums, delivered(data, c))


class LooksOnce(Protocol):
    def is_whole(self, c: int) -> Steps:
        yield load(STARTED)
        return True


class ComparesUnsigned(Protocol):
    def is_lapped(self, c: int, started: int) -> bool:
        return (started - c) % 2**64 >= self.n


class LapsByMeta(Protocol):
    def written_before(self, c: int, started: int) -> Steps:
        records = yield load(self.meta(c) + START_RECORDS)
        size = yield load(self.meta(c) + START_BYTES)
        if (yield load(STARTED)) != started:
            return None
        return records, size


class LapsUnchecked(Protocol):
    def written_before(self, c: int, started: int) -> Steps:
        records = yield load(self.meta(c) + START_RECORDS)
        size = yield load(self.meta(c) + START_BYTES)
        return records, size


class OneAccount(Protocol):
    def move_tail(self, to: Any, sums: Any, *notes: Any) -> Steps:
        account = yield from self.account()
        for word in range(6):
            yield store(account + 1 + word, sums[word])
        yield store(account, to)
        yield store(TAIL, to, *notes)


class HeaderInTwo(Protocol):
    """head = (p, 0) first, then the header's offset: killed between, it has no header."""

    def start(self, p: int) -> Steps:
        header = self.header_of(p)
        yield from self.say_started(p)
        yield from self.write_start(p)
        yield store(PENDING, (0, 0))
        yield store(HEAD, (p, 0))
        yield from self.copy(p, 0, header)
        yield store(PENDING, (0, len(header)))
        yield store(HEAD, (p, len(header)), self.begins(p, header))


class BeginsAgain(Protocol):
    def begin(self) -> Steps:
        if not (yield peek(BEGUN)):
            yield from self.start(0)
            yield store(BEGUN, 1)


class ResetKeepsPending(Protocol):
    def finish_reset(self) -> Steps:
        records = yield peek(RESET_RECORDS)
        size = yield peek(RESET_BYTES)
        yield from self.discard(records, size)
        yield store(TOTAL_RECORDS, records)
        yield store(TOTAL_BYTES, size)
        unfinished = yield peek(RESET_UNFINISHED)
        yield store(UNFINISHED, unfinished)
        yield store(STARTED, 0)
        yield store(BEGUN, 1)
        yield from self.rewind_tail()
        yield store(HEAD, (0, 0), discarded())
        yield store(RESETTING, 0)


class ResetWritesOneAccount(Protocol):
    """The other account and the tail, as a reader does it: but the tail may be 0 already."""

    def discard(self, records: int, size: int) -> Steps:
        sums = yield from self.sums()
        yield from self.move_tail(
            (0, 0), (*sums[:4], records - sums[0] - sums[2], size - sums[1] - sums[3])
        )

    def rewind_tail(self) -> Steps:
        yield store(TAIL, (0, 0))


class ResetAddsUp(Protocol):
    """The redo computes its sums from words that the first attempt has changed."""

    def finish_reset(self) -> Steps:
        yield from self.note_sums()
        yield from super().finish_reset()


class FileSizeAddsUp(Protocol):
    """What the reset finds unfinished is added in place: a redo adds it again."""

    def finish_reset(self) -> Steps:
        offset = (yield peek(HEAD))[1]
        unfinished = yield peek(UNFINISHED)
        yield store(UNFINISHED, unfinished + (offset if offset <= self.size else 0))
        unfinished = yield peek(UNFINISHED)
        yield store(RESET_UNFINISHED, unfinished)
        yield from super().finish_reset()


class ReaderIgnoresReset(Protocol):
    def read_word(self, me: int) -> Steps:
        return (yield from self.take_word(READER, me)) is not None


class OwnerGivesUpReset(Protocol):
    """Cannot finish the reset, so gives the owner word back as if all were well."""

    def repair(self, me: int, dead: int) -> Steps:
        return (yield from super().repair(me, 0))


class ResetClearsFlagFirst(Protocol):
    def finish_reset(self) -> Steps:
        yield store(RESETTING, 0)
        yield from super().finish_reset()


def two_writers(protocol: Protocol) -> Scenario:
    return Scenario(protocol).writer(1, 2).writer(2).reader(1, 3)


def two_records(protocol: Protocol) -> Scenario:
    return Scenario(protocol).writer(1, 1, 2)


def two_takers(protocol: Protocol) -> Scenario:
    return Scenario(protocol).writer(2, 2).taker(1).taker(1)


def lapped(protocol: Protocol) -> Scenario:
    """The reader has been lapped, and is about to be lapped again."""
    return Scenario(protocol, filled=(2,) * (protocol.n + 1)).writer(2).reader(1, 2)


def held(protocol: Protocol) -> Scenario:
    """The sub-buffer in a taker's hand is lapped, by one with more records."""
    return Scenario(protocol, filled=(2, 2)).writer(1, 1, 2).taker(1)


def headed(protocol: Protocol) -> Scenario:
    return Scenario(protocol).writer(1, 1).writer(1).reader(1, 3)


def one_reset(protocol: Protocol) -> Scenario:
    return Scenario(protocol).writer(1).reader(1, 2).resetter()


Build = Callable[[Protocol], Scenario]
HEADER = {"header": 1}
OVERWRITE = {"overwrite": True}
BUGS: list[tuple[type[Protocol], Build, int, dict[str, Any], int, str]] = [
    # the bug, where, n, options, kills needed, what fails
    (PublishesFirst, two_writers, 2, {}, 0, "was committed"),
    (NeverSaysStarted, two_writers, 2, {}, 0, "with started"),
    (StartsAfterMeta, lapped, 2, OVERWRITE, 0, "readable"),
    (StartsBeforePending, two_records, 2, {}, 0, "books"),
    (TakesOverUnrepaired, two_writers, 2, {}, 1, "books"),
    (TotalsInPlace, two_writers, 2, {}, 0, "books"),
    (ForgetsTheTail, two_writers, 2, {}, 0, "is unread but"),
    (RobsTheLiving, two_writers, 2, {}, 0, "two live holders"),
    (NeverTakesOver, two_writers, 2, {}, 1, "never finish"),
    (MovesTailFirst, two_takers, 1, {}, 0, "got"),
    (GivesReaderBackFirst, two_takers, 2, {}, 0, "account"),
    (DescribesLate, held, 2, OVERWRITE, 0, "books"),
    (LooksOnce, two_writers, 1, OVERWRITE, 0, "delivered"),
    (ComparesUnsigned, two_writers, 1, {}, 0, "delivered"),
    (LapsByMeta, two_writers, 1, OVERWRITE, 0, "books"),
    (LapsUnchecked, lapped, 2, OVERWRITE, 0, "books"),
    (OneAccount, two_writers, 2, {}, 0, "books"),
    (HeaderInTwo, headed, 2, HEADER, 1, "header"),
    (BeginsAgain, headed, 2, HEADER, 1, "books"),
    (ResetKeepsPending, one_reset, 2, {}, 0, "books"),
    (ResetWritesOneAccount, one_reset, 2, {}, 0, "books"),
    (ResetAddsUp, one_reset, 2, {}, 1, "books"),
    (FileSizeAddsUp, one_reset, 2, {}, 1, "file size"),
    (ReaderIgnoresReset, one_reset, 1, {}, 1, "books"),
    (OwnerGivesUpReset, one_reset, 2, {}, 1, "nobody's"),
    (ResetClearsFlagFirst, one_reset, 1, {}, 1, "books"),
]


@pytest.mark.parametrize(
    ("bug", "scenario", "n", "options", "kills", "says"),
    BUGS,
    ids=[bug[0].__name__ for bug in BUGS],
)
def test_bug_is_found(
    bug: type[Protocol], scenario: Build, n: int, options: dict[str, Any], kills: int, says: str
) -> None:
    with pytest.raises(Broken, match=says):
        scenario(bug(2, n, **options)).explore(kills=kills)


@pytest.mark.parametrize("scenario", [two_records, two_takers, lapped, held, headed, one_reset])
def test_without_the_bug_it_holds(scenario: Build) -> None:
    options = HEADER if scenario is headed else OVERWRITE if scenario in (lapped, held) else {}
    scenario(Protocol(2, 2, **options)).explore(kills=1)
