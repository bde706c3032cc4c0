"""The version: meson.build has it, everybody else asks."""

import importlib.metadata
import re
from pathlib import Path

from cli_calls import call

import rchan
from rchan import _core

ROOT = Path(__file__).resolve().parents[2]


def test_there_is_one():
    text = (ROOT / "meson.build").read_text(encoding="utf-8")
    found = re.search(r"^project\(.*?version: '([^']+)'", text, re.DOTALL | re.MULTILINE)
    version = found[1]
    assert {_core.VERSION, rchan.__version__, importlib.metadata.version("rchan")} == {version}
    assert call("--version").text == f"rchan {version}\n"


def test_nobody_else_says_it():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in text
    assert not re.search(r"^version", text, re.MULTILINE)


def test_the_changelog_keeps_its_form():
    """Keep a Changelog: the newest first, each with a date, of known kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    for release in releases[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", release), release
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
