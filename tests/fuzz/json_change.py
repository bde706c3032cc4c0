"""Other values in a JSON document, as the input says."""

from __future__ import annotations

from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    0.5,
    "",
    "x",
    "../x",
    "..",
    "/etc/passwd",
    [],
    [1],
    {},
    {"a": 1},
    [[]],
    "app.0\0",
    10**400,
    "\ud800",
    1e400,
    0,
    65536,
    ["x"] * 300,
)


def change(whole: Any, where: int, what: int) -> None:
    """One value below `whole` becomes another one, or goes. Nothing if there is none."""
    places: list[tuple[Any, Any]] = []
    holders = [whole]
    for holder in holders:
        keys = holder if isinstance(holder, dict) else range(len(holder))
        places += [(holder, key) for key in keys]
        holders += [holder[key] for key in keys if isinstance(holder[key], dict | list)]
    if not places:
        return
    holder, key = places[where % len(places)]
    if what >= 240:
        del holder[key]
    else:
        holder[key] = VALUES[what % len(VALUES)]
