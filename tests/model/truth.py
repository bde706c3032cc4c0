"""What truly happened, noted in the very step that makes it so, and the checks against it.

The books are those of docs/explanation/protocol.md: computed from the shared words as a fresh
process would, in every reachable state, so also after a kill between any two stores.
"""

from typing import Any

from .explore import Broken, Memory
from .words import (
    ACCOUNT,
    ACCOUNT_WORDS,
    CONTENDED,
    DROPPED,
    G_BYTES,
    G_CONSUMED,
    G_DISCARDED,
    G_FATES,
    G_FINISHED,
    G_HAND,
    G_OVERWRITTEN,
    G_RECORDS,
    G_WRITTEN,
    HEAD,
    OWNER,
    PENDING,
    RESET_BYTES,
    RESET_RECORDS,
    RESETTING,
    START_BYTES,
    START_RECORDS,
    STARTED,
    TAIL,
    TOTAL_BYTES,
    TOTAL_RECORDS,
    UNFINISHED,
    Note,
    Sizes,
)

Pair = tuple[int, int]  # records, bytes


def committed(p: int, offset: int, data: tuple[Any, ...], record: Any) -> Note:
    """The bytes are there from now on. record None: they are a header."""
    return _committed, (p, offset, data, record)


def decided(record: Any, fate: str) -> Note:
    return _decided, (record, fate)


def delivered(data: tuple[tuple[int, int, Any], ...], finished: int | None) -> Note:
    """These bytes, (p, offset, byte), went to a reader; sub-buffer `finished` is done with."""
    return _delivered, (data, finished)


def lapped(sizes: Sizes, to: int) -> Note:
    """The reader goes on at sub-buffer `to`; what is older is lost."""
    return _lapped, (sizes, to)


def given_up(to: int) -> Note:
    """Sub-buffers before `to` count as consumed, unseen (subbufs_consumed)."""
    return _given_up, (to,)


def finished(size: int) -> Note:
    """A sub-buffer with so many bytes is finished: the file grows by them."""
    return _finished, (size,)


def discarded() -> Note:
    """A reset: whatever was left is discarded."""
    return _discarded, ()


def in_hand(*notes: Note) -> Note:
    """What these notes take away is in a reader's hand: it may come back."""
    return _in_hand, (notes,)


def handed_on() -> Note:
    """It does not."""
    return _handed_on, ()


def taken_back() -> Note:
    """It does: unread again, in front of what was written since."""
    return _taken_back, ()


def _count(memory: list[Any], word: int, records: int, size: int) -> None:
    memory[word] = memory[word][0] + records, memory[word][1] + size


def _committed(memory: list[Any], p: int, offset: int, data: Any, record: Any) -> None:
    memory[G_BYTES] += tuple((p, offset + at, byte) for at, byte in enumerate(data))
    _count(memory, G_WRITTEN, record is not None, len(data))
    if record is not None:
        memory[G_RECORDS] += (p,)
        _decided(memory, record, "written")


def _decided(memory: list[Any], record: Any, fate: str) -> None:
    if any(known == record for known, _ in memory[G_FATES]):
        raise Broken(f"record {record} is counted twice")
    memory[G_FATES] |= {(record, fate)}


def _delivered(memory: list[Any], data: Any, finished: int | None) -> None:
    expected = memory[G_BYTES][: len(data)]
    if expected != data:
        raise Broken(f"delivered {data}, next were {expected}")
    memory[G_BYTES] = memory[G_BYTES][len(data) :]
    _count(memory, G_CONSUMED, 0, len(data))
    if finished is not None:
        if any(p <= finished for p, _, _ in memory[G_BYTES]):
            raise Broken(f"sub-buffer {finished} is consumed but not all was delivered")
        _count(memory, G_CONSUMED, *_drop_before(memory, finished + 1))


def _in_hand(memory: list[Any], notes: tuple[Note, ...]) -> None:
    if memory[G_HAND]:
        raise Broken("a second read is handed on before the first")
    words = G_BYTES, G_RECORDS, G_CONSUMED, G_OVERWRITTEN
    data, records, consumed, overwritten = (memory[word] for word in words)
    for note, args in notes:
        note(memory, *args)
    data = data[: len(data) - len(memory[G_BYTES])]
    records = records[: len(records) - len(memory[G_RECORDS])]
    memory[G_HAND] = data, records, consumed, overwritten


def _handed_on(memory: list[Any]) -> None:
    if not memory[G_HAND]:
        raise Broken("nothing is in hand")
    memory[G_HAND] = 0


def _taken_back(memory: list[Any]) -> None:
    if not memory[G_HAND]:
        raise Broken("unread again, but it was handed on")
    data, records, memory[G_CONSUMED], memory[G_OVERWRITTEN] = memory[G_HAND]
    memory[G_BYTES] = data + memory[G_BYTES]
    memory[G_RECORDS] = records + memory[G_RECORDS]
    memory[G_HAND] = 0


def _lapped(memory: list[Any], sizes: Sizes, to: int) -> None:
    for p in {entry[0] for entry in memory[G_BYTES]} | set(memory[G_RECORDS]):
        if p < to and memory[STARTED] - p < sizes.n:
            raise Broken(f"sub-buffer {p} was given up as overwritten but is there")
    _count(memory, G_OVERWRITTEN, *_drop_before(memory, to))


def _given_up(memory: list[Any], to: int) -> None:
    _count(memory, G_CONSUMED, *_drop_before(memory, to))


def _finished(memory: list[Any], size: int) -> None:
    memory[G_FINISHED] += size


def _discarded(memory: list[Any]) -> None:
    _count(memory, G_DISCARDED, len(memory[G_RECORDS]), len(memory[G_BYTES]))
    memory[G_RECORDS] = memory[G_BYTES] = ()


def _drop_before(memory: list[Any], to: int) -> Pair:
    records = sum(p < to for p in memory[G_RECORDS])
    size = sum(p < to for p, _, _ in memory[G_BYTES])
    memory[G_RECORDS] = memory[G_RECORDS][records:]
    memory[G_BYTES] = memory[G_BYTES][size:]
    return records, size


def valid_account(memory: Memory) -> int:
    """The first whose tail is the present tail."""
    return ACCOUNT[0] if memory[ACCOUNT[0]] == memory[TAIL] else ACCOUNT[1]


def larger_account(memory: Memory) -> int:
    """In a reset: sums only grow, and `tail` may be rewound already."""
    one, other = (sum(memory[at + word] for word in (1, 2, 3, 4)) for at in ACCOUNT)
    return ACCOUNT[1] if other > one else ACCOUNT[0]


def books(memory: Memory, sizes: Sizes) -> dict[str, Pair]:
    """What a process that comes now reads out of the shared words, records and bytes."""
    p, offset = memory[HEAD]
    if memory[RESETTING]:
        written = memory[RESET_RECORDS], memory[RESET_BYTES]
    else:
        records, size = memory[TOTAL_RECORDS + (p & 1)], memory[TOTAL_BYTES + (p & 1)]
        pending, pending_offset = memory[PENDING]
        if offset != sizes.full:
            # an offset that is not head's: one record more than was committed
            records += pending - (pending_offset != offset and pending > 0)
            size += offset
        written = records, size
    account = larger_account(memory) if memory[RESETTING] else valid_account(memory)
    sums = memory[account + 1 : account + ACCOUNT_WORDS]
    consumed, overwritten, discards = (sums[0], sums[1]), (sums[2], sums[3]), (sums[4], sums[5])
    readable = tuple(written[i] - consumed[i] - overwritten[i] - discards[i] for i in range(2))
    return {
        "written": written,
        "consumed": consumed,
        "overwritten": overwritten,
        "discarded": discards,
        "readable": readable,
    }


def check_books(memory: Memory, sizes: Sizes) -> None:
    """The books say what truly happened, in this very state."""
    said = books(memory, sizes)
    truth = {
        "written": memory[G_WRITTEN],
        "consumed": memory[G_CONSUMED],
        "overwritten": memory[G_OVERWRITTEN],
    }
    if not memory[RESETTING]:  # until it is over, what was unread is here or there
        truth["discarded"] = memory[G_DISCARDED]
        truth["readable"] = len(memory[G_RECORDS]), len(memory[G_BYTES])
    wrong = {name: (said[name], true) for name, true in truth.items() if said[name] != true}
    if wrong:
        raise Broken(f"books (said, true): {wrong}")
    select = memory[DROPPED]
    drops = memory[DROPPED + 1 + (select & 1)], memory[CONTENDED]
    fates = [fate for _, fate in memory[G_FATES]]
    if drops != (fates.count("full"), fates.count("contended")):
        raise Broken(f"drops said {drops}, true: {fates}")


def check_laps(memory: Memory, sizes: Sizes) -> None:
    """The books show a loss before the reader comes to it; readable is what can be read."""
    (p, _), started, (c, _) = memory[HEAD], memory[STARTED], memory[TAIL]
    if memory[RESETTING] or started - c < sizes.n:
        return
    first = started - sizes.n + 1
    if first == p:
        before = memory[TOTAL_RECORDS + (p & 1)], memory[TOTAL_BYTES + (p & 1)]
    else:
        meta = sizes.meta(first)
        before = memory[meta + START_RECORDS], memory[meta + START_BYTES]
    written = books(memory, sizes)["written"]
    readable = written[0] - before[0], written[1] - before[1]
    true = (
        sum(at >= first for at in memory[G_RECORDS]),
        sum(at >= first for at, _, _ in memory[G_BYTES]),
    )
    if readable != true:
        raise Broken(f"readable from sub-buffer {first}: {readable}, true: {true}")


def check_file_size(memory: Memory) -> None:
    """What finished sub-buffers held, whatever was reset or killed."""
    size = memory[TOTAL_BYTES + (memory[HEAD][0] & 1)] - memory[UNFINISHED]
    if not memory[RESETTING] and size != memory[G_FINISHED]:
        raise Broken(f"file size {size}, true: {memory[G_FINISHED]}")


def check_headers(memory: Memory, size: int) -> None:
    """Each sub-buffer has its header, and records come after it."""
    for p, offset, byte in memory[G_BYTES]:
        if (byte[0] == "header") != (offset < size):
            raise Broken(f"{byte} at {offset} of sub-buffer {p}, whose header has {size} bytes")


def check_memory(memory: Memory, sizes: Sizes, overwrite: bool) -> None:
    """Unread bytes are in their place, whole (no-overwrite: all; else: of whole sub-buffers)."""
    started = memory[STARTED]
    for p, offset, byte in memory[G_BYTES]:
        if started - p >= sizes.n:
            if not overwrite:
                raise Broken(f"sub-buffer {p} is unread but {started} was started")
        elif memory[sizes.data(p) + offset] != byte and not memory[RESETTING]:
            raise Broken(f"{memory[sizes.data(p) + offset]} where {byte} was committed")


def check_words(memory: Memory, sizes: Sizes) -> None:
    """What each reader of the words may rely on."""
    (p, offset), started, (c, _) = memory[HEAD], memory[STARTED], memory[TAIL]
    if memory[RESETTING]:
        if memory[OWNER] == 0:
            raise Broken("a reset is unfinished and nobody's")
        return
    if not started == p and not (offset == sizes.full and started == p - 1):
        raise Broken(f"head {memory[HEAD]} with started {started}")
    if memory[TAIL] > memory[HEAD] or c > p:
        raise Broken(f"tail {memory[TAIL]} is beyond head {memory[HEAD]}")
    both = memory[ACCOUNT[0]] == memory[TAIL], memory[ACCOUNT[1]] == memory[TAIL]
    if not any(both) or (all(both) and memory[TAIL] != (0, 0)):
        raise Broken("not one account is the valid one")
