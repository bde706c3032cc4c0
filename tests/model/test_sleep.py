"""No wake-up is lost: none without kills, and after one the next switch makes up for it."""

from collections.abc import Callable
from functools import partial

import pytest

from .explore import Broken, Explorer, Op
from .protocol import Steps
from .sleep import START, WAKE, Sleeping, Wake, check, swap
from .words import load, store

BOTH = frozenset({1, 2})


def explore(*programs: partial[Steps], kills: int = 0, mortal: set[int] | None = None) -> None:
    Explorer(list(programs), START, kills=kills, mortal=mortal, always=check).run()


def two_switchers(rules: Sleeping) -> None:
    explore(
        partial(rules.switcher, 1, 2), partial(rules.switcher, 2, 1), partial(rules.sleeper, 3, 3)
    )


def killed_waker(rules: Sleeping, kills: int = 1) -> None:
    """The sleeper wants as much news as there is when `kills` switchers brought none."""
    explore(
        partial(rules.switcher, 1, 1),
        partial(rules.switcher, 2, 1),
        partial(rules.late_switcher, 3, BOTH),
        partial(rules.sleeper, 4, 3 - kills),
        kills=kills,
        mortal={1, 2},
    )


def test_last_news_wakes() -> None:
    two_switchers(Sleeping())


@pytest.mark.parametrize("kills", [1, 2])
def test_killed_waker(kills: int) -> None:
    killed_waker(Sleeping(), kills)


def test_sleepers_that_give_up() -> None:
    rules = Sleeping()
    explore(
        partial(rules.switcher, 1, 1),
        partial(rules.switcher, 2, 1),
        partial(rules.sleeper, 3, 2),
        partial(rules.dozer, 4),
    )


def test_killed_sleeper_keeps_nobody_asleep() -> None:
    rules = Sleeping()
    explore(
        partial(rules.switcher, 1, 1),
        partial(rules.late_switcher, 2, frozenset({1})),
        partial(rules.sleeper, 3, 2),
        partial(rules.sleeper, 4, 1),
        kills=1,
        mortal={3, 4},
    )


class LooksTooEarly(Sleeping):
    """The look at head comes before the sleeper is counted, and never after."""

    def still_nothing(self, wanted: int) -> Steps:
        yield load(WAKE)
        return True


class ClearsAlways(Sleeping):
    def clear_asked(self, epoch: int) -> Steps:
        while True:
            word = yield load(WAKE)
            if (yield Op(swap, (word, (word[0], 0, word[2], 0)))):
                return


class ForgetsAsked(Sleeping):
    """Takes the sleepers off without noting that they are owed a wake-up."""

    def note_owed(self, word: Wake) -> Wake:
        return word[0] + 1, 0, 0, 0


class ForgetsOwed(Sleeping):
    """Leaves it to `asked`, which says nothing about who sleeps."""

    def note_owed(self, word: Wake) -> Wake:
        return word[0] + 1, 1, 0, 0


class KeepsEpoch(Sleeping):
    def note_owed(self, word: Wake) -> Wake:
        return word[0], 1, 0, 1


class ClearsSleepers(Sleeping):
    """Clears those who came meanwhile, too."""

    def clear_asked(self, epoch: int) -> Steps:
        word = yield load(WAKE)
        if word[0] == epoch:
            yield store(WAKE, (epoch, 0, 0, 0))


class RemovesOthers(Sleeping):
    """Takes itself off whatever the epoch is."""

    def remove_sleeper(self, epoch: int) -> Steps:
        word = yield load(WAKE)
        if word[2]:
            yield store(WAKE, (*word[:2], word[2] - 1, word[3]))


@pytest.mark.parametrize(
    ("bug", "scenario"),
    [
        (LooksTooEarly, two_switchers),
        (ClearsAlways, killed_waker),
        (ForgetsAsked, killed_waker),
        (ForgetsOwed, killed_waker),
        (KeepsEpoch, two_switchers),
        (ClearsSleepers, two_switchers),
    ],
)
def test_bug_is_found(bug: type[Sleeping], scenario: Callable[[Sleeping], None]) -> None:
    with pytest.raises(Broken, match=r"nobody knows|never finish"):
        scenario(bug())


def test_bug_in_giving_up_is_found() -> None:
    rules = RemovesOthers()
    with pytest.raises(Broken, match=r"nobody knows|never finish"):
        explore(
            partial(rules.switcher, 1, 2), partial(rules.sleeper, 2, 2), partial(rules.dozer, 3)
        )
