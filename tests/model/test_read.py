"""Readers: take and give back, two of them, laps, subbufs_consumed; kills between any two steps."""

import pytest

from .protocol import Protocol
from .scenario import Scenario

CASES = [(1, False), (2, False), (1, True), (2, True)]


@pytest.mark.parametrize(("n", "overwrite"), CASES)
def test_take_and_give_back_by_two(n: int, overwrite: bool) -> None:
    """A reader killed with a sub-buffer in its hand: the other gets the same one again."""
    scenario = Scenario(Protocol(2, n, overwrite=overwrite), filled=(2,) * n)
    scenario.writer(2).taker(2).taker(1).explore(kills=2)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_lapped_again_and_again(n: int) -> None:
    """Exact miss counts when the reader begins behind and the writer goes on."""
    scenario = Scenario(Protocol(2, n, overwrite=True), filled=(2,) * (n + 1))
    scenario.writer(2, 2, 2).reader(1, 2).explore(kills=1)


@pytest.mark.parametrize(("n", "overwrite"), CASES)
def test_subbufs_consumed(n: int, overwrite: bool) -> None:
    scenario = Scenario(Protocol(2, n, overwrite=overwrite), filled=(2,) * n)
    scenario.writer(2, 2).consumer(1).reader(1, 1).explore(kills=1)


def test_subbufs_consumed_while_lapped() -> None:
    scenario = Scenario(Protocol(2, 2, overwrite=True), filled=(2, 1, 2, 2, 2))
    scenario.writer(2).consumer(1).reader(1, 3).explore(kills=1)


def test_reader_and_taker() -> None:
    """read() leaves a rest, take() gets it."""
    scenario = Scenario(Protocol(2, 2, overwrite=True), filled=(2, 2))
    scenario.writer(1, 2).taker(1).reader(1, 1).explore(kills=1)


def test_a_buffer_read_empty_and_full() -> None:
    """head is FULL, all is consumed: c = started + 1 is no lap."""
    Scenario(Protocol(2, 1), filled=(2,)).flusher().reader(3, 2).writer(1).explore(kills=1)
