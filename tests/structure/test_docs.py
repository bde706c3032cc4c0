"""The documents say what the code does: labels, functions and links exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "docs", ROOT / "examples")
DOCS = sorted([*ROOT.glob("*.md"), *(path for one in FOLDERS for path in one.rglob("*.md"))])
README = (ROOT / "README.md").read_text(encoding="utf-8")
LABEL = re.compile(r"([a-z]+\.[a-z]+): pairs with")


def labels_in_code() -> set[str]:
    return {
        label
        for path in (ROOT / "core").glob("*.[ch]")
        for label in LABEL.findall(path.read_text(encoding="utf-8"))
    }


def labels_in_table() -> set[str]:
    text = (ROOT / "docs/explanation/memory-model.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {label for row in rows for label in re.findall(r"`([a-z]+\.[a-z]+)`", row)}


def test_the_memory_model_has_every_label():
    assert labels_in_table() == labels_in_code()


def test_life_of_a_record_names_functions_that_exist():
    text = (ROOT / "docs/explanation/life-of-a-record.md").read_text(encoding="utf-8")
    named = re.findall(r"\[`(\w+)`\]\(\.\./\.\./([^)]+)\)", text)
    assert len(named) > 20
    for function, path in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"\b{function}\(", source), f"{path} has no {function}"


def test_its_sentences_are_numbered_without_a_gap():
    text = (ROOT / "docs/explanation/life-of-a-record.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_extra_is_documented():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = settings["project"]["optional-dependencies"]
    rows = re.findall(r"^\| `rchan\[(\w+)\]` \| .* \| (\w+) \|$", README, re.MULTILINE)
    brings = {name: re.match(r"\w+", needs[0])[0] for name, needs in extras.items()}
    assert dict(rows) == brings


def test_the_mounts_commands_are_documented():
    text = (ROOT / "docs/howto/mount.md").read_text(encoding="utf-8")
    for word in ("--root", "--foreground", "--allow-other", "--timeout", "--lazy"):
        assert f"`{word}" in text or f" {word}`" in text, word


def test_the_layout_is_shown_as_it_is():
    check = [sys.executable, ROOT / "tools/abi-picture", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
