"""The bigger explorations: minutes each. RCHAN_MODEL_DEEP=1 runs them."""

import os

import pytest

from .protocol import Protocol
from .scenario import Scenario

pytestmark = pytest.mark.skipif(
    os.environ.get("RCHAN_MODEL_DEEP") != "1", reason="RCHAN_MODEL_DEEP=1 runs them"
)

MODES = [(n, overwrite) for overwrite in (False, True) for n in (1, 2, 3)]


@pytest.mark.parametrize(("n", "overwrite"), MODES)
def test_two_writers_two_reads_two_kills(n: int, overwrite: bool) -> None:
    protocol = Protocol(2, n, overwrite=overwrite)
    Scenario(protocol).writer(1, 2).writer(2).reader(2, 2).explore(kills=2)


@pytest.mark.parametrize(("n", "overwrite"), MODES)
def test_three_byte_subbufs(n: int, overwrite: bool) -> None:
    protocol = Protocol(3, n, overwrite=overwrite)
    Scenario(protocol).writer(1, 2, 1).writer(2, 2).reader(1, 3).explore(kills=1)


@pytest.mark.parametrize(("n", "overwrite"), MODES)
def test_reset_among_all(n: int, overwrite: bool) -> None:
    protocol = Protocol(2, n, overwrite=overwrite)
    Scenario(protocol).writer(2).writer(1).reader(1, 2).resetter().explore(kills=1)


@pytest.mark.parametrize(("n", "overwrite"), MODES)
def test_header(n: int, overwrite: bool) -> None:
    protocol = Protocol(3, n, overwrite=overwrite, header=1)
    Scenario(protocol).writer(1, 2).writer(2).reader(1, 3).explore(kills=1)


@pytest.mark.parametrize(("n", "overwrite"), MODES)
def test_three_readers(n: int, overwrite: bool) -> None:
    scenario = Scenario(Protocol(2, n, overwrite=overwrite), filled=(2,) * n)
    scenario.writer(2).taker(1).reader(1, 2).consumer(1).explore(kills=1)


def test_reservation_flush_and_reader() -> None:
    scenario = Scenario(Protocol(2, 2)).reserver(1, commits=True).writer(2)
    scenario.flusher().reader(1, 2).explore(kills=2)
