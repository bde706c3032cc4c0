"""Which channels a directory holds, and how to be rid of one."""

import builtins
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rchan import _core
from rchan.channel import Channel
from rchan.errors import ChannelNotFound, RchanError
from rchan.groups import Group
from rchan.names import CONTROL_SUFFIX, Parent, check_base, place


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel as `rchan.list` found it. Numbers are 0 if it is damaged."""

    name: str
    path: str
    """Absolute path of its control file."""
    subbuf_size: int
    n_subbufs: int
    n_buffers: int
    overwrite: bool
    state: str
    """live: it has producers; orphaned: it has none; finalized: closed to writers; damaged."""
    producers: tuple[int, ...]
    """Process ids of those who are attached, and write or may (readers only read)."""


def list(parent: Parent = None, group: Group = None) -> builtins.list[ChannelInfo]:
    """The channels of a directory, by name. parent, group: as in `create`.

    Raises WrongType, BadName, ChannelNotFound (no such directory), NotPermitted.
    """
    where, shared = place(parent, group)
    names = sorted(
        entry.name.removesuffix(CONTROL_SUFFIX)
        for entry in Path(where).iterdir()
        if entry.name.endswith(CONTROL_SUFFIX) and entry.name != CONTROL_SUFFIX
    )
    return [found for name in names if (found := _look_at(where, name, shared)) is not None]


def _look_at(where: str, name: str, group: int | None) -> ChannelInfo | None:
    path = str(Path(where, name + CONTROL_SUFFIX))
    try:
        channel = Channel._attach(where, name, None, group)
    except ChannelNotFound:
        return None
    except RchanError:
        return ChannelInfo(name, path, 0, 0, 0, False, "damaged", ())
    try:
        producers = channel.producers()
        with suppress(ValueError):  # others write to what says so
            producers.remove(os.getpid())  # the look itself
        state = "finalized" if channel.finalized else "live" if producers else "orphaned"
        return ChannelInfo(
            name,
            path,
            channel.subbuf_size,
            channel.n_subbufs,
            channel.n_buffers,
            channel.overwrite,
            state,
            tuple(producers),
        )
    finally:
        channel._detach()


def remove(
    name: str, parent: Parent = None, group: Group = None, *, missing_ok: bool = False
) -> None:
    """Finalize a channel and remove its files, also of a damaged, orphaned or half-created one.

    Whoever has it open can read it to the end. name, parent, group: as in `create`. missing_ok: no
    such channel is no error. Raises WrongType, BadName, ChannelNotFound, NotPermitted.
    """
    where, shared = place(parent, group)
    base = check_base(name)
    try:
        _core.remove(where, base, shared)
    except ChannelNotFound:
        if not missing_ok:
            raise
