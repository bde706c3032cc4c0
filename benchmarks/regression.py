"""Instructions of the write path, here and at another commit, as callgrind counts them.

    python benchmarks/regression.py --base COMMIT [--threshold 0.03] [--json FILE]
    make regression BASE=COMMIT

benchmarks/regression.c is built with the core of both (`git archive`), and each operation is run
so many times and three times as many: the difference has no start and no end in it. Instructions
are the same in each run, whoever else uses the machine. Exit status 1 if an operation takes more
than (1 + threshold) times as many; 0, and a word about it, where there is no valgrind."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

import native

OPERATIONS = (
    "write 8 B",
    "write 64 B",
    "write 1 KiB",
    "write 4 KiB, a switch each",
    "reserve and commit 64 B",
    "refused, full",
    "refused, disabled",
)
FEW, MANY = 1000, 3000


def core_at(commit: str, directory: Path) -> Path:
    """The core's sources as they were."""
    done = subprocess.run(
        ["git", "archive", commit, "core"], cwd=native.ROOT, capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"regression: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory / "core"


def build(core: Path, output: Path) -> Path:
    sources = [native.ROOT / "benchmarks" / "regression.c", *sorted(core.glob("*.c"))]
    try:
        return native.compile_c(output, sources, f"-I{core}", "-pthread", "-DNDEBUG")
    except subprocess.CalledProcessError:
        raise SystemExit(
            "regression: benchmarks/regression.c does not compile with that core: compare with a "
            "later commit, or change regression.c so that it suits both"
        ) from None


def counted(program: Path, operation: str, count: int) -> int:
    """Instructions of the whole run."""
    valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        done = subprocess.run(
            [*valgrind, program, directory, operation, str(count)],
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"regression: {operation}: {done.stderr.strip()}")
    return int(found[1])


def instructions(program: Path, operation: str) -> float:
    """Of one operation."""
    few, many = (counted(program, operation, count) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def show(rows: list[dict[str, object]], base: str, threshold: float) -> bool:
    """Is none too much?"""
    print(f"{'instructions of one':32}{base[:12]:>14}{'here':>10}{'ratio':>8}")
    good = True
    for row in rows:
        ratio = float(str(row["ratio"]))
        verdict = "" if ratio <= 1 + threshold else "  MORE"
        good &= not verdict
        print(f"{row['name']:32}{row['base']:14.1f}{row['here']:10.1f}{ratio:8.3f}{verdict}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", default="HEAD", metavar="COMMIT", help="compare with that")
    parser.add_argument("--threshold", type=float, default=0.03, help="more of it is too much")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("regression: skipped, valgrind is not installed (Debian: apt-get install valgrind)")
        return 0
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as place:
        core = core_at(options.base, Path(place))
        before = build(core, Path(place) / "before")
        now = build(native.ROOT / "core", Path(place) / "now")
        for operation in OPERATIONS:
            base, here = (instructions(program, operation) for program in (before, now))
            rows.append({"name": operation, "base": base, "here": here, "ratio": here / base})
    if options.json:
        document = {"base": options.base, "threshold": options.threshold, "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0 if show(rows, options.base, options.threshold) else 1


if __name__ == "__main__":
    sys.exit(main())
