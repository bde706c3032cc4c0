"""The text files beside the buffers: NAME.stat (the books) and NAME.info (the channel)."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from rchan.channel import Channel, open
from rchan.errors import CorruptChannel
from rchan.stats import Count, Stats

_CAUSES: Final = (
    "attempted",
    "written",
    "readable",
    "consumed",
    "overwritten",
    "discarded",
    "dropped_full",
    "dropped_too_big",
    "dropped_disabled",
    "dropped_contended",
)
_NUMBERS: Final = ("subbufs_produced", "subbufs_consumed")


def stat_text(place: str, base: str) -> bytes:
    """The books by cause, of all buffers together and of each: a line each, in four columns.

    Raises CorruptChannel, ChannelNotFound, NotPermitted.
    """
    channel = open(base, place)
    try:
        stats = channel.stats()
    finally:
        channel.detach()
    lines = [f"{'buffer':<8}{'what':<20}{'records':>20}{'bytes':>24}"]
    lines += _rows("total", stats.total)
    for index, books in stats.items():
        lines += _rows(str(index), books)
    return _text(lines)


def _rows(label: str, books: Stats) -> list[str]:
    rows = []
    for cause in _CAUSES:
        count: Count = getattr(books, cause)
        rows.append(f"{label:<8}{cause:<20}{count.records:>20}{count.bytes:>24}")
    for name in _NUMBERS:
        rows.append(f"{label:<8}{name:<20}{getattr(books, name):>20}{'-':>24}")
    return rows


def info_text(place: str, base: str) -> bytes:
    """Geometry and state, a `word: value` a line. Of a damaged channel: what is wrong with it."""
    try:
        channel = open(base, place)
    except CorruptChannel as error:
        facts: dict[str, object] = {"name": _shown(base), "state": "damaged", "error": error}
        return _text([f"{word}: {_one_line(str(value))}" for word, value in facts.items()])
    try:
        return _text([f"{word}: {value}" for word, value in _facts(channel).items()])
    finally:
        channel.detach()


def _facts(channel: Channel) -> dict[str, object]:
    processes = channel.producers()
    with suppress(ValueError):  # others write to what says so
        processes.remove(os.getpid())  # the look itself
    state = "finalized" if channel.finalized else "live" if processes else "orphaned"
    created = datetime.fromtimestamp(channel.created_ns[0] / 1e9, UTC)
    wakeup = channel.wakeup
    return {
        "name": _shown(channel.name or ""),
        "state": state,
        "subbuf_size": channel.subbuf_size,
        "n_subbufs": channel.n_subbufs,
        "alloc_size": channel.alloc_size,
        "n_buffers": channel.n_buffers,
        "buffers": " ".join(map(str, channel.buffers)),
        "mode": "overwrite" if channel.overwrite else "no-overwrite",
        "processes": " ".join(map(str, processes)) or "none",
        "enabled": "yes" if channel.enabled else "no",
        "wakeup": wakeup if isinstance(wakeup, str) else f"{wakeup[1]} {wakeup[0]}",
        "last_toobig": channel.last_toobig,
        "created": created.isoformat(timespec="milliseconds"),
    }


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _text(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode(errors="backslashreplace")
