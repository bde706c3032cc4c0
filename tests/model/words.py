"""The shared words of docs/explanation/protocol.md, and the single steps that touch them.

Each word here is the word of the same name of struct rchan_block in core/layout.h, packed words
as tuples of their fields:

    OWNER, READER      owner, reader: 0, or the number of the actor (its slot and generation)
    HEAD, TAIL         head (p, offset), tail (c, bytes)
    PENDING            pending (records, offset)
    STARTED, BEGUN, RESETTING, RESET_RECORDS, RESET_BYTES      the words of these names
    UNFINISHED, RESET_UNFINISHED                               unfinished_bytes, reset_unfinished
    UNDO               undo: 0, or the tail before a read that is being handed on
    TOTAL_RECORDS + (p & 1), TOTAL_BYTES + (p & 1)             total_records[], total_bytes[]
    DROPPED            dropped[RCHAN_DROP_FULL]: select, records[0], records[1]
    CONTENDED          contended_records
    ACCOUNT[i]         account[i], its seven words in the order of struct rchan_account
    Sizes.meta(p)      meta[p mod n]: padding, records, start_records, start_bytes
    Sizes.data(p)      the buffer file's bytes of sub-buffer p, one word a byte

KILLED stands for the kernel's locks: whose slot is unlocked. The G_ words are ghosts: what truly
happened, for the checks; no step of the protocol reads them.
"""

from collections.abc import Callable
from typing import Any

from .explore import KILLED, Broken, Memory, Op

OWNER, HEAD, PENDING, STARTED, BEGUN, RESETTING = range(1, 7)
TOTAL_RECORDS, TOTAL_BYTES = 7, 9  # two each
RESET_RECORDS, RESET_BYTES = 11, 12
DROPPED, CONTENDED = 13, 16
READER, TAIL = 17, 18
ACCOUNT = (19, 26)
ACCOUNT_WORDS = 7  # tail, then consumed, overwritten, discarded: records and bytes of each
UNFINISHED, RESET_UNFINISHED = 33, 34
UNDO = 35
G_HOLDS = 36  # frozenset of (word, actor): who believes that it holds what
G_BYTES = 37  # committed, neither delivered nor lost: tuple of (p, offset, byte), in order
G_RECORDS = 38  # the same for records: tuple of (p, count), in order
G_WRITTEN, G_CONSUMED, G_OVERWRITTEN, G_DISCARDED = 39, 40, 41, 42  # (records, bytes)
G_FINISHED = 43  # bytes of all sub-buffers that were finished
G_FATES = 44  # frozenset of (record, what became of it)
G_HAND = 45  # read but not handed on: (bytes, records, consumed, overwritten) before; or 0
FIXED_WORDS = 46
META_WORDS = 4
PADDING, RECORDS, START_RECORDS, START_BYTES = range(META_WORDS)

NAMES = (
    *("killed", "owner", "head", "pending", "started", "begun", "resetting"),
    *("total_records[0]", "total_records[1]", "total_bytes[0]", "total_bytes[1]"),
    *("reset_records", "reset_bytes", "dropped.select", "dropped[0]", "dropped[1]"),
    *("contended", "reader", "tail"),
)
SUMS = tuple(
    f"{why}_{what}"
    for why in ("consumed", "overwritten", "discarded")
    for what in ("records", "bytes")
)

Note = tuple[Callable[..., None], tuple[Any, ...]]  # done in the same step, on the ghosts


class Sizes:
    """Geometry: where a sub-buffer's words lie."""

    def __init__(self, subbuf_size: int, n_subbufs: int) -> None:
        self.size = subbuf_size
        self.n = n_subbufs
        self.full = subbuf_size + 1

    def meta(self, p: int) -> int:
        return FIXED_WORDS + p % self.n * META_WORDS

    def data(self, p: int) -> int:
        return FIXED_WORDS + self.n * META_WORDS + p % self.n * self.size

    def name(self, word: int) -> str:
        if word < len(NAMES):
            return NAMES[word]
        if word < UNFINISHED:
            account, at = divmod(word - ACCOUNT[0], ACCOUNT_WORDS)
            return f"account[{account}].{('tail', *SUMS)[at]}"
        if word < FIXED_WORDS:
            names = {UNFINISHED: "unfinished_bytes", RESET_UNFINISHED: "reset_unfinished"}
            names[UNDO] = "undo"
            return names.get(word, f"ghost {word}")
        if word < self.data(0):
            slot, at = divmod(word - FIXED_WORDS, META_WORDS)
            return f"meta[{slot}].{('padding', 'records', 'start_records', 'start_bytes')[at]}"
        slot, at = divmod(word - self.data(0), self.size)
        return f"byte {at} of slot {slot}"

    def describe(self, op: Op) -> str:
        """For the story of how a state came to be."""
        what = op.act.__name__.strip("_")
        if op.act in (_load, _store, _add, _swap, _is_free_or_dead):
            value = f" {op.args[1]}" if op.act in (_store, _add) else ""
            return f"{what} {self.name(op.args[0])}{value}"
        return f"{what} {op.args}"

    def zeroed(self) -> Memory:
        """A zeroed block, as the kernel gives it."""
        memory: list[Any] = [0] * (FIXED_WORDS + self.n * (META_WORDS + self.size))
        memory[KILLED] = frozenset()
        for word in (HEAD, PENDING, TAIL, *ACCOUNT):
            memory[word] = (0, 0)
        memory[G_HOLDS] = memory[G_FATES] = frozenset()
        memory[G_BYTES] = memory[G_RECORDS] = ()
        for word in (G_WRITTEN, G_CONSUMED, G_OVERWRITTEN, G_DISCARDED):
            memory[word] = (0, 0)
        return tuple(memory)


def load(word: int) -> Op:
    return Op(_load, (word,))


def peek(word: int) -> Op:
    """A load of a word that only the holder (who loads) may change."""
    return Op(_load, (word,), silent=True)


def store(word: int, value: Any, *notes: Note) -> Op:
    return Op(_store, (word, value, notes))


def add(word: int, value: int, *notes: Note) -> Op:
    return Op(_add, (word, value, notes))


def take(word: int, me: int) -> Op:
    """Compare-and-swap 0 -> me; answers what was seen (0: taken)."""
    return Op(_swap, (word, 0, me))


def take_over(word: int, dead: int, me: int) -> Op:
    """Compare-and-swap dead -> me; answers what was seen (dead: taken)."""
    return Op(_swap, (word, dead, me))


def give(word: int, me: int, value: int = 0) -> Op:
    return store(word, value, lets_go(word, me))


def is_dead(holder: int) -> Op:
    """The fcntl that asks the kernel about the holder's slot."""
    return Op(_is_dead, (holder,))


def is_free_or_dead(word: int) -> Op:
    """Wait until it is worth another attempt (a patient actor's spin loop, without its turns)."""
    return Op(_is_free_or_dead, (word,))


def choose(count: int) -> Op:
    return Op(_choose, (count,))


def _put(memory: Memory, word: int, value: Any, notes: tuple[Note, ...]) -> Memory:
    changed = list(memory)
    for note, args in notes:
        note(changed, *args)
    changed[word] = value
    return tuple(changed)


def _load(memory: Memory, word: int) -> list[tuple[Memory, Any]]:
    return [(memory, memory[word])]


def _store(
    memory: Memory, word: int, value: Any, notes: tuple[Note, ...]
) -> list[tuple[Memory, Any]]:
    return [(_put(memory, word, value, notes), None)]


def _add(
    memory: Memory, word: int, value: int, notes: tuple[Note, ...]
) -> list[tuple[Memory, Any]]:
    return [(_put(memory, word, memory[word] + value, notes), None)]


def _swap(memory: Memory, word: int, old: int, me: int) -> list[tuple[Memory, Any]]:
    seen = memory[word]
    if seen != old:
        return [(memory, seen)]
    return [(_put(memory, word, me, (holds(word, me),)), seen)]


def _is_dead(memory: Memory, holder: int) -> list[tuple[Memory, Any]]:
    return [(memory, holder in memory[KILLED])]


def _is_free_or_dead(memory: Memory, word: int) -> list[tuple[Memory, Any]]:
    holder = memory[word]
    return [(memory, None)] if not holder or holder in memory[KILLED] else []


def _choose(memory: Memory, count: int) -> list[tuple[Memory, Any]]:
    return [(memory, choice) for choice in range(count)]


def holds(word: int, me: int) -> Note:
    return _holds, (word, me)


def lets_go(word: int, me: int) -> Note:
    return _lets_go, (word, me)


def _holds(memory: list[Any], word: int, me: int) -> None:
    memory[G_HOLDS] |= {(word, me)}
    if len({holder for held, holder in memory[G_HOLDS] if held == word} - memory[KILLED]) > 1:
        raise Broken("two live holders of one word")


def _lets_go(memory: list[Any], word: int, me: int) -> None:
    memory[G_HOLDS] -= {(word, me)}
