"""A read that is handed on: refused, or its reader killed, it is unread again; never lost."""

from collections.abc import Callable

import pytest

from .explore import Broken
from .protocol import Protocol, Steps
from .scenario import Scenario
from .truth import Note, taken_back
from .words import ACCOUNT, TAIL, UNDO, peek, store

CASES = [(1, False), (2, False), (1, True), (2, True)]


@pytest.mark.parametrize("hands_on", [True, False])
@pytest.mark.parametrize(("n", "overwrite"), CASES)
def test_held_while_written(n: int, overwrite: bool, hands_on: bool) -> None:
    """Writers use the place at once: what comes back may be overwritten, and is counted so."""
    scenario = Scenario(Protocol(2, n, overwrite=overwrite), filled=(2,) * n)
    scenario.writer(2, 1).holder(2, hands_on=hands_on).explore(kills=1)


@pytest.mark.parametrize(("n", "overwrite"), CASES)
def test_held_by_two(n: int, overwrite: bool) -> None:
    scenario = Scenario(Protocol(2, n, overwrite=overwrite), filled=(2,) * n)
    scenario.holder(2, hands_on=False).holder(1, hands_on=True).writer(2).explore(kills=2)


def test_held_and_lapped() -> None:
    scenario = Scenario(Protocol(2, 2, overwrite=True), filled=(2, 2, 2))
    scenario.writer(2).holder(2, hands_on=False).reader(1, 2).explore(kills=1)


@pytest.mark.parametrize("hands_on", [True, False])
def test_held_and_reset(hands_on: bool) -> None:
    scenario = Scenario(Protocol(2, 1), filled=(2,))
    scenario.holder(2, hands_on=hands_on).resetter().writer(1).explore(kills=2)


def test_held_and_taken() -> None:
    scenario = Scenario(Protocol(2, 2), filled=(2, 2))
    scenario.holder(1, hands_on=False).taker(1).consumer(1).explore(kills=2)


# ---- rules that are broken on purpose ----


class NobodyUndoes(Protocol):
    """The next reader goes on where the dead one stood."""

    def undo(self) -> Steps:
        yield store(UNDO, 0)


class NotesAfter(Protocol):
    """What may have to be undone is noted when it was done."""

    def keep_back(
        self, before: tuple[int, int], to: tuple[int, int], sums: tuple[int, ...], note: Note
    ) -> Steps:
        yield from self.move_tail(to, sums, note)
        yield store(UNDO, (*before, "noted"))


class ForgetsTheNoteFirst(Protocol):
    def undo(self) -> Steps:
        noted = yield peek(UNDO)
        if not noted:
            return
        tail = yield peek(TAIL)
        yield store(UNDO, 0)
        if noted[:2] < tail:
            yield store(TAIL, noted[:2], taken_back())
        yield from self.forget_other()


class KeepsTheOtherAccount(Protocol):
    """What was never consumed stays in the account that is not valid."""

    def forget_other(self) -> Steps:
        yield from ()


class GoesBackTwice(Protocol):
    """Also if it was handed on: the note is left."""

    def holder(self, me: int, count: int, hands_on: bool) -> Steps:
        yield from super().holder(me, count, hands_on)
        yield store(UNDO, (0, 0, "noted"))


class UnwindsTheAccount(Protocol):
    """Back by writing the valid account over, instead of making the old one valid again."""

    def undo(self) -> Steps:
        noted = yield peek(UNDO)
        if not noted:
            return
        tail = yield peek(TAIL)
        if noted[:2] < tail:
            account = yield from self.account()
            other = ACCOUNT[0] + ACCOUNT[1] - account
            for word in range(1, 7):
                value = yield peek(other + word)
                yield store(account + word, value)
            yield store(account, noted[:2])
            yield store(TAIL, noted[:2], taken_back())
        yield store(UNDO, 0)


def two(protocol: Protocol) -> Scenario:
    scenario = Scenario(protocol, filled=(2,) * protocol.n)
    return scenario.holder(2, hands_on=True).holder(1, hands_on=False)


def then_reset(protocol: Protocol) -> Scenario:
    return Scenario(protocol, filled=(2,)).holder(2, hands_on=False).resetter()


BUGS: list[tuple[type[Protocol], Callable[[Protocol], Scenario], int, str]] = [
    # the bug, where, kills needed, what fails
    (NobodyUndoes, two, 1, "in hand"),
    (NotesAfter, two, 1, "in hand"),
    (ForgetsTheNoteFirst, two, 1, "before the first"),
    (KeepsTheOtherAccount, then_reset, 1, "books"),
    (GoesBackTwice, two, 0, "handed on|books"),
    (UnwindsTheAccount, two, 0, "books"),
]


@pytest.mark.parametrize(
    ("bug", "scenario", "kills", "says"), BUGS, ids=[bug[0].__name__ for bug in BUGS]
)
def test_bug_is_found(
    bug: type[Protocol], scenario: Callable[[Protocol], Scenario], kills: int, says: str
) -> None:
    with pytest.raises(Broken, match=says):
        scenario(bug(2, 1)).explore(kills=kills)


@pytest.mark.parametrize("scenario", [two, then_reset])
def test_without_the_bug_it_holds(scenario: Callable[[Protocol], Scenario]) -> None:
    scenario(Protocol(2, 1)).explore(kills=1)
