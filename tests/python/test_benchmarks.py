"""Every program under benchmarks/ starts, and the table of rivals knows every one."""

import importlib
import json
import shutil
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


sys.path.append(str(BENCHMARKS))
contests, transports, report, ratios, regression, run = (
    importlib.import_module(name)
    for name in ("contests", "transports", "report", "ratios", "regression", "run")
)


@pytest.fixture
def rivals():
    return importlib.import_module("rivals")


def test_the_whole_run_has_every_program():
    helpers = {
        "plots.py",
        "regression.py",
        "regression_call.py",
        "rivals.py",
        "run.py",
        "runs.py",
        "tables.py",
    }
    assert {f"{name}.py" for name in run.PROGRAMS} == set(programs()) - helpers


WAYS = ("Patient", "PatientWhole", "Queue", "SimpleQueue", "Connection", "Pipe", "File")
WAYS += ("UnixSocket", "SharedRing", "Deque")


@pytest.mark.parametrize("name", WAYS)
def test_every_record_arrives_whoever_carries_it(name, channels):
    make = getattr(transports, name)
    for producers in (1,) if make.threads else (1, 2):
        ns, _lost = contests.timed(make(str(channels), 64), 300, producers)
        assert ns > 0


def test_bursts_and_runs_of_a_producer(channels):
    for make in (transports.Channel, transports.Pipe):
        assert contests.bursts(make(str(channels), 64), 3) > 0
        ns, lost = contests.sustained(make(str(channels), 64), 500)
        assert ns > 0
        assert lost == ("lost 0.0%" if make is transports.Channel else "")


def test_latencies_are_measured_record_by_record(channels):
    times = contests.latencies(transports.WokenChannel(str(channels), 64), 20, 0.001)
    assert len(times) == 18
    assert min(times) > 0


def test_a_report_says_what_was_missed_and_keeps_it(tmp_path, capsys):
    found = report.Report("some", "A benchmark.", json=tmp_path / "some.json")
    slow = ratios.summary("slow", [(1.0, 3.0), (1.0, 2.0), (1.0, 4.0)], 2.0, "lost 1")
    found.add("A title", "a base", [slow])
    found.lacks("a rival", "it is not installed")
    assert found.conclude() == 1
    assert "missed: slow" in capsys.readouterr().out
    kept = json.loads((tmp_path / "some.json").read_text("utf-8"))
    (row,) = kept["sections"][0]["rows"]
    assert (row["ratio"], row["range"], row["limit"], row["holds"]) == (3.0, [2.0, 4.0], 2.0, False)
    assert (row["extra"], kept["absent"]) == ("lost 1", {"a rival": "it is not installed"})


def test_more_instructions_than_before_are_a_regression(capsys):
    rows = [{"name": "write", "base": 100.0, "here": 104.0, "ratio": 1.04}]
    assert not regression.show(rows, "before", 0.03)
    assert "MORE" in capsys.readouterr().out
    assert regression.show(rows, "before", 0.05)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_instructions_are_counted(tmp_path, channels):
    program = regression.build(ROOT / "core", tmp_path / "program")
    few, many = (regression.counted([program], "write 64 B", count, {}) for count in (200, 400))
    assert 200 * 50 < many - few < 200 * 500


def test_every_package_of_the_extra_is_a_rival(rivals):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extra = settings["dependency-groups"]["bench"]
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
