"""What one benchmark found: printed, kept as JSON if asked for, and the exit status."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environment
from ratios import Result


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    base: str
    unit: str
    rows: list[Result]

    def show(self) -> None:
        print(f"{self.title}  (base: {self.base})")
        print(f"  {'':38}{self.unit:>10}{'base':>10}{'ratio':>7}  {'range':13}{'bar':>6}")
        for row in self.rows:
            bar = "" if row.limit is None else f"{row.limit:.2f}"
            verdict = {None: "", True: "holds", False: "MISSED"}[row.holds]
            print(
                f"  {row.name:38}{row.ns:10.1f}{row.base_ns:10.1f}{row.ratio:7.2f}"
                f"  {row.low:5.2f} ..{row.high:5.2f}{bar:>6} {verdict} {row.extra}".rstrip()
            )
        print()

    def as_dict(self) -> dict[str, object]:
        rows = [row.as_dict() for row in self.rows]
        return {"title": self.title, "base": self.base, "unit": self.unit, "rows": rows}


@dataclass(slots=True)
class Report:
    """name: of the program; about: its docstring, whose first line is the help."""

    name: str
    about: str | None
    sections: list[Section] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)  # what is not a ratio: curves
    json: Path | None = None
    before: dict[str, str] = field(default_factory=dict)

    def parser(self, rounds: int) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(description=(self.about or "").partition("\n")[0])
        text = "interleaved rounds (median of them)"
        parser.add_argument("--rounds", type=int, default=rounds, help=text)
        parser.add_argument("--json", type=Path, help="write the results there, too")
        return parser

    def begin(self, parser: argparse.ArgumentParser) -> argparse.Namespace:
        """Prints where it runs."""
        options = parser.parse_args()
        self.json = options.json
        self.before = environment.describe()
        environment.show(self.before)
        return options

    def add(self, title: str, base: str, rows: list[Result], unit: str = "ns") -> None:
        """Results against the same base; prints them."""
        self.sections.append(Section(title, base, unit, rows))
        self.sections[-1].show()

    def lacks(self, rival: str, why: object) -> None:
        self.absent[rival] = str(why)
        print(f"absent: {rival}: {why}")

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(text + "\n")

    def as_dict(self) -> dict[str, object]:
        return {
            "program": self.name,
            "command": shlex.join(["python", f"benchmarks/{self.name}.py", *_arguments()]),
            "environment": self.before,
            "sections": [section.as_dict() for section in self.sections],
            "absent": self.absent,
            "notes": self.notes,
            "figures": self.figures,
        }

    def conclude(self) -> int:
        """1 if a bar was missed, else 0."""
        if self.json is not None:
            text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False)
            self.json.write_text(text + "\n", encoding="utf-8")
        rows = [row for section in self.sections for row in section.rows]
        missed = [row.name for row in rows if row.holds is False]
        print("all bars hold" if not missed else f"missed: {', '.join(missed)}")
        return 1 if missed else 0


def _arguments() -> list[str]:
    """As given, without --json FILE: where the results went is not how they came about."""
    given = sys.argv[1:]
    return [
        word
        for at, word in enumerate(given)
        if not word.startswith("--json") and (at == 0 or given[at - 1] != "--json")
    ]
