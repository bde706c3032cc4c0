"""Help, pages and examples of every command: they cannot drift apart."""

import re
import shlex
import subprocess
from pathlib import Path
from shutil import which

import pytest
from cli_calls import call
from sanitizer import without_preload

from rchan.cli.commands import COMMANDS
from rchan.cli.main import overview
from rchan.cli.parsing import parser_of, subparser_of
from rchan.cli.reference import index, manual, markdown, page_of

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"
NAMES = list(COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_made_of_the_help(name: str) -> None:
    page = DOCS / "cli" / f"{name}.md"
    assert page.read_text(encoding="utf-8") == markdown(page_of(name)), "run make help-docs"


def test_the_index_too() -> None:
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == index(), "run make help-docs"
    pages = {page.stem for page in (DOCS / "cli").glob("*.md")}
    assert pages == set(NAMES), "run make help-docs"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_all_that_a_manual_page_has(name: str) -> None:
    sections = {section.title: section for section in page_of(name).sections}
    assert {"Synopsis", "Description", "Options", "Examples", "Exit status"} <= set(sections)
    assert all(words for section in sections.values() for _, words in section.options)
    if "--json" in subparser_of(name)._option_string_actions and name != "record":
        assert "JSON" in sections, "say which keys it has"


def examples_of(name: str) -> list[str]:
    (examples,) = (section for section in page_of(name).sections if section.title == "Examples")
    return [re.split(r"   +", line)[0] for line in examples.blocks[0][0].splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_understood(name: str) -> None:
    told = 0
    for line in examples_of(name):
        for words in re.findall(r"\brchan ([^|&<>)]+)", line):
            arguments = shlex.split(words, comments=True)
            used = arguments[: arguments.index("--")] if "--" in arguments else arguments
            assert used[0] in COMMANDS, line
            parser_of(used[0]).parse_args(used)
            told += used[0] == name
    assert told


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = call(name, "--help")
    assert done.status == 0
    assert done.text == call("help", name).text
    assert max(map(len, done.text.splitlines())) < 80
    assert done.text.startswith(f"usage: rchan {name} ")


def test_the_overview_has_every_command() -> None:
    done = call("--help")
    assert done.text == overview()
    assert max(map(len, done.text.splitlines())) < 80
    listed = re.findall(r"^  (\w+) +(.+)$", done.text.partition("examples:")[0], re.MULTILINE)
    assert dict(listed) == {name: entry.about for name, entry in COMMANDS.items()}


@pytest.mark.skipif(not which("groff"), reason="no groff")
@pytest.mark.parametrize("name", ["write", "tail"])
def test_manual_pages_are_clean(name: str) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        input=manual(page_of(name)),
        capture_output=True,
        text=True,
        check=True,
        env=without_preload(),
    )
    assert done.stderr == ""
