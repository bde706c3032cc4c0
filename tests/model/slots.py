"""The model of slots: who is alive, by table generation and lock (docs/explanation/protocol.md).

LOCK[s]   the open-file-description lock on slot s's byte: its holder (void once killed), 0
TABLE[s]  the slot table's word: the generation
WORD      owner or reader: 0, or (generation, slot)
"""

from typing import Any

from .explore import KILLED, Broken, Memory, Op, Program
from .protocol import Steps
from .words import load, store

SLOTS = 2
WORD, HOLDERS = 1, 2  # HOLDERS: a ghost, who believes that it holds WORD
LOCK, TABLE = 3, 3 + SLOTS
START: Memory = (frozenset(), 0, frozenset(), *[0] * SLOTS, *[0] * SLOTS)


class Attaching:
    """A process: takes a slot, takes the word (over, if its holder is dead), gives both back."""

    def process(self, me: int) -> Program:
        slot = yield from self.take_slot(me)
        if slot is None:
            return
        generation = yield from self.new_generation(slot)
        yield from self.take_word(me, (generation, slot))
        yield Op(give_word, (me,))
        yield store(LOCK + slot, 0)

    def take_slot(self, me: int) -> Steps:
        for slot in range(SLOTS):
            if (yield Op(try_lock, (slot, me))):
                return slot
        return None

    def new_generation(self, slot: int) -> Steps:
        generation = (yield load(TABLE + slot)) + 1
        yield store(TABLE + slot, generation)
        return generation

    def take_word(self, me: int, value: tuple[int, int]) -> Steps:
        seen: Any = 0
        while True:
            answer = yield Op(_swap, (seen, value, me))
            if answer == seen:
                return
            seen = answer
            if seen and not (yield from self.is_dead(seen)):
                yield Op(_changed, (seen,))
                seen = 0

    def is_dead(self, holder: tuple[int, int]) -> Steps:
        """A later generation, or nobody's lock. Never the other way round, once it is dead."""
        if (yield load(TABLE + holder[1])) > holder[0]:
            return True
        return (yield Op(unlocked, (holder[1],)))


def check(memory: Memory) -> None:
    if len(memory[HOLDERS] - memory[KILLED]) > 1:
        raise Broken("two live holders")


def _with(memory: Memory, word: int, value: Any) -> Memory:
    return (*memory[:word], value, *memory[word + 1 :])


def _locked(memory: Memory, slot: int) -> bool:
    return memory[LOCK + slot] != 0 and memory[LOCK + slot] not in memory[KILLED]


def try_lock(memory: Memory, slot: int, me: int) -> list[tuple[Memory, Any]]:
    if _locked(memory, slot):
        return [(memory, False)]
    return [(_with(memory, LOCK + slot, me), True)]


def unlocked(memory: Memory, slot: int) -> list[tuple[Memory, Any]]:
    return [(memory, not _locked(memory, slot))]


def _swap(memory: Memory, old: Any, new: Any, me: int) -> list[tuple[Memory, Any]]:
    seen = memory[WORD]
    if seen != old:
        return [(memory, seen)]
    return [(_with(_with(memory, WORD, new), HOLDERS, memory[HOLDERS] | {me}), seen)]


def give_word(memory: Memory, me: int) -> list[tuple[Memory, Any]]:
    return [(_with(_with(memory, WORD, 0), HOLDERS, memory[HOLDERS] - {me}), None)]


def _changed(memory: Memory, seen: Any) -> list[tuple[Memory, Any]]:
    """It is worth another look: the word, or who is alive, has changed."""
    generation, slot = seen
    still = memory[WORD] == seen and memory[TABLE + slot] == generation and _locked(memory, slot)
    return [] if still else [(memory, None)]
