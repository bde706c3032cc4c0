"""What the kernel says about this machine and our part of it, from /proc and /sys."""

import os
from pathlib import Path

_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_MOUNTS = Path("/proc/self/mountinfo")
_CGROUP = Path("/proc/self/cgroup")


def clock_source() -> str:
    """The kernel's clock source, such as tsc."""
    try:
        return _CLOCK.read_text().strip() or "unknown clock source"
    except OSError:
        return "unknown clock source"


def file_system_of(path: str) -> tuple[str, str]:
    """Type and mount point of the file system that holds this path."""
    best = ("unknown file system", "/")
    real = os.path.realpath(path)
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return best
    for line in lines:
        fields = line.split()
        at = fields[4].replace("\\040", " ")
        inside = real == at or real.startswith(at.rstrip("/") + "/")
        if inside and len(at) >= len(best[1]):
            best = (fields[fields.index("-") + 1], at)
    return best


def cgroup_memory() -> tuple[int | None, int]:
    """The tightest memory limit of our control groups and what is used of it, in bytes.

    (None, 0): there is none, or it cannot be found out.
    """
    found: tuple[int | None, int] = (None, 0)
    for limit, used in _levels():
        if found[0] is None or limit - used < found[0] - found[1]:
            found = (limit, used)
    return found


def _levels() -> list[tuple[int, int]]:
    levels = []
    for where, names in _directories():
        try:
            limit, used = (Path(where, name).read_text().strip() for name in names)
        except OSError:
            continue
        if limit.isdigit() and used.isdigit() and int(limit) < 1 << 60:
            levels.append((int(limit), int(used)))
    return levels


def _directories() -> list[tuple[Path, tuple[str, str]]]:
    """Our memory control group and those above it: directory, names of limit and use."""
    try:
        lines = [line.split(":", 2) for line in _CGROUP.read_text().splitlines()]
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return []
    ours = {controllers: path for _, controllers, path in lines}
    found = []
    for fields in mounts:
        kind = fields[fields.index("-") + 1]
        options = fields[-1].split(",")
        if kind == "cgroup2" and "" in ours:
            names, path = ("memory.max", "memory.current"), ours[""]
        elif kind == "cgroup" and "memory" in options and "memory" in ours:
            names, path = ("memory.limit_in_bytes", "memory.usage_in_bytes"), ours["memory"]
        else:
            continue
        below = Path(os.path.relpath(path, fields[3]))
        at = Path(fields[4]) if ".." in below.parts else Path(fields[4], below)
        while at.is_relative_to(fields[4]):
            found.append((at, names))
            at = at.parent
    return found
