"""Every program under benchmarks/ starts, and the table of rivals knows every one."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"


def programs() -> list[str]:
    files = sorted(BENCHMARKS.glob("*.py"))  # lttng_logging.py is one that another starts
    return [file.name for file in files if "def main() -> int:" in file.read_text("utf-8")]


@pytest.mark.parametrize("program", programs())
def test_every_program_starts(program):
    done = subprocess.run(
        [sys.executable, BENCHMARKS / program, "--help"], capture_output=True, text=True, check=True
    )
    assert "usage:" in done.stdout


@pytest.fixture
def rivals(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("rivals")


def test_every_package_of_the_extra_is_a_rival(rivals):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extra = settings["project"]["optional-dependencies"]["bench"]
    assert [str(each) for each in rivals.wanted().values()] == [str(Requirement(e)) for e in extra]


def test_a_rival_that_is_not_there_says_why(rivals, monkeypatch):
    monkeypatch.setattr(rivals, "wanted", lambda: {"no_such_rival": Requirement("no-such-rival")})
    with pytest.raises(rivals.Absent, match="no-such-rival: No module named"):
        rivals.load("no_such_rival")


def test_a_rival_that_is_not_for_this_python_says_so(rivals, monkeypatch):
    old = Requirement("no-such-rival; python_version < '3'")
    monkeypatch.setattr(rivals, "wanted", lambda: {"no_such_rival": old})
    with pytest.raises(rivals.Absent, match="not there for this Python"):
        rivals.load("no_such_rival")
