"""Imports and #includes go downward only: each layer is a line of these tables."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import ROOT, name_of, own_files

# Lowest first. A file may include its own layer and those below.
CORE = (
    {"platform"},
    {"atomics", "clock", "copy", "cpu", "crc32c_fold", "task", "testpoint"},
    {"crc32c"},
    {"layout"},
    {"handle"},
    {"cursor", "kept"},
    {"stamp", "wait", "files"},
    {"control"},
    {"owner"},
    {"books"},
    {"bell_files", "hidden"},
    {"bell", "metadata", "packet", "reach", "ring"},
    {"announce", "buffer", "consume", "event", "fast", "growth", "notice", "poll"}
    | {"position", "switch", "tap", "turn"},
    {"stream"},
    {"attach", "channel", "closing", "handles"},
)

# Lowest first. A module may import layers below its own; a folder is one name.
PACKAGE = (
    {"_core", "closing", "cpus", "errors"},
    {"geometry", "groups"},
    {"buffers", "callbacks", "listener", "names", "stats", "wakeup", "zstd"},
    {"taken"},
    {"merge"},
    {"reader"},
    {"tap"},
    {"snapshot"},
    {"channel"},
    {"catalog", "events", "file", "relay"},
    {"clients"},
    {"__init__"},
    {"tracefile"},
    {"export", "mount", "recorder"},
    {"cli"},
    {"__main__"},
)

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)


def layer_of(name: str, layers: tuple[set[str], ...]) -> int:
    for number, names in enumerate(layers):
        if name in names:
            return number
    raise AssertionError(f"{name} has no layer: give it one in {name_of(Path(__file__))}")


def includes(path: Path) -> list[tuple[str, str]]:
    """Kind (quote or angle) and name of every #include."""
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


CORE_FILES = own_files(".c", ".h", folders=("core",))
BINDING_FILES = own_files(".c", ".h", folders=("binding",))
PACKAGE_FILES = own_files(".py", folders=("src/rchan",))


@pytest.mark.parametrize("path", CORE_FILES, ids=name_of)
def test_core_includes_downward(path: Path) -> None:
    here = layer_of(path.stem, CORE)
    upward = []
    for kind, name in includes(path):
        if kind == '"':
            assert (ROOT / "core" / name).is_file(), f"{name_of(path)} leaves core/ for {name}"
            if layer_of(Path(name).stem, CORE) > here:
                upward.append(name)
    assert not upward, f"{name_of(path)} includes upward: {upward}"


@pytest.mark.parametrize("path", CORE_FILES, ids=name_of)
def test_core_knows_no_python(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "Python.h" not in text
    assert not re.search(r"\bPy[A-Z]?\w*_\w+\(", text)


def test_core_headers_have_no_cycle() -> None:
    below = {
        path.name: {name for kind, name in includes(path) if kind == '"'}
        for path in CORE_FILES
        if path.suffix == ".h"
    }
    while below:
        free = {name for name, needs in below.items() if not needs & below.keys()}
        assert free, f"a cycle of headers: {sorted(below)}"
        below = {name: needs for name, needs in below.items() if name not in free}


@pytest.mark.parametrize("path", BINDING_FILES, ids=name_of)
def test_binding_includes_core_and_itself(path: Path) -> None:
    for kind, name in includes(path):
        if kind == '"':
            target = (path.parent / name).resolve()
            if not target.is_file():
                target = ROOT / "core" / name
            assert target.is_file(), f"{name_of(path)} includes {name} from neither"
            assert target.parent in {ROOT / "core", ROOT / "binding"}


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that the file imports, as dotted names below `rchan`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "rchan":
                yield rest


def module_file(name: str) -> str:
    """The module that `name` (below rchan) comes from: itself, or the one that it is a part of."""
    parts = name.split(".") if name else []
    while parts:
        base = ROOT / "src/rchan" / "/".join(parts)
        if base.is_dir() or any(base.with_suffix(end).is_file() for end in (".py", ".pyi")):
            return ".".join(parts)
        parts.pop()
    return "__init__"


def own_module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src/rchan").with_suffix("").parts)


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=name_of)
def test_package_imports_downward(path: Path) -> None:
    own = own_module(path).split(".")[0]
    here = layer_of(own, PACKAGE)
    upward = []
    for name in imported(path):
        target = module_file(name).split(".")[0]
        if target != own and layer_of(target, PACKAGE) >= here:
            upward.append(target)
    assert not upward, f"{name_of(path)} imports upward: {upward}"


@pytest.mark.parametrize("folder", ["tracefile", "recorder", "mount", "cli"])
def test_folders_have_no_import_cycle(folder: str) -> None:
    below: dict[str, set[str]] = {}
    for path in own_files(".py", folders=(f"src/rchan/{folder}",)):
        name = own_module(path).removesuffix(".__init__")
        needs = {module_file(target) for target in imported(path)}
        below[name] = {need for need in needs if need.startswith(folder) and need != name}
    # `from rchan.cli import exits` names the folder for the sake of the module.
    below.pop(folder, None)
    while below:
        free = {name for name, needs in below.items() if not needs & below.keys()}
        assert free, f"a cycle of modules: {sorted(below)}"
        below = {name: needs for name, needs in below.items() if name not in free}


def test_every_c_file_is_built() -> None:
    for folder in ("core", "binding"):
        listed = re.findall(r"'(\w+\.c)'", (ROOT / folder / "meson.build").read_text("utf-8"))
        assert sorted(listed) == sorted(path.name for path in (ROOT / folder).glob("*.c"))
    text = (ROOT / "tests/core/meson.build").read_text("utf-8")
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests/core").glob("test_*.c")}
    assert tests <= set(re.findall(r"'(\w+)'", text))
