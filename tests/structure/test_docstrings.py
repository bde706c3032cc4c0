"""What is public has a docstring that says all: arguments, units, answers, errors, the kernel's."""

import ast
import importlib
import inspect
import re
import textwrap
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
from pages import ROOT

import rchan

API = ROOT / "docs/reference/api"
MODULES = ("", "relay", "events", "export", "recorder", "tracefile", "mount", "clients")
DIRECTIVE = re.compile(r"^\.\. auto\w+:: (rchan[\w.]*)$", re.MULTILINE)
DATA = re.compile(r"^(?:\.\. py:data::|    {9}) +(\w+)$", re.MULTILINE)
KERNEL_ROW = re.compile(r"^\| `(\w+)`[^|]*\| \[`(\w+)\.(\w+)`\]", re.MULTILINE)
# What an argument of this name has to be said to be in.
UNITS = {
    "timeout": "second",
    "watermark": "second",
    "flush_interval": "second",
    "length": "byte|None|items|elements",
    "size": "byte",
    "subbuf_size": "byte",
}


def object_of(name: str) -> Any:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


SHOWN = sorted(
    {
        name
        for page in [*API.glob("*.md"), ROOT / "docs/reference/errors.md"]
        for name in DIRECTIVE.findall(page.read_text(encoding="utf-8"))
    }
)


def members_of(name: str, thing: Any) -> list[tuple[str, Any]]:
    """The object itself, and the public members that it, or a base of ours, defines."""
    found = [(name, thing)]
    if not isinstance(thing, type) or issubclass(thing, BaseException):
        return found
    for base in thing.__mro__:
        if base.__module__.startswith("rchan"):
            for key, value in vars(base).items():
                is_code = callable(value) or isinstance(value, property | classmethod)
                is_fact = inspect.isgetsetdescriptor(value)
                if not key.startswith("_") and (is_code or is_fact):
                    found.append((f"{name}.{key}", getattr(value, "__func__", value)))
    return found


def everything() -> dict[str, Any]:
    """Each object once, by the first of its names."""
    found: dict[int, tuple[str, Any]] = {}
    for shown in SHOWN:
        for name, thing in members_of(shown, object_of(shown)):
            found.setdefault(id(thing), (name, thing))
    return dict(found.values())


EVERYTHING = list(everything().items())
NAMES = [name for name, _ in EVERYTHING]


REFERS = re.compile(r"(?:made by|arguments(?: and errors)? as of|as of) `([\w.]+)`", re.IGNORECASE)


def text_of(name: str, thing: Any) -> str:
    """Its docstring, that of __init__, of what it overrides, and of what it refers to."""
    text = inspect.getdoc(thing) or ""
    owner, _, last = name.rpartition(".")
    if isinstance(thing, type):
        text += " " + (vars(thing)["__init__"].__doc__ or "" if made_here(thing) else "")
    elif isinstance(holder := object_of(owner), type):
        overridden = [vars(base)[last] for base in holder.__mro__ if last in vars(base)]
        text += " ".join(inspect.getdoc(each) or "" for each in overridden)
    for other in REFERS.findall(text):
        with suppress(AttributeError):  # a method of something else
            found = object_of(full_name(other, owner))
            text += " " + (inspect.getdoc(found) or "")
    return text


def full_name(name: str, owner: str) -> str:
    if name.startswith("rchan."):
        return name
    return f"rchan.{name}" if "." in name else f"{owner}.{name}"


def made_here(thing: type) -> bool:
    return inspect.isfunction(vars(thing).get("__init__")) and not hasattr(
        thing, "__dataclass_fields__"
    )


def parameters_of(thing: Any) -> dict[str, inspect.Parameter]:
    """What the caller gives by name or place."""
    if isinstance(thing, type) and not made_here(thing):
        return {}
    try:
        found = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return {}
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        key: value
        for key, value in found.items()
        if key not in ("self", "cls") and value.kind not in open_ended
    }


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_a_page(module: str) -> None:
    full = f"rchan.{module}".rstrip(".")
    names = importlib.import_module(full).__all__
    shown = {object_name.rpartition(".")[2] for object_name in SHOWN}
    for page in API.glob("*.md"):
        shown |= set(DATA.findall(page.read_text(encoding="utf-8")))
    parts = {name for name in names if isinstance(getattr(object_of(full), name), ModuleType)}
    assert set(names) - shown - parts == set()


def raised_by(function: Any) -> set[str]:
    """Errors of ours that its own body raises."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = {getattr(getattr(call, "func", call), "id", "") for call in calls}
    return {name for name in names if isinstance(getattr(rchan, name, None), type)}


def lacks(name: str, thing: Any) -> list[str]:
    """What its docstring does not say."""
    text, found = text_of(name, thing), []
    if not (inspect.getdoc(thing) or "").strip():
        found.append("a docstring")
    given = parameters_of(thing)
    found += [f"what {key} is" for key in given if not re.search(rf"\b{key}\b", text)]
    units = given.keys() & UNITS.keys()
    found += [f"the unit of {key}" for key in units if not re.search(UNITS[key], text)]
    function = thing.fget if isinstance(thing, property) else thing
    if isinstance(thing, type):
        function = vars(thing)["__init__"] if made_here(thing) else None
    answer = getattr(function, "__annotations__", {}).get("return")
    if answer is bool and not re.search(r"True|False|\?", text):
        found.append("when True, when False")
    if inspect.isfunction(function):
        text += inspect.getdoc(object_of(name.rpartition(".")[0])) or ""
        found += [f"that it raises {error}" for error in raised_by(function) if error not in text]
    return found


@pytest.mark.parametrize(("name", "thing"), EVERYTHING, ids=NAMES)
def test_its_docstring_says_all(name: str, thing: Any) -> None:
    assert lacks(name, thing) == []


ROWS = KERNEL_ROW.findall((ROOT / "docs/howto/from-kernel-relay.md").read_text(encoding="utf-8"))
SPECIFIED = """relay_open relay_write __relay_write relay_reserve relay_commit relay_flush
relay_reset
relay_close relay_subbufs_consumed relay_late_setup_files relay_prepare_cpu relay_buf_full
relay_buf_empty relay_switch_subbuf subbuf_start_reserve relay_stats relayfs_create_dir
relayfs_remove_dir subbuf_start buf_mapped buf_unmapped create_buf_file remove_buf_file deliver
buf_full open release read poll mmap splice_read sendfile"""


def test_the_kernels_names_all_have_a_row() -> None:
    assert sorted(row[0] for row in ROWS) == sorted(SPECIFIED.split())


@pytest.mark.parametrize(("kernel", "owner", "name"), ROWS)
def test_the_counterpart_names_the_kernels(kernel: str, owner: str, name: str) -> None:
    thing = object_of(f"rchan.{name}" if owner == "rchan" else f"rchan.{owner}.{name}")
    words = f"{name} {inspect.getdoc(thing)}"
    assert re.search(rf"\b{kernel}\b", words), f"{owner}.{name} does not name {kernel}"
