"""Reset holds both words; killed anywhere in it, the next process ends it."""

import pytest

from .protocol import Protocol
from .scenario import Scenario


@pytest.mark.parametrize("n", [1, 2])
def test_two_kills(n: int) -> None:
    Scenario(Protocol(2, n)).writer(1, 2).reader(1, 2).resetter().explore(kills=2)


@pytest.mark.parametrize("n", [1, 2])
def test_overwrite(n: int) -> None:
    scenario = Scenario(Protocol(2, n, overwrite=True), filled=(2,) * (n + 1))
    scenario.writer(2).reader(1, 2).resetter().explore(kills=1)


def test_by_two() -> None:
    scenario = Scenario(Protocol(2, 1), filled=(2,))
    scenario.resetter().resetter().reader(1, 2).explore(kills=2)


def test_each_half_taken_over_by_another() -> None:
    """The dead resetter's words go to a writer and to a reader, who both find it unfinished."""
    scenario = Scenario(Protocol(2, 1), filled=(1,))
    scenario.resetter().writer(1).reader(1, 2).explore(kills=2)


def test_twice_with_nothing_read_between() -> None:
    """tail is 0 before and after, in both accounts."""
    Scenario(Protocol(2, 2), filled=(2,)).resetter().writer(1).resetter().explore(kills=1)


def test_header() -> None:
    scenario = Scenario(Protocol(2, 2, header=1), filled=(1,))
    scenario.resetter().writer(1).reader(1, 2).explore(kills=1)


def test_busy_is_bounded() -> None:
    """Nobody waits for ever for a stopped one, also with a reset unfinished."""
    scenario = Scenario(Protocol(2, 2, patient=False)).writer(1).resetter().reader(1, 2)
    scenario.explore(kills=1).check_alone()
