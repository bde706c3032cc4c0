"""What a test may not leave: descriptors, mappings, slots, processes, objects of the core."""

import contextlib
import gc
import os
from collections import Counter
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from rchan import _core

CORE_TYPES = tuple(kind for kind in vars(_core).values() if isinstance(kind, type))
_PAIRS = ("pipe:", "socket:", "anon_inode:")


def descriptors(pid: int | str = "self") -> dict[int, str]:
    """Number and target of each open descriptor of a process; it may close some meanwhile."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def held(path: str) -> list[str]:
    """What this process has open or mapped below that directory: an attachment has a descriptor
    (and a slot), a buffer has a mapping."""
    found = [*descriptors().values(), *Path("/proc/self/maps").read_text().splitlines()]
    return [name for name in found if f"{path}/" in name]


def slots(path: str) -> list[str]:
    """Locks that any process holds on files in that directory: slots that are taken, and others."""
    device = os.stat(path).st_dev
    at = f"{os.major(device):02x}:{os.minor(device):02x}"
    files = {f"{at}:{entry.inode()}" for entry in os.scandir(path)}
    try:
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    return [lock for lock in locks if not files.isdisjoint(lock.split())]


def children() -> list[str]:
    """Processes of ours that still run, or that nobody has waited for."""
    found = []
    for task in os.scandir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found += Path(task.path, "children").read_text().split()
    return found


def _of_multiprocessing() -> tuple[set[str], set[int]]:
    """Of multiprocessing, which keeps them to the end: process ids, and descriptors to them."""
    tracker, server = resource_tracker._resource_tracker, forkserver._forkserver
    pids = {str(tracker._pid), str(server._forkserver_pid)}
    return pids, {tracker._fd, server._forkserver_alive_fd}


class Before:
    """What there was before a test, for the comparison after it."""

    def __init__(self) -> None:
        self._descriptors = descriptors()
        self._children = children()

    def left(self, path: str) -> list[str]:
        """What the test has left behind."""
        return [*held(path), *slots(path), *self._new_descriptors(), *self._new_children()]

    def _new_descriptors(self) -> list[str]:
        """Of channels, pipes, sockets and the like: imports may keep files of their own open."""
        known = self._descriptors.keys() | _of_multiprocessing()[1]
        return [
            f"{fd}: {name}"
            for fd, name in descriptors().items()
            if fd not in known and name.startswith(_PAIRS)
        ]

    def _new_children(self) -> list[str]:
        known = {*self._children, *_of_multiprocessing()[0]}
        return [f"process {pid}" for pid in children() if pid not in known]


def freeze() -> None:
    """Leave all that lives now out of later collections and counts."""
    gc.collect()
    gc.freeze()


def core_objects() -> Counter[str]:
    """Live objects of the core that were not frozen, by type."""
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, CORE_TYPES))
