"""The protocol's hand-overs hold under weak memory; and each order that is weakened breaks one."""

import re

import pytest

from .orders import CORE, Orders, read
from .weak import Fence, Load, Program
from .weak_protocol import HandOver, all_hand_overs, broken, is_, last_record

# docs/explanation/memory-model.md says why
UNSEEN = {"poll.head", "poll.tail", "slot.check", "slot.store", "switch.tail", "undo.tail"}

TABLE = re.compile(r"^\| `([a-z_.]+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|", re.MULTILINE)


@pytest.mark.parametrize(
    "hand_over", all_hand_overs(Orders()), ids=lambda hand_over: hand_over.name
)
def test_hand_over_holds(hand_over: HandOver) -> None:
    assert not hand_over.broken()


@pytest.mark.parametrize("label", sorted(read()))
def test_weakened_order_is_caught(label: str) -> None:
    found = broken(Orders(label))
    assert bool(found) != (label in UNSEEN), found


def test_the_docs_have_every_mutation() -> None:
    text = (CORE.parent / "docs/explanation/memory-model.md").read_text(encoding="utf-8")
    rows = {row[1]: row for row in TABLE.finditer(text.partition("<!-- mutations -->")[2])}
    assert sorted(rows) == sorted(read()), "make mutations"
    for label, row in rows.items():
        assert row[2] == read()[label]
        assert (row[3].strip() == "-") == (label in UNSEEN)
        assert not row[3].strip() == row[4].strip() == "-" or f"`{label}`: " in text


def test_a_look_at_the_owner_word_does_not_say_that_the_end_has_come() -> None:
    """Why `poll.owner` is a swap: a writer that is taking it may have looked before."""
    poller: Program = [
        Load("shut", "gate"),
        is_("shut", 1),
        Fence("full"),
        Load("owned", "owner", True),
        is_("owned", 0),
        Load("record", "bytes"),
    ]
    swapped = last_record(Orders(), "write.take", 0)
    finalizer, _, writer = swapped.threads
    assert swapped._replace(threads=[finalizer, poller, writer]).broken()
