"""Docstrings for the site: plain sentences become reStructuredText.

They are written to be read in a terminal: arguments stand as "name: what it is" in the text,
errors by their names, code in backquotes, examples indented.
"""

import inspect
import re
from typing import Any

import rchan

ERRORS = sorted(
    (name for name in rchan.__all__ if name in vars(rchan.errors)), key=len, reverse=True
)
ERROR = re.compile(rf"(?<![\w`.])({'|'.join(ERRORS)})(?![\w`])")
QUOTED = re.compile(r"(`[^`]+`)")


def parameters(thing: Any) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters) - {"self"}
    except (TypeError, ValueError):
        return set()


def prose(line: str, names: set[str]) -> str:
    """A line of a paragraph: arguments and errors are marked, nothing else has a meaning."""
    parts = QUOTED.split(line)
    for place in range(0, len(parts), 2):
        part = re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", parts[place])
        part = ERROR.sub(r":py:exc:`~rchan.\1`", part)
        parts[place] = re.sub(
            r"(?:(?<=^)|(?<=[.;,)] )|(?<=\bor ))(\w+)(?=(?:, \w+)*: )",
            lambda match: f"``{match[1]}``" if match[1] in names else match[1],
            part,
        )
    return "".join(parts)


def adapt(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's autodoc-process-docstring."""
    names = parameters(thing)
    adapted: list[str] = []
    code = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not code:
            adapted += ["", ".. code-block:: python", ""]
        if code and line and not indented:
            adapted.append("")
        code = indented or (code and not line)
        adapted.append(line if indented else prose(line, names))
    lines[:] = adapted
