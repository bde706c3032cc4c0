"""Every acquire names its release and every release its acquire, at both ends.

A site is labelled in a comment on its line or up to three lines above:

    /* read.commit: pairs with switch.tail, books.tail */

Several sites may share a label. CONTRIBUTING.md has the convention.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from sources import ROOT, name_of, own_files, without_comments

FILES = [path for path in own_files(".c", ".h", folders=("core",)) if path.name != "atomics.h"]
REACH = 3  # lines between the end of a label and its site, at most

MUST = re.compile(
    r"\brchan_(?:load_acquire|store_release|take_word|full_fence|load_fence|store_fence)\s*\("
)
# What a label may stand at: those, and operations that are at least as strong.
MAY = re.compile(
    r"\brchan_(?:load_acquire|store_release|take_word|swap_word|add|set_bits|clear_bits|count"
    r"|full_fence|load_fence|store_fence)\s*\("
)
LABEL = re.compile(r"/\*\s*([a-z_]+\.[a-z_]+): pairs with ([^/]*?)\*/", re.DOTALL)


@dataclass(frozen=True)
class Label:
    name: str
    partners: tuple[str, ...]
    place: str
    first: int
    last: int


def labels_of(path: Path) -> list[Label]:
    text = path.read_text(encoding="utf-8")
    found = []
    for match in LABEL.finditer(text):
        partners = re.sub(r"\n\s*\*", " ", match[2])
        first = text.count("\n", 0, match.start()) + 1
        last = text.count("\n", 0, match.end()) + 1
        names = tuple(name.strip() for name in partners.split(","))
        found.append(Label(match[1], names, f"{name_of(path)}:{first}", first, last))
    return found


def lines_with(pattern: re.Pattern[str], path: Path) -> list[int]:
    lines = without_comments(path.read_text(encoding="utf-8")).splitlines()
    return [number for number, line in enumerate(lines, 1) if pattern.search(line)]


ALL_LABELS = [label for path in FILES for label in labels_of(path)]


def test_there_are_pairs() -> None:
    assert len({label.name for label in ALL_LABELS}) > 10


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_site_is_labelled(path: Path) -> None:
    labels = labels_of(path)
    bare = [
        f"{name_of(path)}:{line}: an acquire or release without its `label: pairs with …`"
        for line in lines_with(MUST, path)
        if not any(label.last <= line <= label.last + REACH for label in labels)
    ]
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_label_has_a_site(path: Path) -> None:
    sites = lines_with(MAY, path)
    idle = [
        f"{label.place}: {label.name} stands at no ordering operation"
        for label in labels_of(path)
        if not any(label.last <= line <= label.last + REACH for line in sites)
    ]
    assert not idle, "\n".join(idle)


def test_partners_name_each_other() -> None:
    named: dict[str, set[str]] = defaultdict(set)
    for label in ALL_LABELS:
        named[label.name] |= set(label.partners)
    lone = [
        f"{label.place}: {label.name} pairs with {partner}, which "
        + ("does not name it" if partner in named else "is nowhere")
        for label in ALL_LABELS
        for partner in label.partners
        if label.name not in named.get(partner, set())
    ]
    assert not lone, "\n".join(lone)


def test_sites_that_share_a_label_say_the_same() -> None:
    partners: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for label in ALL_LABELS:
        partners[label.name].add(tuple(sorted(label.partners)))
    differing = [name for name, lists in partners.items() if len(lists) > 1]
    assert not differing


def test_only_atomics_h_names_memory_orders() -> None:
    files = own_files(".c", ".h", folders=("core", "binding", "tests"))
    naming = [
        name_of(path)
        for path in files
        if re.search(r"memory_order_|__ATOMIC_|__sync_", path.read_text(encoding="utf-8"))
    ]
    assert naming == [name_of(ROOT / "core/atomics.h")]
