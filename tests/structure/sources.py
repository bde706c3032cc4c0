"""The project's own source files, as the structure tests see them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "binding", "src", "tests", "demo", "benchmarks", "examples", "tools", ".ci")
GENERATED = {"__pycache__"}


def own_files(*suffixes: str, folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    """All files below `folders` that end in one of `suffixes`, sorted."""
    found = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in suffixes and not GENERATED & set(path.parts)
    ]
    return sorted(found)


def is_python_script(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and b"python" in first


def python_files() -> list[Path]:
    """Also those without a suffix that say in their first line that they are Python."""
    return own_files(".py", ".pyi") + [path for path in own_files("") if is_python_script(path)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_comments(text: str) -> str:
    """C text with comments and string literals blanked; lines stay where they are."""
    tokens = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    return tokens.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


@dataclass(frozen=True)
class Function:
    """A C function: its name, the line of its first word, and how many lines it has."""

    name: str
    line: int
    length: int


def c_functions(path: Path) -> list[Function]:
    """Functions as clang-format leaves them: the braces of the body alone in column 0."""
    lines = without_comments(path.read_text(encoding="utf-8")).splitlines()
    functions = []
    for opening, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        start = opening
        while start and not re.match(r"\s*$|[}#]|.*;\s*$", lines[start - 1]):
            start -= 1
        closing = next(i for i in range(opening, len(lines)) if lines[i].startswith("}"))
        signature = " ".join(lines[start:opening])
        signature = re.sub(r"__attribute__\s*\(\(.*?\)\)+", "", signature)
        name = re.search(r"([A-Za-z_]\w*)\s*\(", signature)
        functions.append(Function(name[1] if name else "?", start + 1, closing - start + 1))
    return functions
