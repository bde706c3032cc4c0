"""Who is alive: a living holder is never robbed, a dead one blocks nobody."""

from functools import partial

import pytest

from .explore import Broken, Explorer, Op
from .protocol import Steps
from .slots import LOCK, SLOTS, START, TABLE, Attaching, check, give_word, try_lock, unlocked
from .words import load, store


def explore(rules: Attaching, kills: int) -> None:
    """Three processes, two slots: a slot gets another holder."""
    programs = [partial(rules.process, me) for me in (1, 2, 3)]
    Explorer(programs, START, kills=kills, always=check).run()


def test_three_processes_two_kills() -> None:
    explore(Attaching(), 2)


class KeepsGeneration(Attaching):
    def new_generation(self, slot: int) -> Steps:
        return (yield load(TABLE + slot))


class LooksAtLockOnly(Attaching):
    def is_dead(self, holder: tuple[int, int]) -> Steps:
        return (yield Op(unlocked, (holder[1],)))


class TableLast(Attaching):
    """Shows its value in the word before the table has its generation."""

    def process(self, me: int) -> Steps:
        slot = yield from self.take_slot(me)
        if slot is not None:
            generation = (yield load(TABLE + slot)) + 1
            yield from self.take_word(me, (generation, slot))
            yield store(TABLE + slot, generation)
            yield Op(give_word, (me,))
            yield store(LOCK + slot, 0)


class TableBeforeLock(Attaching):
    def process(self, me: int) -> Steps:
        for slot in range(SLOTS):
            generation = yield from self.new_generation(slot)
            if (yield Op(try_lock, (slot, me))):
                yield from self.take_word(me, (generation, slot))
                yield Op(give_word, (me,))
                return


@pytest.mark.parametrize("bug", [KeepsGeneration, LooksAtLockOnly, TableLast, TableBeforeLock])
def test_bug_is_found(bug: type[Attaching]) -> None:
    with pytest.raises(Broken, match=r"two live holders|never finish"):
        explore(bug(), 1)
