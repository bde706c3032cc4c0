"""Channels straight from the binding, for the tests of the binding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rchan import _core

NAMES = ("create_buf_file", "remove_buf_file", "subbuf_start", "deliver", "buf_full")


class Channel(_core.Channel):
    """What rchan.Channel is built on, without the Python layer."""

    __slots__ = ()


def make(where: Path, base: str | None = "app", **given: Any) -> Channel:
    """A channel of two buffers of 4 sub-buffers of 32 bytes; hooks by their names."""
    options = {"subbuf_size": 32, "n_subbufs": 4, "n_buffers": 2, "overwrite": False}
    options |= {key: given.pop(key) for key in list(given) if key in options}
    cpus = given.pop("cpus", (0, 1))
    return Channel._create(
        str(where), base, *options.values(), 0o600, cpus, hooks(**given) if given else None
    )


def hooks(**given: Callable[..., Any]) -> tuple[Any, ...]:
    """The binding's tuple, from hooks by name."""
    create, remove, start = (given.pop(name, None) for name in NAMES[:3])
    deliver, full = (given.pop(name, None) for name in NAMES[3:])
    assert not given
    return create, remove, start, deliver, full
