"""The tables of numbers in README and docs are what the results say, and come from one machine."""

import importlib
import json
import sys
from typing import Any

import pytest
from sources import ROOT, name_of

sys.path.append(str(ROOT / "benchmarks"))
tables = importlib.import_module("tables")
runs = importlib.import_module("runs")

RESULTS = tables.load()
PAGES = tables.pages()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_agree_with_the_results(page):
    text = page.read_text("utf-8")
    assert tables.rendered(text, RESULTS) == text, "make bench-docs makes them anew"


def test_the_readme_and_the_page_of_numbers_have_tables():
    assert {ROOT / "README.md", ROOT / "docs/reference/numbers.md"} <= set(PAGES)


def test_a_changed_number_is_found():
    page = (ROOT / "README.md").read_text("utf-8")
    line = next(line for line in page.splitlines() if line.startswith("| `channel.write(record)`"))
    ratio = line.split("|")[4]
    changed = page.replace(line, line.replace(ratio, " 0.01 (0.01 to 0.01) "))
    assert tables.rendered(changed, RESULTS) == page != changed


def of_a_run(ratio: float, ns: float) -> dict[str, Any]:
    row = {
        "name": "channel.write",
        "ns": ns,
        "ns_range": [ns - 1, ns + 1],
        "base_ns": 10.0,
        "ratio": ratio,
        "range": [ratio - 0.1, ratio + 0.1],
        "limit": 1.0,
        "holds": ratio <= 1.0,
        "extra": "",
    }
    section = {"title": "One", "base": "x", "unit": "ns", "rows": [row]}
    return {"program": "p", "environment": {"load": f"{ns} 0 0"}, "sections": [section]}


def test_several_runs_give_the_median_and_the_range_of_all():
    found = runs.merged([of_a_run(0.5, 5), of_a_run(2.0, 20), of_a_run(0.75, 7)])
    (row,) = found["sections"][0]["rows"]
    assert (row["ratio"], row["range"]) == (0.75, [0.4, 2.1])
    assert (row["ns"], row["ns_range"]) == (7, [4, 21])
    assert row["holds"] and row["runs"] == [0.5, 2.0, 0.75]
    assert (found["runs"], found["environment"]["load"]) == (3, "5 20 7")


def test_a_run_outside_the_stated_ranges_is_said(monkeypatch):
    line = tables.Line("a write", "x", "p", "One", "channel.write")
    monkeypatch.setattr(tables, "README", (line,))
    stated = {"p": runs.merged([of_a_run(0.5, 5)])}
    assert "1 of 1 lines are within" in tables.compare(stated, {"p": of_a_run(0.55, 5.5)})[0]
    assert "ratio OUTSIDE" in tables.compare(stated, {"p": of_a_run(0.65, 5)})[-1]
    assert "cost OUTSIDE" in tables.compare(stated, {"p": of_a_run(0.5, 7)})[-1]


def test_all_results_are_of_one_machine():
    keys = ("cpu", "kernel", "python")
    machines = {tuple(each["environment"][key] for key in keys) for each in RESULTS.values()}
    assert len(machines) == 1


def test_every_section_of_the_results_is_shown_somewhere():
    shown = "".join(page.read_text("utf-8") for page in PAGES)
    special = {"producing"}  # one table for all of its sections
    missing = [
        f"{name}/{section['title']}"
        for name, each in RESULTS.items()
        for section in each["sections"]
        if name not in special and f"<!-- bench: {name}/{section['title']} -->" not in shown
    ]
    assert not missing


def test_each_ratio_comes_with_its_range_and_bar():
    for name, each in RESULTS.items():
        for section in each["sections"]:
            for row in section["rows"]:
                low, high = row["range"]
                assert low <= row["ratio"] <= high, f"{name}: {row['name']}"
                assert (
                    row["holds"] == (None if row["limit"] is None else row["ratio"] <= row["limit"])
                    or abs(row["ratio"] - row["limit"]) < 0.001
                )


def test_the_pictures_are_drawn_from_the_results():
    for name in RESULTS["growth"]["figures"]:
        picture = (ROOT / "docs/pictures" / f"growth-{name}.svg").read_text("utf-8")
        assert json.dumps(RESULTS["growth"]["figures"][name]["title"])[1:-1] in picture
        assert (ROOT / "docs/pictures" / f"growth-{name}.png").stat().st_size < 100_000
