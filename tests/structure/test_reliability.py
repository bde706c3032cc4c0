"""The reliability page is true: the tests it names exist, its tables are those of the figures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/explanation/reliability.md"
FIGURES = json.loads((ROOT / "docs/explanation/reliability.json").read_text(encoding="utf-8"))
NAMED = re.compile(r"`((?:tests|tools|benchmarks)/[\w/.-]+)(?:::(\w+))?")


def named(page: Path) -> list[tuple[str, str]]:
    return NAMED.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [PAGE, ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_what_it_names_exists(page: Path) -> None:
    for path, test in named(page):
        assert (ROOT / path).exists(), path
        if test:
            text = (ROOT / path).read_text(encoding="utf-8")
            kind = rf"TEST\({test}\)" if path.endswith(".c") else rf"def {test}\("
            assert re.search(kind, text), f"{path} has no {test}"


def test_every_promise_names_a_test() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Storms")[0]
    promises = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(promises) > 12
    for promise in promises:
        assert "`tests/" in promise or "the storms" in promise, promise


def test_the_tables_are_those_of_the_figures() -> None:
    command = [sys.executable, str(ROOT / "tools/reliability"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run tools/reliability"


def test_the_fuzz_table_has_every_target() -> None:
    made = (*ROOT.glob("tests/fuzz/fuzz_*.c"), *ROOT.glob("tests/fuzz/fuzz_*.py"))
    targets = {path.stem for path in made}
    assert set(FIGURES["fuzz"]) == targets
    for target in targets:
        corpus = ROOT / "tests/fuzz/corpus" / target.removeprefix("fuzz_")
        assert any(corpus.iterdir()), f"{target} has no corpus"


def test_nothing_is_forbidden_in_the_figures() -> None:
    crimes = ("torn", "duplicated", "invented", "uncounted", "wedged")
    for storm in (FIGURES["storm"], FIGURES["python_storm"]):
        assert not any(storm[crime] for crime in crimes)
    assert FIGURES["storm"]["kills"] >= 10_000
    assert sum(entry["executions"] for entry in FIGURES["fuzz"].values()) >= 10**8
    assert not any(entry["findings"] for entry in FIGURES["fuzz"].values())
