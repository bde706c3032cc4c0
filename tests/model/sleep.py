"""The model of sleep and wake: the word `wake` of struct rchan_block and rchan_header.

    NEWS   head's p: goes up at every switch (the owner word keeps switchers apart)
    WAKE   wake: (epoch, asked, sleepers, owed)
    QUEUE  who sleeps in the kernel's futex queue

The look that a real sleeper takes every second is not here: that is what must not be needed.
"""

from typing import Any

from .explore import KILLED, Broken, Memory, Op, Program
from .protocol import Steps
from .words import load, store

NEWS, WAKE, QUEUE, DONE = range(1, 5)
Wake = tuple[int, int, int, int]

START: Memory = (frozenset(), 0, (0, 0, 0, 0), frozenset(), frozenset())


class Sleeping:
    """What switchers and sleepers do with `wake`."""

    def switcher(self, me: int, times: int) -> Program:
        for _ in range(times):
            yield Op(_publish, ())
            if (yield from self.wanted()):
                yield Op(_ask, ())
                # here the owner word is given back
                yield from self.wake()
        yield Op(_finish, (me,))

    def late_switcher(self, me: int, others: frozenset[int]) -> Program:
        """The next switch, whenever the others have ended one way or the other."""
        yield Op(_wait_for, (others,))
        yield from self.switcher(me, 1)

    def wanted(self) -> Steps:
        _, asked, sleepers, _ = yield load(WAKE)
        return bool(asked or sleepers)

    def wake(self) -> Steps:
        while True:
            word = yield load(WAKE)
            if not word[1] and not word[2]:
                return
            if (yield Op(swap, (word, self.note_owed(word)))):
                if self.somebody_sleeps(word):
                    yield store(QUEUE, frozenset())  # FUTEX_WAKE
                yield from self.clear_asked(word[0] + 1)
                return

    def somebody_sleeps(self, word: Wake) -> bool:
        """Bells alone need no FUTEX_WAKE; those whom a killed waker took off do."""
        return bool(word[2] or word[3])

    def note_owed(self, word: Wake) -> Wake:
        """All who sleep are taken off, and `asked` and `owed` say so until they are woken."""
        return word[0] + 1, 1, 0, int(self.somebody_sleeps(word))

    def clear_asked(self, epoch: int) -> Steps:
        """Only while the epoch is ours: else another waker owes the wake-up. Sleepers that came
        since our swap stay: they have seen our news."""
        while True:
            word = yield load(WAKE)
            if word[0] != epoch or (yield Op(swap, (word, (epoch, 0, word[2], 0)))):
                return

    def sleeper(self, me: int, wanted: int) -> Program:
        """Sleep until the news of switch `wanted` is there."""
        while (yield load(NEWS)) < wanted:
            epoch = yield Op(_add_sleeper, ())
            if not (yield from self.still_nothing(wanted)):
                yield from self.remove_sleeper(epoch)
                return
            if (yield Op(_queue_up, (me, epoch))):
                yield Op(_asleep, (me,))

    def still_nothing(self, wanted: int) -> Steps:
        return (yield load(NEWS)) < wanted

    def dozer(self, me: int) -> Program:
        """Sleeps once; may wake up by itself at any time and give up."""
        epoch = yield Op(_add_sleeper, ())
        if (yield Op(_queue_up, (me, epoch))) and (yield Op(_doze, (me,))):
            yield from self.remove_sleeper(epoch)

    def remove_sleeper(self, epoch: int) -> Steps:
        while True:
            word = yield load(WAKE)
            if word[0] != epoch or not word[2]:
                return
            if (yield Op(swap, (word, (epoch, word[1], word[2] - 1, word[3])))):
                return


def check(memory: Memory) -> None:
    """Whoever sleeps is counted, or a wake-up is owed."""
    _, asked, sleepers, _ = memory[WAKE]
    if memory[QUEUE] - memory[KILLED] and not (asked or sleepers):
        raise Broken(f"{memory[QUEUE]} sleep and nobody knows: {memory[WAKE]}")


Outcomes = list[tuple[Memory, Any]]


def _with(memory: Memory, word: int, value: Any) -> Memory:
    return (*memory[:word], value, *memory[word + 1 :])


def _publish(memory: Memory) -> Outcomes:
    return [(_with(memory, NEWS, memory[NEWS] + 1), None)]


def _ask(memory: Memory) -> Outcomes:
    epoch, _, sleepers, owed = memory[WAKE]
    return [(_with(memory, WAKE, (epoch, 1, sleepers, owed)), None)]


def swap(memory: Memory, old: Any, new: Any) -> Outcomes:
    if memory[WAKE] != old:
        return [(memory, False)]
    return [(_with(memory, WAKE, new), True)]


def _add_sleeper(memory: Memory) -> Outcomes:
    epoch, asked, sleepers, owed = memory[WAKE]
    return [(_with(memory, WAKE, (epoch, asked, sleepers + 1, owed)), epoch)]


def _queue_up(memory: Memory, me: int, epoch: int) -> Outcomes:
    """FUTEX_WAIT's first half: False (EAGAIN) if the epoch has moved."""
    if memory[WAKE][0] != epoch:
        return [(memory, False)]
    return [(_with(memory, QUEUE, memory[QUEUE] | {me}), True)]


def _asleep(memory: Memory, me: int) -> Outcomes:
    return [] if me in memory[QUEUE] else [(memory, None)]


def _doze(memory: Memory, me: int) -> Outcomes:
    """Woken (False), or awake by itself (True)."""
    if me not in memory[QUEUE]:
        return [(memory, False)]
    return [(_with(memory, QUEUE, memory[QUEUE] - {me}), True)]


def _finish(memory: Memory, me: int) -> Outcomes:
    return [(_with(memory, DONE, memory[DONE] | {me}), None)]


def _wait_for(memory: Memory, others: frozenset[int]) -> Outcomes:
    return [] if others - memory[DONE] - memory[KILLED] else [(memory, None)]
