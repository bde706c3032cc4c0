"""Small files, small functions, and names that say something."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from sources import c_functions, name_of, own_files, python_files

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
EMPTY_WORDS = re.compile(r"(?:^|_)(?:utils?|common|helpers?|managers?)(?:_|$)", re.IGNORECASE)

C_FILES = own_files(".c", ".h")
PYTHON_FILES = python_files()
ALL_FILES = C_FILES + PYTHON_FILES


@cache
def functions_of(path: Path) -> list[tuple[str, int, int]]:
    """Name, first line and length of every function of the file."""
    if path in C_FILES:
        return [(f.name, f.line, f.length) for f in c_functions(path)]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_there_is_something_to_measure() -> None:
    assert len(C_FILES) > 20
    assert len(PYTHON_FILES) > 10
    assert sum(len(functions_of(path)) for path in C_FILES) > 200


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_file_is_not_too_long(path: Path) -> None:
    if path.name == "_core.pyi":
        pytest.skip("declares all of one extension module, and so cannot be split")
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE_LINES, f"{name_of(path)} has {lines} lines: split it"


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_functions_are_not_too_long(path: Path) -> None:
    long = [
        f"{name_of(path)}:{line}: {name} has {length} lines"
        for name, line, length in functions_of(path)
        if length > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_names_say_what_it_is(path: Path) -> None:
    names = [path.stem, *(name for name, _, _ in functions_of(path))]
    empty = [name for name in names if EMPTY_WORDS.search(name)]
    assert not empty, f"{name_of(path)}: {empty}"
