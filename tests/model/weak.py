"""Explores small programs under weak memory: all that a multi-copy-atomic machine that executes out
of order may do (ARMv8), not only what sequential consistency allows.

A thread is a list of instructions, without loops: another way through the code is another list,
with a `Guard` for what was loaded to take this way. An instruction may be done before earlier ones
unless: it uses a value that the earlier one loads; both are at the same word (but a load may take
the value of an own store that is still on its way); the earlier is an acquire; it is itself a
release; a fence is between; or it stores and a guard before it is undecided (loads are speculated
beyond guards). A read-modify-write is two instructions, `ReadX` and `WriteX`, between which nobody
else writes the word, but others of the same thread may be done. A store is seen by all others at
once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

Values = dict[str, int]
Value = int | Callable[[Values], int]


class Load(NamedTuple):
    to: str
    word: str
    acquire: bool = False
    needs: tuple[str, ...] = ()  # values that its address is computed from


class Store(NamedTuple):
    word: str
    value: Value
    release: bool = False
    needs: tuple[str, ...] = ()  # values that it is computed from


class ReadX(NamedTuple):
    to: str
    word: str
    acquire: bool = False


class WriteX(NamedTuple):
    word: str
    value: Value
    release: bool = False
    needs: tuple[str, ...] = ()


class Guard(NamedTuple):
    """Go on only if this holds; else the thread ends here (another list is the other way)."""

    holds: Callable[[Values], bool]
    needs: tuple[str, ...]


class Fence(NamedTuple):
    """full; load: loads before it, then everything; store: everything before it, then stores.
    none: left out."""

    kind: str


Instruction = Load | Store | ReadX | WriteX | Guard | Fence
Program = Sequence[Instruction]

READS, WRITES = (Load, ReadX), (Store, WriteX)

ThreadState = tuple[int, tuple[tuple[str, int], ...], bool]  # done (bits), values, gave up
Memory = tuple[tuple[str, int, int], ...]  # word, value, times written
State = tuple[Memory, tuple[ThreadState, ...]]


def _fence_blocks(fence: str, later: Instruction) -> bool:
    if fence == "store":
        return isinstance(later, (*WRITES, Fence))
    return fence != "none" and not isinstance(later, Guard)


def _waits_for_fence(earlier: Instruction, fence: str) -> bool:
    """Must `earlier` be done before the fence is?"""
    if fence == "none":
        return False
    if isinstance(earlier, Fence):
        return earlier.kind != "none"
    if isinstance(earlier, Guard):
        return False
    return fence != "load" or isinstance(earlier, READS)


def _blocks(earlier: Instruction, later: Instruction) -> bool:
    """Must `earlier`, not done yet, be done before `later`? (Leaving aside values needed.)"""
    if isinstance(earlier, Fence):
        return _fence_blocks(earlier.kind, later)
    if isinstance(later, Fence):
        return _waits_for_fence(earlier, later.kind)
    if isinstance(later, Guard):
        return False
    if isinstance(earlier, Guard):
        return isinstance(later, WRITES)
    if isinstance(earlier, READS) and earlier.acquire:
        return True
    if isinstance(later, WRITES) and later.release:
        return True
    return earlier.word == later.word and not (
        isinstance(earlier, Store) and isinstance(later, Load)
    )


class Machine:
    """All ends of `threads` from `memory` (words that are not in it are 0)."""

    def __init__(self, threads: Sequence[Program], memory: Mapping[str, int]) -> None:
        self.threads = threads
        words = {i.word for thread in threads for i in thread if hasattr(i, "word")}
        self.start: State = (
            tuple(sorted((word, memory.get(word, 0), 0) for word in words | set(memory))),
            tuple((0, (), False) for _ in threads),
        )

    def ends(self) -> Iterator[tuple[list[Values | None], Values]]:
        """What each thread had loaded at its end (None: it gave up at a guard), and the memory."""
        seen, ready = {self.start}, [self.start]
        while ready:
            state = ready.pop()
            after = list(self._steps(state))
            if not after and self._is_end(state):
                values = [None if quit_ else dict(had) for _, had, quit_ in state[1]]
                yield values, {word: value for word, value, _ in state[0]}
            for next_ in after:
                if next_ not in seen:
                    seen.add(next_)
                    ready.append(next_)

    def allows(self, outcome: Callable[[list[Values | None], Values], bool]) -> bool:
        return any(outcome(values, memory) for values, memory in self.ends())

    def _is_end(self, state: State) -> bool:
        """A WriteX whose word another one has written never comes to its end: no such execution."""
        return all(
            quit_ or done == (1 << len(thread)) - 1
            for thread, (done, _, quit_) in zip(self.threads, state[1], strict=True)
        )

    def _steps(self, state: State) -> Iterator[State]:
        for who, (done, values, quit_) in enumerate(state[1]):
            if quit_:
                continue
            for at, instruction in enumerate(self.threads[who]):
                if not done >> at & 1 and self._may(who, at, done, dict(values)):
                    yield from self._do(state, who, at, instruction)

    def _may(self, who: int, at: int, done: int, values: Values) -> bool:
        thread = self.threads[who]
        instruction = thread[at]
        needs = getattr(instruction, "needs", ())
        if any(name not in values for name in needs):
            return False
        return not any(
            not done >> before & 1 and _blocks(thread[before], instruction) for before in range(at)
        )

    def _do(self, state: State, who: int, at: int, instruction: Instruction) -> Iterator[State]:
        memory, threads = state
        done, had, _ = threads[who]
        values, words = dict(had), {word: (value, times) for word, value, times in memory}
        quit_ = False
        if isinstance(instruction, Load):
            own = self._own_store(who, at, done, instruction.word)
            if own is not None and any(name not in values for name in own.needs):
                return
            value = words[instruction.word][0] if own is None else _value(own.value, values)
            values[instruction.to] = value
        elif isinstance(instruction, ReadX):
            values[instruction.to], values["#" + instruction.word] = words[instruction.word]
        elif isinstance(instruction, WRITES):
            times = words[instruction.word][1]
            if isinstance(instruction, WriteX) and times != values["#" + instruction.word]:
                return
            words[instruction.word] = _value(instruction.value, values), times + 1
        elif isinstance(instruction, Guard):
            quit_ = not instruction.holds(values)
        changed = (done | 1 << at, tuple(sorted(values.items())), quit_)
        yield (
            tuple(sorted((word, value, times) for word, (value, times) in words.items())),
            (*threads[:who], changed, *threads[who + 1 :]),
        )

    def _own_store(self, who: int, at: int, done: int, word: str) -> Store | None:
        """The last store of this thread to the word before `at`, if it is still on its way."""
        for before in range(at - 1, -1, -1):
            earlier = self.threads[who][before]
            if isinstance(earlier, WRITES) and earlier.word == word:
                on_its_way = not done >> before & 1 and isinstance(earlier, Store)
                return earlier if on_its_way and isinstance(earlier, Store) else None
        return None


def _value(value: Value, values: Values) -> int:
    return value(values) if callable(value) else value
