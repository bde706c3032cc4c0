"""The tables of README and docs, made from benchmarks/results/*.json.

    python benchmarks/tables.py [--check]

A table stands in a page between `<!-- bench: NAME -->` and `<!-- end -->`. NAME is one of NAMED
below, or PROGRAM/SECTION for a section of one program's results."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import runs

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MARKED = re.compile(r"(<!-- bench: ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6}

Results = dict[str, Any]  # program -> its document


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the README's table: of a row of a section."""

    what: str
    against: str
    program: str
    section: str
    row: str

    def find(self, results: Results) -> tuple[dict[str, Any], str]:
        """The row, and its unit."""
        section = section_of(results, self.program, self.section)
        for row in section["rows"]:
            if row["name"] == self.row:
                return row, section["unit"]
        raise KeyError(f"{self.program}.json, {self.section!r} has no row {self.row!r}")


ONE, OUT = "One writer", "Records of 64 bytes end to end, one producer"
README = (
    Line(
        "`channel.write(record)`, 64 bytes, from Python",
        "`len(record)` called the same way",
        "write",
        ONE,
        "Channel.write 64 B, overwrite",
    ),
    Line(
        "the same, 2 processes at once on one channel",
        "1 process",
        "write",
        "Many writers",
        "2 processes, CPU time a write",
    ),
    Line(
        "the same, refused: channel full",
        "accepted",
        "write",
        "Refused",
        "refused write, channel full",
    ),
    Line(
        "the same, channel disabled",
        "accepted",
        "write",
        "Refused",
        "write, channel disabled",
    ),
    Line(
        "`with channel.reserve(64): …`, in place",
        "an empty `with` on a C object",
        "write",
        "In place",
        "reserve(64)/commit",
    ),
    Line(
        "`rchan_write`, 64 bytes, from C",
        "a bare compare-and-swap and store",
        "write",
        "The core",
        "rchan_write 64 B, in C",
    ),
    Line(
        "an event: an int, a float, a string",
        "LTTng-UST from C",
        "events",
        "Rivals",
        "event / LTTng-UST from C",
    ),
    Line(
        '`logger.info("req %d took %f", …)` with `LogHandler`',
        "the standard library's FileHandler",
        "logging_clients",
        "A log record",
        "LogHandler",
    ),
    Line(
        "64-byte records to another process, each as bytes",
        "pyzmq",
        "read",
        OUT,
        "rchan / pyzmq",
    ),
    Line("the same", "multiprocessing.Queue", "read", OUT, "rchan / multiprocessing.Queue"),
    Line("the same", "os.pipe, 64 KiB a read", "read", OUT, "rchan / os.pipe, 64 KiB a read"),
    Line("the same", "collections.deque, two threads", "read", OUT, "rchan / deque, two threads"),
    Line(
        "whole sub-buffers to another process",
        "memcpy of the same bytes",
        "read",
        "Whole sub-buffers, copied in another process",
        "reader: whole sub-buffers, per KiB",
    ),
    Line(
        "from a write to its sleeping reader, 1,000 a second",
        "os.pipe",
        "latency",
        "Latency of a record, median",
        "rchan / os.pipe",
    ),
    Line(
        "recorded to disk (page cache), with checksums",
        "write(2), sendfile or splice, the best",
        "record",
        "Recording",
        "recorder, CRC-32C",
    ),
    Line(
        "`channel.snapshot()` of 64 MiB",
        "memcpy to memory used before",
        "snapshot",
        "A snapshot",
        "snapshot()",
    ),
    Line(
        "a write beside snapshots taken all the time",
        "alone",
        "snapshot",
        "A write of 64 bytes, CPU time",
        "write, snapshots all the time",
    ),
    Line(
        "the slowest of 10,000 writes, after a `kill -9` of another writer",
        "nobody killed",
        "kill",
        "p99.99 of a write in the second after a kill",
        "killed with a reservation, 2 buffers",
    ),
    Line(
        "memory of a channel, written to for ever",
        "what was asked for",
        "memory",
        "Memory of a channel",
        "memory, overwrite",
    ),
)


def load(directory: Path = RESULTS) -> Results:
    return runs.load(directory)


def section_of(results: Results, program: str, title: str) -> dict[str, Any]:
    for section in results[program]["sections"]:
        if section["title"] == title:
            found: dict[str, Any] = section
            return found
    raise KeyError(f"{program}.json has no section {title!r}")


def scaled(value: float, unit: str) -> tuple[float, str]:
    """A unit that suits, and how much of it one of the given is."""
    if unit in UNITS:
        ns = value * UNITS[unit]
        suits = next((name for name in ("ms", "µs") if ns >= 10 * UNITS[name]), "ns")
        return UNITS[unit] / UNITS[suits], suits
    return (1 / 1024, "KiB") if unit == "bytes" else (1, unit)


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def amount(value: float, unit: str) -> str:
    factor, unit = scaled(value, unit)
    return f"{figure(value * factor)} {unit}"


def cost_of(row: dict[str, Any], unit: str) -> str:
    """With its range."""
    factor, unit = scaled(row["ns"], unit)
    low, high = (figure(value * factor) for value in row["ns_range"])
    return f"{figure(row['ns'] * factor)} {unit} ({low} to {high})"


def ratio_of(row: dict[str, Any]) -> str:
    low, high = (few_digits(value) for value in row["range"])
    return f"{few_digits(row['ratio'])} ({low} to {high})"


def few_digits(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def bar_of(row: dict[str, Any]) -> str:
    if row["limit"] is None:
        return ""
    return f"{row['limit']:.3g}" if row["holds"] else f"{row['limit']:.3g}: **missed**"


def markdown(lines: list[list[str]]) -> str:
    head, *rest = lines
    table = [head, ["---"] * len(head), *rest]
    return "\n".join("| " + " | ".join(line) + " |" for line in table)


def readme(results: Results) -> str:
    lines = [["what", "cost (range)", "against", "ratio (range)", "bar"]]
    for line in README:
        row, unit = line.find(results)
        cost = cost_of(row, unit)
        lines.append([line.what, cost, line.against, ratio_of(row), bar_of(row)])
    return markdown(lines)


def section(results: Results, program: str, title: str) -> str:
    found = section_of(results, program, title)
    lines = [["", "cost", found["base"], "ratio (range)", "bar", ""]]
    for row in found["rows"]:
        costs = [amount(row[key], found["unit"]) for key in ("ns", "base_ns")]
        name = row["name"].removeprefix("rchan / ")
        lines.append([name, *costs, ratio_of(row), bar_of(row), row["extra"]])
    if not any(line[-1] for line in lines):
        lines = [line[:-1] for line in lines]
    return markdown(lines)


def machine(results: Results) -> str:
    seen = sorted(
        {
            tuple(each["environment"][key] for key in ("cpu", "kernel", "python", "compiler"))
            for each in results.values()
        }
    )
    return "\n".join(
        f"{cpu}, kernel {kernel}, Python {python}, {cc}." for cpu, kernel, python, cc in seen
    )


def runs_of(results: Results) -> str:
    lines = [["command", "rchan", "runs", "load when they began"]]
    for each in results.values():
        where = each["environment"]
        lines.append([f"`{each['command']}`", where["rchan"], str(each["runs"]), where["load"]])
    return markdown(lines)


def absent(results: Results) -> str:
    lines = [
        f"- {rival} (`{name}`): {why}"
        for name, each in results.items()
        for rival, why in each["absent"].items()
    ]
    return "\n".join(lines) or "None."


def producing(results: Results) -> str:
    """A row for each way, a column for each size, in bursts and without a pause."""
    sections = results["producing"]["sections"]
    names = [section["title"].removeprefix("A record of ") for section in sections]
    rows: dict[str, list[str]] = {"rchan": []}
    for section in sections:
        rows["rchan"].append(amount(section["rows"][0]["ns"], "ns"))
        for row in section["rows"]:
            rival = row["name"].removeprefix("rchan / ")
            rows.setdefault(rival, []).append(amount(row["base_ns"], "ns"))
    return markdown([["", *names], *([name, *cells] for name, cells in rows.items())])


def losses(results: Results) -> str:
    lines = [["without a pause", "rchan", "rchan, overwrite", "the others"]]
    for section in results["producing"]["sections"]:
        if "sustained" in section["title"]:
            own, other = section["rows"][0]["extra"].split("; ")
            cells = [own.removeprefix("rchan "), other.removeprefix("rchan, overwrite: ")]
            size = section["title"].removeprefix("A record of ").removesuffix(", sustained")
            lines.append([size, *cells, "nothing: they wait"])
    return markdown(lines)


NAMED: dict[str, Callable[[Results], str]] = {
    "readme": readme,
    "machine": machine,
    "runs": runs_of,
    "absent": absent,
    "producing": producing,
    "losses": losses,
}


def rendered(page: str, results: Results) -> str:
    """The page with its tables made anew."""

    def table(match: re.Match[str]) -> str:
        name = match[2]
        program, _, title = name.partition("/")
        made = NAMED[name](results) if name in NAMED else section(results, program, title)
        return f"{match[1]}{made}\n{match[3]}"

    return MARKED.sub(table, page)


def pages() -> list[Path]:
    every = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in every if MARKED.search(page.read_text("utf-8"))]


def within(row: dict[str, Any], key: str, stated: dict[str, Any]) -> bool:
    low, high = stated[f"{key}_range" if key == "ns" else "range"]
    return bool(low <= row[key] <= high)


def compare(stated: Results, now: Results) -> list[str]:
    """The README's lines that were measured now: is each within the ranges it states?"""
    said, inside = [], 0
    for line in README:
        try:
            (new, unit), (old, _unit) = line.find(now), line.find(stated)
        except KeyError:
            continue
        held = {what: within(new, key, old) for what, key in (("ratio", "ratio"), ("cost", "ns"))}
        inside += all(held.values())
        outside = "".join(f"  {what} OUTSIDE" for what, holds in held.items() if not holds)
        cells = few_digits(new["ratio"]), ratio_of(old), amount(new["ns"], unit), cost_of(old, unit)
        said.append("  {:>6}  {:23}{:>10}  {:32}".format(*cells) + line.what + outside)
    if not said:
        return []
    return [
        f"The README's numbers here: {inside} of {len(said)} lines are within the ranges it states",
        "  {:>6}  {:23}{:>10}  {:32}".format("ratio", "stated", "cost", "stated").rstrip(),
        *said,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is stale")
    options = parser.parse_args()
    results = load()
    stale = [
        page
        for page in pages()
        if rendered(page.read_text("utf-8"), results) != page.read_text("utf-8")
    ]
    for page in stale:
        print(f"{'stale' if options.check else 'made'}: {page.relative_to(ROOT)}")
        if not options.check:
            page.write_text(rendered(page.read_text("utf-8"), results), "utf-8")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
