"""Puts actors, memory and checks together: what must hold always, and what at the end."""

from collections.abc import Callable
from functools import partial

from .explore import KILLED, Broken, Explorer, Memory, Program, run_alone
from .protocol import Protocol
from .truth import (
    books,
    check_books,
    check_file_size,
    check_headers,
    check_laps,
    check_memory,
    check_words,
)
from .words import (
    BEGUN,
    G_DISCARDED,
    G_FATES,
    G_HAND,
    G_OVERWRITTEN,
    HEAD,
    OWNER,
    PENDING,
    READER,
    RESETTING,
    TAIL,
)

FRESH = 99  # the number of a process that comes when all is over


class Scenario:
    """Actors over one buffer into which a process, now gone, has written records of the sizes
    `filled`. attempts: how many records each writer tries to write."""

    def __init__(self, protocol: Protocol, filled: tuple[int, ...] = ()) -> None:
        self.protocol = protocol
        self.memory = protocol.zeroed()
        if filled:
            self.memory, _ = run_alone(protocol.writer(FRESH + 1, filled), self.memory)
        self.programs: list[Callable[[], Program]] = []
        self.attempts: dict[int, int] = {}
        self.has_reset = False
        self.has_hold = False  # its bytes may be overwritten, and unread again after that
        self._drained: set[Memory] = set()

    @property
    def _next(self) -> int:
        return len(self.programs) + 1

    def writer(self, *sizes: int) -> "Scenario":
        self.attempts[self._next] = len(sizes)
        return self._add(self.protocol.writer, sizes)

    def reserver(self, size: int, *, commits: bool) -> "Scenario":
        if commits:
            self.attempts[self._next] = 1
        return self._add(self.protocol.reserver, size, commits)

    def reader(self, times: int, count: int) -> "Scenario":
        return self._add(self.protocol.reader, times, count)

    def taker(self, times: int) -> "Scenario":
        return self._add(self.protocol.taker, times)

    def holder(self, count: int, *, hands_on: bool) -> "Scenario":
        self.has_hold = True
        return self._add(self.protocol.holder, count, hands_on)

    def consumer(self, count: int) -> "Scenario":
        return self._add(self.protocol.consumer, count)

    def flusher(self) -> "Scenario":
        return self._add(self.protocol.flusher)

    def resetter(self) -> "Scenario":
        self.has_reset = True
        return self._add(self.protocol.resetter)

    def _add(self, program: Callable[..., Program], *args: object) -> "Scenario":
        self.programs.append(partial(program, self._next, *args))
        return self

    def explore(self, kills: int = 0, mortal: set[int] | None = None) -> Explorer:
        return Explorer(
            self.programs,
            self.memory,
            kills=kills,
            mortal=mortal,
            always=self.check,
            at_end=self.check_end,
            describe=self.protocol.describe,
        ).run()

    def check(self, memory: Memory) -> None:
        check_words(memory, self.protocol)
        check_books(memory, self.protocol)
        check_laps(memory, self.protocol)
        check_file_size(memory)
        check_headers(memory, self.protocol.header)
        check_memory(memory, self.protocol, self.protocol.overwrite or self.has_hold)

    def check_end(self, memory: Memory) -> None:
        self._check_words_given_back(memory)
        self._check_fates(memory)
        if memory not in self._drained:
            self._drained.add(memory)
            self._check_drain(memory)

    def _check_words_given_back(self, memory: Memory) -> None:
        for word in (OWNER, READER):
            if memory[word] and memory[word] not in memory[KILLED]:
                raise Broken(f"word {word} is held by {memory[word]}, who has finished")

    def _check_fates(self, memory: Memory) -> None:
        """Each attempt has one fate; the last of a killed writer may have none."""
        for writer, attempts in self.attempts.items():
            decided = sorted(record[1] for record, _ in memory[G_FATES] if record[0] == writer)
            wanted = len(decided) if writer in memory[KILLED] else attempts
            if decided != list(range(wanted)):
                raise Broken(f"writer {writer}: records {decided} of {attempts} have a fate")

    def _check_drain(self, memory: Memory) -> None:
        """A process that comes now reads what is there, then flushes and reads the rest."""
        protocol = self.protocol
        everything = protocol.size * (protocol.n + 1)
        for program in (
            protocol.reader(FRESH, 1, everything),
            protocol.flusher(FRESH),
            protocol.reader(FRESH, 1, everything),
            protocol.taker(FRESH, protocol.n + 1),
        ):
            memory, _ = run_alone(program, memory)
            self.check(memory)
        left = books(memory, protocol)["readable"]
        if left != (0, 0) or memory[OWNER] or memory[READER] or memory[RESETTING]:
            raise Broken(f"after all was read: {left} readable, {memory}")
        if memory[G_HAND]:
            raise Broken("what a dead reader had in hand is lost")
        if not (protocol.overwrite or self.has_hold) and memory[G_OVERWRITTEN] != (0, 0):
            raise Broken("overwritten in no-overwrite mode")
        if not self.has_reset and memory[G_DISCARDED] != (0, 0):
            raise Broken("discarded without a reset")
        if memory[HEAD][0] < memory[TAIL][0] or not memory[BEGUN]:
            raise Broken(f"head {memory[HEAD]}, tail {memory[TAIL]}, pending {memory[PENDING]}")
