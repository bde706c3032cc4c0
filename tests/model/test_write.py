"""Two writers and a reader, every interleaving, a kill between any two steps."""

import pytest

from .protocol import Protocol
from .scenario import Scenario

MODES = [(n, overwrite) for overwrite in (False, True) for n in (1, 2, 3)]


def two_writers(protocol: Protocol, reads: int) -> Scenario:
    return Scenario(protocol).writer(1, 2).writer(2).reader(reads, 2)


@pytest.mark.parametrize(("n", "overwrite"), MODES)
def test_kill_anywhere(n: int, overwrite: bool) -> None:
    reads = 1 if (n, overwrite) == (1, True) else 2
    explored = two_writers(Protocol(2, n, overwrite=overwrite), reads).explore(kills=1)
    assert len(explored.ends) > 100


def test_two_kills() -> None:
    two_writers(Protocol(2, 2), 1).explore(kills=2)


def test_two_kills_overwrite() -> None:
    two_writers(Protocol(2, 2, overwrite=True), 1).explore(kills=2)


def test_stopped_process_blocks_nobody() -> None:
    """From every state each actor can finish while all others stand still, dead or alive."""
    protocol = Protocol(2, 2, patient=False)
    two_writers(protocol, 1).explore(kills=1).check_alone()


@pytest.mark.parametrize("commits", [True, False])
def test_reservation(commits: bool) -> None:
    scenario = Scenario(Protocol(2, 2)).reserver(1, commits=commits).writer(2)
    scenario.flusher().explore(kills=2)


def test_flush_by_a_third() -> None:
    Scenario(Protocol(2, 2)).writer(1, 1).flusher().flusher().explore(kills=2)


def test_flush_one_subbuf() -> None:
    Scenario(Protocol(2, 1)).writer(1).flusher().reader(2, 2).explore(kills=1)


def test_header() -> None:
    Scenario(Protocol(3, 2, header=1)).writer(1, 2).writer(2).reader(1, 2).explore(kills=1)


def test_header_one_subbuf_overwrite() -> None:
    protocol = Protocol(2, 1, overwrite=True, header=1)
    Scenario(protocol).writer(1).writer(1).reader(1, 3).explore(kills=1)


def test_odd_records() -> None:
    """Records that leave padding."""
    Scenario(Protocol(3, 2)).writer(2, 2).writer(1).reader(1, 4).explore(kills=1)
