"""How a benchmark ends: results as JSON if asked for, what was missed, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import environment
from ratios import Result


def conclude(found: dict[str, list[Result]], save_to: Path | None = None) -> int:
    """found: results by section. 1 if a bar was missed, else 0."""
    if save_to:
        document = {
            "environment": environment.describe(),
            "results": {title: [r.as_dict() for r in rows] for title, rows in found.items()},
        }
        save_to.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    missed = [r.name for rows in found.values() for r in rows if r.holds is False]
    print("all bars hold" if not missed else f"missed: {', '.join(missed)}")
    return 1 if missed else 0
