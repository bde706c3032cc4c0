"""The hand-overs of docs/explanation/protocol.md as programs for the weak machine.

They have the core's own orders. Each gives threads, what memory holds before, and what must never
be: it is told what every thread had loaded at its end (None: it took another way).
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from .orders import Orders
from .weak import Fence, Guard, Instruction, Load, Machine, Program, ReadX, Store, Values, WriteX

Ends = list[Values | None]


class HandOver(NamedTuple):
    name: str
    threads: list[Program]
    never: Callable[[dict[str, int]], bool]  # of the values of all, if none took another way
    memory: dict[str, int]

    def broken(self) -> bool:
        def outcome(ends: Ends, memory: Values) -> bool:
            if any(end is None for end in ends):
                return False
            values = {name: value for end in ends if end for name, value in end.items()}
            return self.never({**memory, **values})

        return Machine(self.threads, self.memory).allows(outcome)


def is_(name: str, value: int) -> Guard:
    return Guard(lambda values: values[name] == value, (name,))


def take(o: Orders, label: str, word: str, holder: int, me: int) -> list[Instruction]:
    """Compare-and-swap: this way it was had."""
    return [ReadX("had", word, o.acquire(label)), is_("had", holder), WriteX(word, me)]


def publish(o: Orders, store: str, load: str) -> HandOver:
    """What was stored before the word is there for who has seen the word."""
    writer: Program = [Store("bytes", 1), Store("word", 1, o.release(store))]
    reader: Program = [Load("w", "word", o.acquire(load)), is_("w", 1), Load("b", "bytes")]
    return HandOver(f"{store} -> {load}", [writer, reader], lambda v: v["b"] == 0, {})


def give(o: Orders, label: str) -> HandOver:
    """The next holder sees what the last one stored; and changes nothing that one still reads."""
    last: Program = [
        Load("x", "other"),
        Store("pending", 1),
        Store("owner", 0, o.release("word.give")),
    ]
    next_: Program = [*take(o, label, "owner", 0, 2), Load("p", "pending"), Store("other", 7)]
    return HandOver(
        f"word.give -> {label}", [last, next_], lambda v: v["p"] != 1 or v["x"] != 0, {"owner": 1}
    )


DEAD = 9


def leave(o: Orders) -> HandOver:
    """A repair that was not finished, and who takes over from it."""
    last: Program = [Store("pending", 1), Store("owner", DEAD, o.release("owner.leave"))]
    next_: Program = [*take(o, "word.takeover", "owner", DEAD, 2), Load("p", "pending")]
    return HandOver(
        "owner.leave -> word.takeover", [last, next_], lambda v: v["p"] != 1, {"owner": 1}
    )


def not_overwritten(o: Orders) -> HandOver:
    """No-overwrite mode: bytes are stored only after they were copied."""
    reader: Program = [Load("copied", "bytes"), Store("tail", 1, o.release("read.commit"))]
    writer: Program = [
        Load("t", "tail", o.acquire("switch.tail")),
        is_("t", 1),
        Store("bytes", 2),
    ]
    return HandOver(
        "unread bytes overwritten", [reader, writer], lambda v: v["copied"] == 2, {"bytes": 1}
    )


def not_torn(o: Orders, second: str, acquire: str) -> HandOver:
    """Overwrite mode: a copy is good only if no byte of it was stored after the first look."""
    writer: Program = [
        Store("started", 1, o.release("switch.started")),
        Fence(o.fence("touch.fence")),
        Store("bytes", 2),
    ]
    reader: Program = [
        Load("first", "started", o.acquire(acquire)),
        is_("first", 0),
        Load("copied", "bytes"),
        Fence(o.fence(second)),
        Load("again", "started"),
        is_("again", 0),
    ]
    return HandOver(
        f"torn: touch.fence -> {second}", [writer, reader], lambda v: v["copied"] == 2, {}
    )


def head_not_behind(o: Orders) -> HandOver:
    """Who sees `started` sees the head that came before it: else sound memory looks corrupt."""
    writer: Program = [
        Store("head", 1, o.release("switch.head")),
        Store("started", 1, o.release("switch.started")),
        Fence(o.fence("touch.fence")),
        Store("head", 2, o.release("switch.begin")),
        Store("head", 3, o.release("switch.head")),
    ]
    reader: Program = [
        Load("s", "started", o.acquire("read.started")),
        Load("h", "head", o.acquire("read.head")),
        Load("again", "started"),
    ]
    return HandOver(
        "started and head apart",
        [writer, reader],
        lambda v: (v["s"] == 1 and v["h"] == 0) or (v["h"] == 3 and v["again"] == 0),
        {},
    )


def halves(o: Orders, store: str, fence: str, load: str, second: str) -> list[HandOver]:
    """Two halves, and a word that says which is valid: the other is written first. (An account and
    `tail`; a drop counter and `select`.) One way through for each value of the word."""
    writer: Program = [
        Fence(o.fence(fence)),
        Store("half1", 1),
        Store("word", 1, o.release(store)),
        Fence(o.fence(fence)),
        Store("half0", 2),
        Store("word", 2, o.release(store)),
    ]
    return [
        HandOver(
            f"{store}, {fence} -> {load}, {second}",
            [
                writer,
                [
                    Load("w", "word", o.acquire(load)),
                    is_("w", word),
                    Load("sum", f"half{word % 2}"),
                    Fence(o.fence(second)),
                    Load("again", "word"),
                    is_("again", word),
                ],
            ],
            lambda v: v["sum"] != v["w"],
            {},
        )
        for word in range(3)
    ]


def gone_back(o: Orders, first: str, load: str, second: str) -> HandOver:
    """A read is undone, then done with another outcome: the same `tail`, another account."""
    reader: Program = [
        Store("tail", 1, o.release("undo.tail")),
        Store("undone", 1, o.release("undo.count")),
        Fence(o.fence("account.fence")),
        Store("account", 2),
        Fence(o.fence("account.fence")),
        Store("account", 3),
        Store("tail", 2, o.release("read.commit")),
    ]
    looker: Program = [
        Load("before", "undone", o.acquire(first)),
        Load("at", "tail", o.acquire(load)),
        is_("at", 2),
        Load("half", "account"),
        Fence(o.fence(second)),
        Load("again", "tail"),
        is_("again", 2),
        Load("after", "undone"),
        Guard(lambda v: v["after"] == v["before"], ("after", "before")),
    ]
    return HandOver(
        f"undo.count -> {first}", [reader, looker], lambda v: v["half"] == 2, {"tail": 2}
    )


def no_lost_wakeup(o: Orders) -> HandOver:
    """A reader that goes to sleep and a writer that finds no sleeper: not both."""
    sleeper: Program = [
        ReadX("w", "wake", True),
        WriteX("wake", lambda v: v["w"] + 1, True, ("w",)),
        Fence(o.fence("sleep.fence")),
        Load("news", "head"),
    ]
    switcher: Program = [
        Store("head", 1, o.release("switch.head")),
        Fence(o.fence("news.fence")),
        Load("sleepers", "wake"),
    ]
    return HandOver(
        "lost wake-up", [sleeper, switcher], lambda v: v["news"] == 0 and v["sleepers"] == 0, {}
    )


def no_overlooked_bell(o: Orders) -> HandOver:
    """A reader that arms its bell and a writer that finds no bell: not both."""
    reader: Program = [
        Store("bell", 1, o.release("bell.arm")),
        ReadX("w", "wake", True),
        WriteX("wake", lambda v: v["w"] + 1, True, ("w",)),
        Fence(o.fence("bells.fence")),
        Load("news", "head"),
    ]
    switcher: Program = [
        Store("head", 1, o.release("switch.head")),
        Fence(o.fence("news.fence")),
        Load("bells", "wake"),
    ]
    return HandOver(
        "bell overlooked", [reader, switcher], lambda v: v["news"] == 0 and v["bells"] == 0, {}
    )


def armed_before_noted(o: Orders) -> HandOver:
    """Who finds in `wake` that there are bells finds the one that was armed before it was noted."""
    reader: Program = [
        Store("bell", 1, o.release("bell.arm")),
        ReadX("w", "wake", True),
        WriteX("wake", 1, True),
    ]
    ringer: Program = [
        ReadX("found", "wake", o.acquire("wake.swap")),
        is_("found", 1),
        WriteX("wake", 2, o.release("wake.swap")),
        Load("armed", "bell", o.acquire("bell.seen")),
    ]
    return HandOver("bell not seen armed", [reader, ringer], lambda v: v["armed"] == 0, {})


def last_record(o: Orders, label: str, holder: int) -> HandOver:
    """A reader that says that the end has come has seen the last record: a writer that takes the
    owner word later finds the gate shut."""
    finalizer: Program = [ReadX("g", "gate", True), WriteX("gate", 1, True)]
    poller: Program = [
        Load("shut", "gate"),
        is_("shut", 1),
        ReadX("owned", "owner", o.acquire("poll.owner")),
        Guard(lambda v: v["owned"] in (0, holder), ("owned",)),
        WriteX("owner", lambda v: v["owned"], o.release("poll.owner"), ("owned",)),
        Load("record", "bytes"),
    ]
    writer: Program = [
        *take(o, label, "owner", holder, 2),
        Load("looked", "gate"),
        is_("looked", 0),
        Store("bytes", 1),
        Store("owner", 0, o.release("word.give")),
    ]
    return HandOver(
        f"{label} -> poll.owner",
        [finalizer, poller, writer],
        lambda v: v["record"] == 0,
        {"owner": holder},
    )


def reads_and_writes(o: Orders) -> HandOver:
    """A first read and a first record by two threads: not taken for one that only reads.
    (The slot's word: 1 reads.)"""
    reading: Program = [
        ReadX("before", "slot", o.acquire("reads.noted")),
        WriteX("slot", 1, o.release("reads.noted")),
        Load("writes", "writes"),
        is_("writes", 0),
    ]
    writing: Program = [
        Store("writes", 1),
        ReadX("old", "slot", o.acquire("writes.noted")),
        WriteX("slot", 0, o.release("writes.noted")),
    ]
    return HandOver("reads.noted, writes.noted", [reading, writing], lambda v: v["slot"] == 1, {})


def swapped(o: Orders, store: str, load: str) -> HandOver:
    """Published by a read-modify-write."""
    writer: Program = [
        Store("bytes", 1),
        ReadX("w", "word", o.acquire(store)),
        WriteX("word", 1, o.release(store)),
    ]
    reader: Program = [Load("r", "word", o.acquire(load)), is_("r", 1), Load("b", "bytes")]
    return HandOver(f"{store} -> {load}", [writer, reader], lambda v: v["b"] == 0, {})


def reset_not_read(o: Orders, second: str, acquire: str) -> HandOver:
    """What was read while no reset was under way is from before it."""
    resetter: Program = [
        Store("resetting", 1, o.release("reset.start")),
        Fence(o.fence("reset.fence")),
        Store("meta", 2),
    ]
    reader: Program = [
        Load("r", "resetting", o.acquire(acquire)),
        is_("r", 0),
        Load("m", "meta"),
        Fence(o.fence(second)),
        Load("again", "resetting"),
        is_("again", 0),
    ]
    return HandOver(f"reset.fence -> {second}", [resetter, reader], lambda v: v["m"] == 2, {})


def new_slot(o: Orders) -> HandOver:
    """Who finds an owner value finds the generation of its slot in the table, or a later one."""
    holder: Program = [
        Store("table", 2, o.release("slot.store")),
        Fence(o.fence("slot.fence")),
        Store("owner", 2),
    ]
    looker: Program = [
        Load("who", "owner"),
        is_("who", 2),
        Load("generation", "table", o.acquire("slot.check"), needs=("who",)),
        Store("taken over", 1),
    ]
    return HandOver("slot", [holder, looker], lambda v: v["generation"] < 2, {"table": 1})


def all_hand_overs(o: Orders) -> list[HandOver]:
    heads = ("write.head", "commit.head", "switch.head", "switch.begin")
    pairs = [
        *product(heads, ("read.head", "books.head")),
        *product(("switch.head", "switch.begin"), ("read.limit", "read.start", "early.head")),
        ("announce.store", "poll.announced"),
        ("finalize.store", "poll.finalized"),
        *product(
            ("reset.start", "reset.done"), ("reset.check", "books.resetting", "tap.resetting")
        ),
        *product(("channel.live", "channel.late", "channel.change"), ("channel.look",)),
        ("buffer.map", "buffer.mapped"),
        ("bell.arm", "bell.seen"),
        ("metadata.store", "metadata.read"),
        ("switch.started", "books.started"),
    ]
    return [
        *(give(o, label) for label in ("write.take", "word.take", "word.takeover")),
        leave(o),
        *(publish(o, *pair) for pair in pairs),
        not_overwritten(o),
        *(not_torn(o, s, a) for s, a in [("whole.fence", "read.started"),
                                         ("written.fence", "books.head"),
                                         ("books.fence", "books.started")]),
        head_not_behind(o),
        *halves(o, "read.commit", "account.fence", "books.tail", "books.fence"),
        *halves(o, "read.commit", "account.fence", "tap.tail", "unread.fence"),
        gone_back(o, "books.undone", "books.tail", "books.fence"),
        gone_back(o, "tap.undone", "tap.tail", "unread.fence"),
        *halves(o, "drop.flip", "drop.fence", "drop.read", "dropped.fence"),
        no_lost_wakeup(o),
        no_overlooked_bell(o),
        armed_before_noted(o),
        *(last_record(o, *had) for had in [("write.take", 0), ("word.take", 0),
                                           ("word.takeover", DEAD)]),
        reads_and_writes(o),
        swapped(o, "wake.swap", "wake.epoch"),
        swapped(o, "bit.set", "bit.look"),
        reset_not_read(o, "tap.fence", "tap.resetting"),
        reset_not_read(o, "books.fence", "books.resetting"),
        new_slot(o),
    ]  # fmt: skip


def broken(o: Orders) -> list[str]:
    """Names of the hand-overs that do not hold with these orders."""
    return [hand_over.name for hand_over in all_hand_overs(o) if hand_over.broken()]
