"""Whoever does what a page says, gets what it shows."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from shutil import which

import pytest
from pages import PAGES, ROOT, Run, blocks_of, pattern_of

from rchan.cli.commands import COMMANDS
from rchan.cli.parsing import parser_of

RUN = [page for page in PAGES if {block.kind for block in blocks_of(page)} & {"python", "console"}]
# What a page needs that a machine may not have.
NEEDS = {
    "mount.md": lambda: os.geteuid() == 0 and os.path.exists("/dev/fuse"),
    "containers.md": lambda: os.geteuid() == 0 and not subprocess.call(["unshare", "-m", "true"]),
    "tutorial.md": lambda: which("babeltrace2") is not None,
}
# Languages that are shown and not run; those that look like commands are checked below.
SHOWN = {"text", "output", "json", "yaml", "dockerfile", "ini"}
COMMAND = re.compile(r"^(?: {4}|\$ )(?:[^`#\n]*\| )?(rchan [a-z][^\n]*)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_its_code_runs(page: Path, tmp_path: Path) -> None:
    if not NEEDS.get(page.name, lambda: True)():
        pytest.skip("this machine lacks what the page is about")
    Run(tmp_path).page(blocks_of(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_is_of_an_unknown_kind(page: Path) -> None:
    kinds = {block.kind for block in blocks_of(page) if block.file is None}
    assert kinds <= SHOWN | {"python", "console"}, page


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_its_commands_exist(page: Path) -> None:
    for line in COMMAND.findall(page.read_text(encoding="utf-8")):
        for part in re.split(r" \| | && | > ", re.split(r"  +", line)[0]):
            words = shlex.split(part, comments=True)
            words = words[1 : words.index("--")] if "--" in words else words[1:]
            if part.startswith("rchan ") and words[0] != "help":
                assert words[0] in COMMANDS, line
                parser_of(words[0]).parse_args(words)


def test_most_pages_have_code() -> None:
    assert len(RUN) >= 12
    assert sum(len(blocks_of(page)) for page in RUN) > 60


def test_what_is_shown_is_compared() -> None:
    assert re.fullmatch(pattern_of("a … c\n…\nd\n"), "a b c\n1\n2\nd\n")
    assert not re.fullmatch(pattern_of("a … c\n"), "a b d\n")
    assert not re.fullmatch(pattern_of("a.c\n"), "abc\n")


def test_the_readme_counts_every_record(tmp_path: Path) -> None:
    (block,) = [block for block in blocks_of(ROOT / "README.md") if block.kind == "python"]
    Run(tmp_path).program(block.text, "…\n…attempted=Count(records=4000, …\n")
