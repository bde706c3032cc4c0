"""Which CPUs there can be, which there are, and how many a container may use."""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath

_SYSFS = Path("/sys/devices/system/cpu")
_PROC = Path("/proc/self")

_Masks = tuple[tuple[int, ...] | None, tuple[int, ...] | None]
_injected: ContextVar[_Masks] = ContextVar("rchan_cpus", default=(None, None))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of a kernel list such as `0-3,8`, in order; ValueError if it is none."""
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        numbers.update(range(int(first), int(last if dash else first) + 1))
    return tuple(sorted(numbers))


def _from_sysfs(name: str) -> tuple[int, ...]:
    try:
        return parse_cpu_list((_SYSFS / name).read_text())
    except (OSError, ValueError):
        return ()


def possible() -> tuple[int, ...]:
    """Numbers of all CPUs that this machine can ever have (the kernel's cpu_possible_mask)."""
    masks = _injected.get()
    return masks[0] or _from_sysfs("possible") or tuple(range(os.cpu_count() or 1))


def online() -> tuple[int, ...]:
    """Numbers of the CPUs that run now (the kernel's cpu_online_mask)."""
    masks = _injected.get()
    return masks[1] or _from_sysfs("online") or tuple(sorted(os.sched_getaffinity(0)))


@contextmanager
def injected(
    possible: Iterable[int] | None = None, online: Iterable[int] | None = None
) -> Iterator[None]:
    """For tests: other masks of possible and online CPUs, inside the `with` block only."""
    masks = (
        tuple(sorted(set(possible))) if possible is not None else None,
        tuple(sorted(set(online))) if online is not None else None,
    )
    token = _injected.set(masks)
    try:
        yield
    finally:
        _injected.reset(token)


def _cgroup_memberships() -> dict[str, str]:
    """Controller (or "" for version 2) -> path of our own cgroup in its hierarchy."""
    memberships: dict[str, str] = {}
    for line in (_PROC / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            memberships[controller] = path
    return memberships


def _cgroup_mounts() -> Iterator[tuple[str, frozenset[str], str, Path]]:
    """(type, options, root, mount point) of every mounted cgroup hierarchy."""
    for line in (_PROC / "mountinfo").read_text().splitlines():
        fields = line.split()
        dash = fields.index("-")
        kind = fields[dash + 1]
        if kind in ("cgroup", "cgroup2"):
            options = frozenset(fields[dash + 3].split(","))
            yield kind, options, fields[3], Path(fields[4])


def _levels(root: str, mount: Path, path: str) -> Iterator[Path]:
    """Directories of our cgroup and its parents, as far as the mount shows them."""
    try:
        below = PurePosixPath(path).relative_to(root)
    except ValueError:  # the mount shows another part of the tree, such as a container's
        below = PurePosixPath()
    directory = mount / below
    yield directory
    for parent in directory.parents:
        if not parent.is_relative_to(mount):
            return
        yield parent


def _quota_v2(directory: Path) -> float | None:
    quota, period = (directory / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(directory: Path) -> float | None:
    quota = int((directory / "cpu.cfs_quota_us").read_text())
    period = int((directory / "cpu.cfs_period_us").read_text())
    return quota / period if quota > 0 else None


def _level_quotas() -> Iterator[float]:
    memberships = _cgroup_memberships()
    for kind, options, root, mount in _cgroup_mounts():
        controller, quota_of = ("", _quota_v2) if kind == "cgroup2" else ("cpu", _quota_v1)
        if controller not in memberships or (controller and controller not in options):
            continue
        for directory in _levels(root, mount, memberships[controller]):
            try:
                quota = quota_of(directory)
            except (OSError, ValueError, ZeroDivisionError):
                continue
            if quota is not None:
                yield quota


def cgroup_quota() -> float | None:
    """CPUs that our control group may use at once, the tightest of all levels; None: no limit."""
    try:
        return min(_level_quotas(), default=None)
    except (OSError, ValueError):
        return None


def default_n_buffers() -> int:
    """Buffers of a channel: one for each possible CPU, but at most twice the cgroup's quota."""
    n_possible = possible()[-1] + 1
    quota = cgroup_quota()
    if quota is None:
        return n_possible
    return max(1, min(n_possible, math.ceil(2 * quota)))
