"""Instructions of the write path, here and at another commit, as callgrind counts them.

    python benchmarks/regression.py --base COMMIT [--threshold 0.03] [--json FILE]
    make regression BASE=COMMIT

benchmarks/regression.c is built with the core of both (`git archive`), and both extensions for the
calls from Python (benchmarks/regression_call.py). Each operation is run so many times and several
times as many: the difference has no start and no end in it. Instructions are the same in each run,
whoever else uses the machine. Exit status 1 if an operation takes more than (1 + threshold) times
as many; 0, and a word about it, where there is no valgrind."""

from __future__ import annotations

import argparse
import compileall
import json
import os
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
CALLS = ("Channel.write, 64 B", "Channel.reserve, 64 B", "an event of three fields")
FEW, MANY = 1000, 3000
FEW_CALLS, MANY_CALLS = 50_000, 300_000


def tree_at(commit: str, directory: Path) -> Path:
    """The sources as they were."""
    done = subprocess.run(
        ["git", "archive", commit], cwd=native.ROOT, capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"regression: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def build(core: Path, output: Path) -> Path:
    sources = [native.ROOT / "benchmarks" / "regression.c", *sorted(core.glob("*.c"))]
    try:
        return native.compile_c(output, sources, f"-I{core}", "-pthread", "-DNDEBUG")
    except subprocess.CalledProcessError:
        raise SystemExit(
            "regression: benchmarks/regression.c does not compile with that core: compare with a "
            "later commit, or change regression.c so that it suits both"
        ) from None


def install(tree: Path, place: Path) -> dict[str, str]:
    """Build the package as for a release; the environment in which Python finds it."""
    meson = [sys.executable, "-m", "mesonbuild.mesonmain"]
    options = ["--buildtype=release", "-Db_ndebug=true", "-Dcore_tests=false", "--prefix=/"]
    for kind in ("purelibdir", "platlibdir"):
        options.append(f"-Dpython.{kind}=/python")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in (
        ["setup", place / "build", tree, *options],
        ["install", "-C", place / "build", "--destdir", place / "root"],
    ):
        done = subprocess.run(
            [*meson, *command],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": path},
        )
        if done.returncode:
            raise SystemExit(f"regression: {tree} does not build: {done.stdout}{done.stderr}")
    package = place / "root" / "python"
    compileall.compile_dir(package, quiet=1)  # else the first run would do that, and be counted
    return {"PYTHONPATH": str(package), "PYTHONHASHSEED": "0"}


def counted(
    program: list[str | Path], operation: str, count: int, variables: dict[str, str]
) -> int:
    """Instructions of the whole run."""
    valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        done = subprocess.run(
            [*valgrind, *program, directory, operation, str(count)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "RCHAN_DIR": directory, **variables},
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"regression: {operation}: {done.stderr.strip()}")
    return int(found[1])


def of_one(program: Path, operation: str) -> float:
    few, many = (counted([program], operation, count, {}) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def of_one_call(variables: dict[str, str], operation: str) -> float:
    # Its own directory is the only one that is added: what stands in /usr or in a venv is not met.
    python = [sys.executable, "-P", "-s", native.ROOT / "benchmarks" / "regression_call.py"]
    few, many = (counted(python, operation, count, variables) for count in (FEW_CALLS, MANY_CALLS))
    return (many - few) / (MANY_CALLS - FEW_CALLS)


def compare(name: str, base: float, here: float) -> dict[str, object]:
    return {"name": name, "base": base, "here": here, "ratio": here / base}


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
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        tree = tree_at(options.base, place / "tree")
        programs = (
            build(tree / "core", place / "before"),
            build(native.ROOT / "core", place / "now"),
        )
        for operation in OPERATIONS:
            base, here = (of_one(program, operation) for program in programs)
            rows.append(compare(operation, base, here))
        packages = [install(tree, place / "base"), install(native.ROOT, place / "here")]
        for operation in CALLS:
            base, here = (of_one_call(package, operation) for package in packages)
            rows.append(compare(operation, base, here))
    if options.json:
        document = {"base": options.base, "threshold": options.threshold, "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0 if show(rows, options.base, options.threshold) else 1


if __name__ == "__main__":
    sys.exit(main())
