"""Several runs of the benchmarks as one: the medians of theirs, and the range of all their rounds.

    python benchmarks/runs.py DIR… --results DIR

Each DIR holds what one run wrote. Two runs on a virtual machine differ by more than the rounds of
one do: what a stranger measures lies in the range of several."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

Document = dict[str, Any]  # what Report.as_dict made
Row = dict[str, Any]


def load(directory: Path) -> dict[str, Document]:
    """Program -> its document."""
    return {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(directory.glob("*.json"))
    }


def _range(rows: list[Row], key: str) -> list[float]:
    return [min(row[key][0] for row in rows), max(row[key][1] for row in rows)]


def merged_row(rows: list[Row]) -> Row:
    """Of the same row of several runs."""

    def middle(key: str) -> float:
        return statistics.median(row[key] for row in rows)

    ratio, limit = round(middle("ratio"), 3), rows[0]["limit"]
    return {
        **rows[0],
        "ns": round(middle("ns"), 2),
        "ns_range": _range(rows, "ns_range"),
        "base_ns": round(middle("base_ns"), 2),
        "ratio": ratio,
        "range": _range(rows, "range"),
        "holds": None if limit is None else ratio <= limit,
        "runs": [row["ratio"] for row in rows],
    }


def merged(documents: list[Document]) -> Document:
    """Of the same program. What is not a row (curves, notes) is the last run's."""
    *_, last = documents
    seen: dict[tuple[str, str], list[Row]] = {}
    for document in documents:
        for section in document["sections"]:
            for row in section["rows"]:
                seen.setdefault((section["title"], row["name"]), []).append(row)
    sections = [
        {
            **section,
            "rows": [merged_row(seen[section["title"], row["name"]]) for row in section["rows"]],
        }
        for section in last["sections"]
    ]
    loads = [document["environment"]["load"].split()[0] for document in documents]
    return {
        **last,
        "runs": len(documents),
        "environment": {**last["environment"], "load": " ".join(loads)},
        "sections": sections,
    }


def merge(directories: list[Path], results: Path) -> dict[str, Document]:
    """Writes results/PROGRAM.json of each program that ran; and returns the documents."""
    results.mkdir(parents=True, exist_ok=True)
    each = [load(directory) for directory in directories]
    names = sorted({name for run in each for name in run})
    found = {name: merged([run[name] for run in each if name in run]) for name in names}
    for name, document in found.items():
        text = json.dumps(document, indent=1, ensure_ascii=False)
        (results / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="DIR", help="what one run wrote")
    parser.add_argument("--results", type=Path, required=True, help="where the merged JSON goes")
    options = parser.parse_args()
    for name, document in merge(options.runs, options.results).items():
        print(f"{name}: {document['runs']} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
