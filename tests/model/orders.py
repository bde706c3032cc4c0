"""The memory orders of the core, as its sources say them: labels and the operations at them."""

import re
from pathlib import Path

CORE = Path(__file__).parents[2] / "core"
LABEL = re.compile(r"/\*\s*([a-z_]+\.[a-z_]+): pairs with [^/]*?\*/", re.DOTALL)
OPERATION = re.compile(
    r"\brchan_(load_acquire|store_release|take_word|swap_word|swap_half|add|set_bits|clear_bits"
    r"|full_fence|load_fence|store_fence)\s*\("
)
KINDS = {
    "load_acquire": "acquire",
    "take_word": "acquire",
    "store_release": "release",
    "full_fence": "full",
    "load_fence": "load",
    "store_fence": "store",
}


def sites() -> list[tuple[str, Path, int, str]]:
    """Label, file, where its operation begins in the text, and the operation's name."""
    found = []
    for path in sorted(CORE.glob("*.[ch]")):
        if path.name == "atomics.h":
            continue
        text = path.read_text(encoding="utf-8")
        for label in LABEL.finditer(text):
            operation = OPERATION.search(text, label.end())
            assert operation, f"{label[1]} in {path.name} stands at nothing"
            found.append((label[1], path, operation.start(), operation[1]))
    return found


def read() -> dict[str, str]:
    """Label -> acquire, release, both, or which fence."""
    return {label: KINDS.get(operation, "both") for label, _, _, operation in sites()}


class Orders:
    """What the core says; but the label `weakened` is relaxed, or its fence left out."""

    _read = read()

    def __init__(self, weakened: str = "") -> None:
        assert not weakened or weakened in self._read
        self.weakened = weakened

    def _kind(self, label: str) -> str:
        return "none" if label == self.weakened else self._read[label]

    def acquire(self, label: str) -> bool:
        return self._kind(label) in ("acquire", "both")

    def release(self, label: str) -> bool:
        return self._kind(label) in ("release", "both")

    def fence(self, label: str) -> str:
        kind = self._kind(label)
        return kind if kind in ("full", "load", "store") else "none"
