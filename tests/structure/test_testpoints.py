"""Every testpoint of the core is a row of the race table, and there is no other row."""

import re

from sources import ROOT, own_files

POINT = re.compile(r'\bTESTPOINT\("([^"]+)"\)')
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def test_every_testpoint_is_in_the_race_table() -> None:
    points = [
        name
        for path in own_files(".c", ".h", folders=("core",))
        for name in POINT.findall(path.read_text(encoding="utf-8"))
    ]
    table = (ROOT / "docs/explanation/race-table.md").read_text(encoding="utf-8")
    assert len(points) == len(set(points)), "two testpoints of one name"
    assert sorted(points) == sorted(ROW.findall(table)), "make race-table"


def test_nothing_is_forbidden() -> None:
    table = (ROOT / "docs/explanation/race-table.md").read_text(encoding="utf-8")
    assert "FORBIDDEN" not in table.split("| testpoint |")[1]
