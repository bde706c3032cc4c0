"""The checker of weak memory itself: known litmus tests, with what ARMv8 allows of them."""

import pytest

from .weak import Fence, Guard, Load, Machine, Program, ReadX, Store, Values, WriteX

Threads = list[Program]


def values(ends: list[Values | None]) -> Values:
    return {name: value for end in ends if end is not None for name, value in end.items()}


def observed(threads: Threads, memory: dict[str, int] | None = None, **wanted: int) -> bool:
    """Is there an end at which all threads are through, with these values (words in capitals)?"""

    def matches(ends: list[Values | None], at_end: Values) -> bool:
        got = {**values(ends), **at_end}
        return None not in ends and all(got[name] == value for name, value in wanted.items())

    return Machine(threads, memory or {}).allows(matches)


def mp(*between: Fence, release: bool = False, acquire: bool = False, reader: str = "") -> Threads:
    write: Program = [Store("X", 1), *between, Store("Y", 1, release)]
    second: list[Guard | Fence] = []
    needs: tuple[str, ...] = ()
    if reader == "ctrl":
        second = [Guard(lambda v: v["a"] == 1, ("a",))]
    elif reader == "addr":
        needs = ("a",)
    elif reader:
        second = [Fence(reader)]
    return [write, [Load("a", "Y", acquire), *second, Load("b", "X", needs=needs)]]


STALE = {"a": 1, "b": 0}


def sb(fence: str = "none", release: bool = False, acquire: bool = False) -> Threads:
    return [
        [Store("X", 1, release), Fence(fence), Load("a", "Y", acquire)],
        [Store("Y", 1, release), Fence(fence), Load("b", "X", acquire)],
    ]


def lb(release: bool = False, acquire: bool = False, needs: bool = False) -> Threads:
    return [
        [Load("a", "Y", acquire), Store("X", 1, release, ("a",) if needs else ())],
        [Load("b", "X", acquire), Store("Y", 1, release, ("b",) if needs else ())],
    ]


def iriw(acquire: bool) -> Threads:
    return [
        [Store("X", 1)],
        [Store("Y", 1)],
        [Load("a", "X", acquire), Load("b", "Y")],
        [Load("c", "Y", acquire), Load("d", "X")],
    ]


def two_plus_two(release: bool) -> Threads:
    return [
        [Store("X", 1), Store("Y", 2, release)],
        [Store("Y", 1), Store("X", 2, release)],
    ]


def ppo(loads: str) -> Threads:
    """PPOCA and PPOAA: a store forwarded to an own load, beyond a branch or a dependency."""
    guard: list[Guard] = [Guard(lambda v: v["a"] == 1, ("a",))] if loads == "ctrl" else []
    needs = ("a",) if loads == "addr" else ()
    reader: Program = [
        Load("a", "Y"),
        *guard,
        Store("Z", 1, needs=needs),
        Load("z", "Z", needs=needs),
        Load("b", "X", needs=("z",)),
    ]
    return [[Store("X", 1), Fence("full"), Store("Y", 1)], reader]


def add(word: str, to: str) -> Program:
    return [ReadX(to, word, True), WriteX(word, lambda v: v[to] + 1, True, (to,))]


def rmw_sb(fence: str) -> Threads:
    """A sequentially consistent fetch-and-add is no fence for the load after it."""
    return [
        [*add("X", "x"), Fence(fence), Load("a", "Y")],
        [*add("Y", "y"), Fence(fence), Load("b", "X")],
    ]


NOTHING = {"a": 0, "b": 0}
BOTH = {"a": 1, "b": 1}
TWICE = {"a": 1, "b": 0, "c": 1, "d": 0}
LITMUS: list[tuple[str, Threads, dict[str, int], bool]] = [
    ("MP", mp(), STALE, True),
    ("MP+rel+po", mp(release=True), STALE, True),
    ("MP+po+acq", mp(acquire=True), STALE, True),
    ("MP+rel+acq", mp(release=True, acquire=True), STALE, False),
    ("MP+store fence+acq", mp(Fence("store"), acquire=True), STALE, False),
    ("MP+rel+load fence", mp(release=True, reader="load"), STALE, False),
    ("MP+rel+store fence", mp(release=True, reader="store"), STALE, True),
    ("MP+full+ctrl", mp(Fence("full"), reader="ctrl"), STALE, True),
    ("MP+full+addr", mp(Fence("full"), reader="addr"), STALE, False),
    ("SB", sb(), NOTHING, True),
    ("SB+rel+acq", sb(release=True, acquire=True), NOTHING, True),
    ("SB+store fences", sb("store"), NOTHING, True),
    ("SB+full", sb("full"), NOTHING, False),
    ("SB+rmw", rmw_sb("none"), NOTHING, True),
    ("SB+rmw+full", rmw_sb("full"), NOTHING, False),
    ("LB", lb(), BOTH, True),
    ("LB+data", lb(needs=True), BOTH, False),
    ("LB+rel", lb(release=True), BOTH, False),
    ("LB+acq", lb(acquire=True), BOTH, False),
    ("CoRR", [[Store("X", 1)], [Load("a", "X"), Load("b", "X")]], STALE, False),
    ("CoWW", [[Store("X", 1), Store("X", 2)]], {"X": 1}, False),
    ("CoWR", [[Store("X", 1), Load("a", "X")]], {"a": 0}, False),
    ("CoRW", [[Load("a", "X"), Store("X", 1)]], {"a": 1}, False),
    ("IRIW", iriw(False), TWICE, True),
    ("IRIW+acq", iriw(True), TWICE, False),
    ("2+2W", two_plus_two(False), {"X": 1, "Y": 1}, True),
    ("2+2W+rel", two_plus_two(True), {"X": 1, "Y": 1}, False),
    ("PPOCA", ppo("ctrl"), STALE, True),
    ("PPOAA", ppo("addr"), STALE, False),
    ("two adds", [add("X", "a"), add("X", "b")], NOTHING, False),
]


@pytest.mark.parametrize(("threads", "outcome", "allowed"), [case[1:] for case in LITMUS],
                         ids=[case[0] for case in LITMUS])  # fmt: skip
def test_litmus(threads: Threads, outcome: dict[str, int], allowed: bool) -> None:
    assert observed(threads, **outcome) == allowed
