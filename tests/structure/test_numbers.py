"""The tables of numbers in README and docs are what the results say, and come from one machine."""

import importlib
import json
import sys

import pytest
from sources import ROOT, name_of

sys.path.append(str(ROOT / "benchmarks"))
tables = importlib.import_module("tables")

RESULTS = tables.load()
PAGES = tables.pages()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_agree_with_the_results(page):
    text = page.read_text("utf-8")
    assert tables.rendered(text, RESULTS) == text, "make bench-docs makes them anew"


def test_the_readme_and_the_page_of_numbers_have_tables():
    assert {ROOT / "README.md", ROOT / "docs/numbers.md"} <= set(PAGES)


def test_a_changed_number_is_found():
    page = (ROOT / "README.md").read_text("utf-8")
    line = next(line for line in page.splitlines() if line.startswith("| `channel.write(record)`"))
    ratio = line.split("|")[4]
    changed = page.replace(line, line.replace(ratio, " 0.01 (0.01 to 0.01) "))
    assert tables.rendered(changed, RESULTS) == page != changed


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
