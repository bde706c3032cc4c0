"""What `rchan doctor` looks at: each check says what it found and what to do about it."""

import os
import platform
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from time import monotonic, perf_counter_ns
from typing import Final

from rchan import _core
from rchan.channel import create
from rchan.cli.look import looks
from rchan.cli.machine import cgroup_memory, clock_source, file_system_of
from rchan.cli.screen import amount_text
from rchan.cpus import cgroup_quota, default_n_buffers, online, possible
from rchan.errors import RchanError
from rchan.names import directory

OK: Final = "ok"
NOTE: Final = "note"  # nothing is wrong; it may be of use to know
WARNING: Final = "warning"  # works, but something will not
PROBLEM: Final = "problem"  # channels do not work

_DEFAULT_BUFFER: Final = 8 * 262144
_FEW_FILES: Final = 256
_LITTLE: Final = 64 << 20
_SLOW_CLOCK_NS: Final = 300
_MACHINES: Final = ("x86_64", "aarch64")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    level: str
    found: str
    advice: str = ""


def findings(parent: str | None) -> Iterator[Finding]:
    """All checks, one after another; a check whose ground is missing is left out."""
    yield from _system()
    try:
        where = directory(parent)
    except RchanError as error:
        yield Finding("directory", PROBLEM, str(error), "give another one: --parent, or RCHAN_DIR")
        return
    mode = Path(where).stat().st_mode & 0o777
    yield Finding("directory", OK, f"{where}, mode {mode:04o}, ours alone")
    yield _space(where)
    yield from _kernel(where)
    yield from _limits()
    yield from _channels(parent)


def _system() -> Iterator[Finding]:
    machine = platform.machine()
    words = f"Linux {platform.release()}, {machine}, Python {platform.python_version()}"
    if sys.platform == "linux" and machine in _MACHINES:
        yield Finding("system", OK, words)
    else:
        yield Finding("system", WARNING, words, "rchan is made for Linux on x86_64 and aarch64")
    quota = cgroup_quota()
    cpus = f"{len(online())} online of {len(possible())}"
    if quota is not None:
        cpus += f", control group may use {quota:g}"
    yield Finding("cpus", OK, f"{cpus}: a channel has {default_n_buffers()} buffers by default")
    source, cost = clock_source(), _clock_cost_ns()
    words = f"{source}, {cost:.0f} ns a reading"
    if cost <= _SLOW_CLOCK_NS:
        yield Finding("clock", OK, words)
    else:
        advice = "time stamps cost more than usual: use the clock source tsc if the machine has it"
        yield Finding("clock", WARNING, words, advice)


def _clock_cost_ns() -> float:
    best = float("inf")
    for _ in range(5):
        begin = perf_counter_ns()
        for _ in range(200):
            _core.now_ns()
        best = min(best, (perf_counter_ns() - begin) / 200)
    return best


def _space(where: str) -> Finding:
    kind, mount = file_system_of(where)
    there = os.statvfs(where)
    free, size = there.f_bavail * there.f_frsize, there.f_blocks * there.f_frsize
    needed = default_n_buffers() * _DEFAULT_BUFFER
    words = f"{kind} at {mount}: {amount_text(free)} free of {amount_text(size)}"
    if free < needed:
        advice = (
            f"a channel of default size takes {amount_text(needed)}: remove channels, make it "
            f"bigger (mount -o remount,size=…  {mount}; docker run --shm-size), give --size, or "
            "set RCHAN_DIR to a directory elsewhere"
        )
        return Finding("space", WARNING, words, advice)
    if kind not in ("tmpfs", "ramfs"):
        advice = "channels here survive a reboot, and the kernel writes them to disk meanwhile"
        return Finding("space", NOTE, words, advice)
    return Finding("space", OK, words)


def _kernel(where: str) -> Iterator[Finding]:
    trials: tuple[tuple[str, Callable[[str], str], str], ...] = (
        (
            "unnamed files",
            _unnamed_file,
            "needs O_TMPFILE and links to it: use another file system",
        ),
        ("file locks", _locks, "needs open file description locks (F_OFD_SETLK), Linux 3.15"),
        ("doorbells", _fifo, "readers in poll, epoll and asyncio need FIFOs in the directory"),
        ("channel", _channel, "a channel was made, written and read to try it; this failed"),
        ("futex", _futex, "readers cannot sleep: does a seccomp filter forbid futex?"),
    )
    for name, trial, advice in trials:
        try:
            yield Finding(name, OK, trial(where))
        except (OSError, RchanError, RuntimeError) as error:
            words = os.strerror(error.errno) if getattr(error, "errno", None) else str(error)  # type: ignore[union-attr, arg-type]
            yield Finding(name, PROBLEM, words, advice)
    yield _fuse()


def _unnamed_file(where: str) -> str:
    name = os.path.join(where, f".doctor-{os.getpid()}")
    fd = os.open(where, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(fd, 0, 4096)
        # src_dir_fd: only so that linkat is asked to follow the link.
        os.link(f"/proc/self/fd/{fd}", name, src_dir_fd=fd, follow_symlinks=True)
        os.unlink(name)
    finally:
        os.close(fd)
    return "O_TMPFILE, posix_fallocate and linkat work"


def _locks(where: str) -> str:
    from fcntl import F_WRLCK, fcntl
    from struct import pack

    set_lock, lock = 37, pack("hhqqi4x", F_WRLCK, os.SEEK_SET, 1 << 40, 1, 0)
    first = os.open(where, os.O_TMPFILE | os.O_RDWR, 0o600)
    second = os.open(f"/proc/self/fd/{first}", os.O_RDWR)
    try:
        fcntl(first, set_lock, lock)
        try:
            fcntl(second, set_lock, lock)
        except (BlockingIOError, PermissionError):
            return "open file description locks work"
        raise RuntimeError("a byte can be locked twice")
    finally:
        os.close(first)
        os.close(second)


def _fifo(where: str) -> str:
    name = os.path.join(where, f".doctor-{os.getpid()}.bell")
    os.mkfifo(name, 0o600)
    os.unlink(name)
    return "FIFOs work"


def _channel(where: str) -> str:
    with create(None, where, subbuf_size=4096, n_subbufs=2, n_buffers=1) as channel:
        stored = channel.write(b"doctor")
        channel.flush()
        sub = channel.buffers[0].take()
        if not stored or sub is None or bytes(sub.data) != b"doctor":
            raise RuntimeError("what was written did not come back")
        sub.give_back()
    return "made, written, read and closed one"


def _futex(where: str) -> str:
    with create(None, where, subbuf_size=4096, n_subbufs=2, n_buffers=1) as channel:
        begin = monotonic()
        if channel._wait(0.002) or monotonic() - begin < 0.001:
            raise RuntimeError("a reader of an empty channel did not sleep")
    return "readers sleep until they are woken"


def _fuse() -> Finding:
    device = os.access("/dev/fuse", os.R_OK | os.W_OK)
    tool = which("fusermount3") or which("fusermount")
    if device and (tool or os.geteuid() == 0):
        return Finding("fuse", OK, f"/dev/fuse{f' and {tool}' if tool else ''}")
    lacks = "/dev/fuse" if not device else "fusermount3"
    advice = "only mounting channels as files needs it: install fuse3; in a container, --device"
    return Finding("fuse", NOTE, f"no {lacks}", advice)


def _limits() -> Iterator[Finding]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY or files >= _FEW_FILES:
        yield Finding("open files", OK, f"{_limit_text(files)} for a process")
    else:
        yield Finding("open files", WARNING, f"{files} for a process", "raise it: ulimit -n 1024")
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if size != resource.RLIM_INFINITY and size < _LITTLE:
        advice = "channels and recordings cannot be bigger: ulimit -f unlimited"
        yield Finding("file size", WARNING, amount_text(size), advice)
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    words = "no limit" if locked == resource.RLIM_INFINITY else amount_text(locked)
    yield Finding("locked memory", OK, f"{words} for a process (rchan locks none)")
    limit, used = cgroup_memory()
    if limit is None:
        yield Finding("memory", OK, "the control group sets no limit")
    elif limit - used < _LITTLE:
        words = f"{amount_text(limit - used)} left of the control group's {amount_text(limit)}"
        advice = "channels in shared memory count there, too: make them smaller, or raise it"
        yield Finding("memory", WARNING, words, advice)
    else:
        words = f"the control group uses {amount_text(used)} of {amount_text(limit)}"
        yield Finding("memory", OK, words)


def _limit_text(limit: int) -> str:
    return "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"


def _channels(parent: str | None) -> Iterator[Finding]:
    found = looks(parent)
    bad = [look.name for look in found if not look.readable_there]
    if bad:
        names = ", ".join(map(repr, bad[:5]))
        advice = "'rchan stat NAME' says why; 'rchan rm NAME' removes it"
        yield Finding("damaged channels", WARNING, f"{len(bad)}: {names}", advice)
    stale = [look for look in found if look.readable_there and not look.producers]
    if stale:
        memory = sum(look.capacity for look in stale)
        unread = sum(bool(look.stats.total.readable.records) for look in stale)
        words = f"{len(stale)} that nobody has open, of {amount_text(memory)}; {unread} unread"
        advice = "read them ('rchan cat NAME'), or remove them ('rchan rm --orphaned')"
        yield Finding("stale channels", NOTE, words, advice)
    live = len(found) - len(bad) - len(stale)
    yield Finding("channels", OK, f"{live} in use")
