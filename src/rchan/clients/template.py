"""%-templates of log messages: taken apart when they are written, filled in when they are read."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

GENERIC: Final = "log:other"
"""The event type of log records that have none of their own."""
_SPEC: Final = re.compile(r"%(?:\(([^()]*)\))?([-#0 +]*\d*(?:\.\d+)?)[hlL]?([diouxXeEfFgGcrsa])")
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")
_UNFIT: Final = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,200}\Z")


class Spec(NamedTuple):
    """One conversion of a template, such as `%(user)-8s`."""

    key: str | None
    """Of a mapping; None: the next value of a tuple."""
    bare: str
    """Without the key: `%-8s`."""
    suffix: str
    """What its field is called, behind `arg` (a value) or `text` (filled in already)."""


@lru_cache(maxsize=4096)
def split(template: str) -> tuple[str | Spec, ...] | None:
    """Its literal parts and conversions; None: there is something in it that is not usual."""
    parts: list[str | Spec] = []
    names: set[str] = set()
    at = count = 0
    while (percent := template.find("%", at)) >= 0:
        parts.append(template[at:percent])
        if template.startswith("%%", percent):
            parts.append("%")
            at = percent + 2
            continue
        found = _SPEC.match(template, percent)
        if found is None:
            return None
        key, flags, conversion = found.groups()
        suffix = f"_{key}" if key and _NAME.match(key) and key not in names else str(count)
        names.add(key)
        parts.append(Spec(key, f"%{flags}{conversion}", suffix))
        at, count = found.end(), count + 1
    parts.append(template[at:])
    return tuple(part for part in parts if part)


def specs_of(template: str) -> tuple[Spec, ...] | None:
    """Its conversions alone; None as of `split`."""
    parts = split(template)
    return None if parts is None else tuple(part for part in parts if isinstance(part, Spec))


def fill_in(template: str, fields: Mapping[str, Any]) -> str:
    """The message: the template with the values of an event's fields in it.

    What does not fit, or is missing, is shown as it is: this never raises.
    """
    parts = split(template)
    if parts is None:
        return template
    return "".join(part if isinstance(part, str) else _filled(part, fields) for part in parts)


def _filled(spec: Spec, fields: Mapping[str, Any]) -> str:
    if (name := f"text{spec.suffix}") in fields:
        return str(fields[name])
    if (name := f"arg{spec.suffix}") not in fields:
        return spec.bare
    value = fields[name]
    try:
        return spec.bare % (value,)
    except (TypeError, ValueError, OverflowError):
        return repr(value)


def escaped(text: str) -> str:
    """Without control characters, for a label in a trace's metadata; `unescaped` is the reverse."""
    return _UNFIT.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def unescaped(text: str) -> str:
    """What `escaped` was given."""
    return _ESCAPED.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
