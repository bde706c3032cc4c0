"""Explores every interleaving of a few actors over shared words, with kills between any two steps.

Memory is a tuple, one item a shared word (an item may be a tuple: a word packed of fields, or a
ghost that only the checks read). An actor is a generator function that yields one `Op` a step:
one atomic load, store or read-modify-write. Steps are sequentially consistent: what weaker memory
does to them is not modelled here.

A generator cannot be hashed or copied, so each is compiled as it is explored into an automaton:
its place (code, instruction and locals of every frame) is the state, the answers to its ops are
the edges, and a place is reached again by replaying the answers. Hence one rule for actors:
nothing may carry over a `yield` but locals and what they determine (so loop over ranges, not over
other iterators), and locals must be hashable.
"""

import gc
from array import array
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

Memory = tuple[Any, ...]
Program = Generator["Op", Any, Any]
State = tuple[Memory, tuple[int, ...]]  # and the place of each actor

KILLED = 0  # word 0 of every memory: the set of killed actors' numbers (they begin at 1)
DEAD = -1  # the place of a killed actor
EVERYBODY = -1


class Broken(AssertionError):
    """An invariant does not hold."""


class Op(NamedTuple):
    """One atomic step. `act(memory, *args)` gives each possible (memory, answer); none: blocked.

    silent: a load of a word that nobody else changes while the actor holds what it holds: done
        together with the step before it.
    """

    act: Callable[..., list[tuple[Memory, Any]]]
    args: tuple[Any, ...]
    silent: bool = False

    def __str__(self) -> str:
        return f"{self.act.__name__.strip('_')} {self.args}"


class Automaton:
    """One actor's program, compiled place by place."""

    def __init__(self, program: Callable[[], Program]) -> None:
        self._program = program
        self._places: dict[Any, int] = {}
        self._answers: list[tuple[Any, ...]] = []
        self._next: list[dict[Any, int]] = []
        self.ops: list[Op | None] = []  # None: finished
        self.start = self._place((None,))

    def after(self, place: int, answer: Any) -> int:
        """The place that follows when the op at `place` was answered so."""
        known = self._next[place].get(answer)
        if known is None:
            known = self._place((*self._answers[place], answer))
            self._next[place][answer] = known
        return known

    def _place(self, answers: tuple[Any, ...]) -> int:
        program = self._program()
        op = None
        try:
            for answer in answers:
                op = program.send(answer)
            key = _frames(program)
        except StopIteration:
            op, key = None, None
        place = self._places.setdefault(key, len(self.ops))
        if place == len(self.ops):
            self.ops.append(op)
            self._answers.append(answers)
            self._next.append({})
        if self.ops[place] != op:
            raise RuntimeError(f"more than locals carries over a yield: {self.ops[place]}, {op}")
        return place


def _frames(program: Any) -> tuple[Any, ...]:
    frames = []
    while program is not None:
        frame = program.gi_frame
        frames.append((frame.f_code, frame.f_lasti, tuple(sorted(frame.f_locals.items()))))
        program = program.gi_yieldfrom
    return tuple(frames)


def run_alone(program: Program, memory: Memory, limit: int = 10_000) -> tuple[Memory, Any]:
    """Run one actor to its end with nobody else there. Returns the memory and its return value."""
    answer = None
    for _ in range(limit):
        try:
            op = program.send(answer)
        except StopIteration as end:
            return memory, end.value
        outcomes = op.act(memory, *op.args)
        if not outcomes:
            raise Broken(f"alone, and blocked: never finished {op}")
        memory, answer = outcomes[0]
    raise Broken(f"alone, and never finished in {limit} steps")


class Explorer:
    """All reachable states of `programs` from `memory`, with at most `kills` killed actors.

    mortal: numbers (from 1) of the actors that may be killed; None: all.
    always(memory): checked for every reachable memory.
    at_end(memory): checked when every actor has finished or was killed.
    """

    def __init__(
        self,
        programs: Sequence[Callable[[], Program]],
        memory: Memory,
        *,
        kills: int = 0,
        mortal: set[int] | None = None,
        always: Callable[[Memory], None] = lambda memory: None,
        at_end: Callable[[Memory], None] = lambda memory: None,
        describe: Callable[[Op], str] = str,
        limit: int = 5_000_000,
    ) -> None:
        self.actors = [Automaton(program) for program in programs]
        self.kills = kills
        self.mortal = set(range(1, len(programs) + 1)) if mortal is None else mortal
        self.always = always
        self.at_end = at_end
        self.describe = describe
        self.limit = limit
        self.ends: set[Memory] = set()  # the memories in which everybody has finished
        self._states: list[State] = []
        self._numbers: dict[State, int] = {}
        self._parents: list[tuple[int, int, Op | None]] = []  # from which, who, what (None: killed)
        self._from, self._to, self._who = array("l"), array("l"), array("b")
        self._finished = [bytearray() for _ in range(len(programs) + 1)]  # last: everybody
        self._checked: set[Memory] = set()
        self._see((memory, tuple(actor.start for actor in self.actors)), 0, 0, None)

    def run(self) -> "Explorer":
        """Explore; raises Broken with the shortest interleaving that leads to a broken state."""
        collecting = gc.isenabled()
        gc.disable()  # many tuples, no cycles: saves a quarter of the time
        try:
            self._explore()
            self._check_can_finish(EVERYBODY, "those who live can never finish")
        finally:
            if collecting:
                gc.enable()
        return self

    def check_alone(self) -> None:
        """From every state each who lives can finish while all others stand still."""
        for index in range(len(self.actors)):
            self._check_can_finish(index, f"actor {index + 1} cannot finish alone")

    @property
    def states(self) -> int:
        return len(self._states)

    def _explore(self) -> None:
        number = 0
        while number < len(self._states):
            if self._finished[-1][number]:
                memory = self._states[number][0]
                self.ends.add(memory)
                self._guard(self.at_end, memory, number)
            else:
                self._step_all(number)
            number += 1

    def _see(self, state: State, parent: int, who: int, op: Op | None) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            if number > self.limit:
                raise RuntimeError(f"more than {self.limit} states")
            self._states.append(state)
            self._parents.append((parent, who, op))
            self._note_finished(state[1])
            if state[0] not in self._checked:
                self._checked.add(state[0])
                self._guard(self.always, state[0], number)
        return number

    def _note_finished(self, places: tuple[int, ...]) -> None:
        everybody = True
        for index, place in enumerate(places):
            done = place == DEAD or self.actors[index].ops[place] is None
            self._finished[index].append(done)
            everybody = everybody and done
        self._finished[-1].append(everybody)

    def _step_all(self, number: int) -> None:
        memory, places = self._states[number]
        may_kill = len(memory[KILLED]) < self.kills
        for index, place in enumerate(places):
            if self._finished[index][number]:
                continue
            self._step(number, index, self.actors[index], place)
            if may_kill and index + 1 in self.mortal:
                killed = (memory[KILLED] | {index + 1}, *memory[1:])
                after = (killed, (*places[:index], DEAD, *places[index + 1 :]))
                self._see(after, number, index, None)

    def _step(self, number: int, index: int, actor: Automaton, place: int) -> None:
        memory, places = self._states[number]
        op = actor.ops[place]
        assert op is not None
        try:
            outcomes = op.act(memory, *op.args)
        except Broken as broken:
            raise self._story(number, f"{self._label(index, op)}: {broken}") from None
        for changed, answer in outcomes:
            settled = self._settle(actor, changed, actor.after(place, answer))
            after = (changed, (*places[:index], settled, *places[index + 1 :]))
            self._from.append(number)
            self._to.append(self._see(after, number, index, op))
            self._who.append(index)

    @staticmethod
    def _settle(actor: Automaton, memory: Memory, place: int) -> int:
        op = actor.ops[place]
        while op is not None and op.silent:
            ((_, answer),) = op.act(memory, *op.args)
            place = actor.after(place, answer)
            op = actor.ops[place]
        return place

    def _guard(self, check: Callable[[Memory], None], memory: Memory, number: int) -> None:
        try:
            check(memory)
        except Broken as broken:
            raise self._story(number, str(broken)) from None

    def _check_can_finish(self, who: int, otherwise: str) -> None:
        """From every state, by steps of one actor (or of everybody), as far as its (their) end.
        Nobody is killed on the way."""
        can = self._finished[who][:]
        last, before = array("l", [-1]) * len(can), array("l", [-1]) * len(self._to)
        for edge, state in enumerate(self._to):
            if who in (EVERYBODY, self._who[edge]):
                before[edge], last[state] = last[state], edge
        ready = [state for state in range(len(can)) if can[state]]
        while ready:
            edge = last[ready.pop()]
            while edge >= 0:
                if not can[self._from[edge]]:
                    can[self._from[edge]] = 1
                    ready.append(self._from[edge])
                edge = before[edge]
        stuck = can.find(0)
        if stuck >= 0:
            raise self._story(stuck, otherwise)

    def _label(self, who: int, op: Op | None) -> str:
        return f"kill {who + 1}" if op is None else f"actor {who + 1}: {self.describe(op)}"

    def _story(self, number: int, ending: str) -> Broken:
        lines = [ending]
        while number:
            number, who, op = self._parents[number]
            lines.append(self._label(who, op))
        return Broken("\n".join(reversed(lines)))
