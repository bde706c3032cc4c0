"""The explorer itself: it sees every interleaving, every kill, and who gets stuck."""

from functools import partial

import pytest

from .explore import KILLED, Broken, Explorer, Memory, Op, Program
from .words import load, store

START: Memory = (frozenset(), 0, 0)


def adder(me: int) -> Program:
    """x += 1, not atomic."""
    seen = yield load(1)
    yield store(1, seen + 1)


def raiser(me: int, word: int) -> Program:
    yield store(word, me)


def waiter(me: int) -> Program:
    yield Op(wait_for_zero, (1,))


def wait_for_zero(memory: Memory, word: int) -> list[tuple[Memory, None]]:
    return [(memory, None)] if not memory[word] else []


def ends(explored: Explorer) -> set[int]:
    return {memory[1] for memory in explored.ends}


def test_every_interleaving() -> None:
    explored = Explorer([partial(adder, 1), partial(adder, 2)], START).run()
    assert ends(explored) == {1, 2}


def test_every_kill() -> None:
    explored = Explorer([partial(adder, 1), partial(adder, 2)], START, kills=1).run()
    assert {(memory[1], *memory[KILLED]) for memory in explored.ends} == {
        (1,),
        (2,),
        (1, 1),
        (1, 2),
    }


def test_mortal_only() -> None:
    explored = Explorer([partial(adder, 1), partial(adder, 2)], START, kills=2, mortal={2}).run()
    assert {frozenset(memory[KILLED]) for memory in explored.ends} == {frozenset(), frozenset({2})}


def test_stuck_is_found_with_its_story() -> None:
    with pytest.raises(Broken, match=r"actor 2: store \(1, 2, \(\)\)\nthose who live can never"):
        Explorer([partial(waiter, 1), partial(raiser, 2, 1)], START).run()


def test_alone() -> None:
    """Together they can finish; the waiter alone cannot."""
    memory: Memory = (frozenset(), 5, 0)
    explored = Explorer([partial(waiter, 1), partial(raiser, 0, 1)], memory).run()
    with pytest.raises(Broken, match="actor 1 cannot finish alone"):
        explored.check_alone()


def test_shortest_story() -> None:
    def never(memory: Memory) -> None:
        if memory[1] == 2:
            raise Broken("two")

    with pytest.raises(Broken) as broken:
        Explorer([partial(adder, 1), partial(adder, 2)], START, always=never).run()
    assert str(broken.value).count("\n") == 4


def test_hidden_state_is_refused() -> None:
    """A program whose next step is not told by its locals."""

    def sly(me: int) -> Program:
        for word in iter((1, 2)):
            del word
            yield load(1)
            yield store(1, next(count))

    count = iter(range(100))
    with pytest.raises(RuntimeError, match="more than locals"):
        Explorer([partial(sly, 1), partial(adder, 2)], START).run()
