"""Mount points: looked at, mounted and unmounted, by mount(2) or else by fusermount3."""

import os
import shutil
import socket
import stat
import subprocess
from contextlib import suppress
from errno import EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENOTCONN, EPERM
from pathlib import Path
from typing import Final

from rchan import _core
from rchan.errors import NotPermitted
from rchan.mount.errors import AlreadyMounted, BadMountPoint, MountFailed, NotMounted
from rchan.mount.table import KIND, mounted_at

_DEVICE: Final = "/dev/fuse"
_FUSERMOUNT: Final = "fusermount3"
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_DETACH: Final = 2  # MNT_DETACH
_NAME: Final = "relayfs"
_PATIENCE: Final = 10.0  # seconds for fusermount3
_MOST_DEAD: Final = 16
_NOT_ALLOWED: Final = (EPERM, EACCES)


def check_point(path: str | os.PathLike[str], root: str) -> str:
    """The absolute path of a mount point that can be used; a dead mount there is detached.

    Raises BadMountPoint, AlreadyMounted, NotPermitted.
    """
    point = _resolved(path)
    _detach_dead(point)
    there = mounted_at(point)
    if there is not None:
        what = "channels are" if there.ours else f"a file system ({there.kind}) is"
        remedy = "run 'rchan umount' first" if there.ours else "choose another mount point"
        raise AlreadyMounted(f"{point!r}: {what} mounted there already: {remedy}")
    names = _names_in(point)
    _check_apart(point, os.path.realpath(root))
    if names:
        raise BadMountPoint(
            f"mount point {point!r} is not empty ({names[0]!a} is in it): give an empty directory"
        )
    return point


def _resolved(path: str | os.PathLike[str]) -> str:
    """Without symbolic links, and without asking the mount that may be there."""
    place = Path(os.fspath(path)).absolute()
    if "\0" in str(place):
        raise BadMountPoint(f"mount point {str(place)!r} contains a NUL character")
    parent = os.path.realpath(place.parent)
    name = os.path.normpath(place).rpartition("/")[2]
    if place.name == "..":
        return os.path.realpath(place)
    point = os.path.join(parent, name)
    with suppress(OSError):
        if stat.S_ISLNK(os.lstat(point).st_mode):
            return os.path.realpath(point)
    return point


def is_dead(point: str) -> bool:
    """Is a FUSE mount there whose server is gone?"""
    try:
        os.stat(point)
    except OSError as error:
        return error.errno == ENOTCONN
    return False


def _detach_dead(point: str) -> None:
    for _ in range(_MOST_DEAD):
        if not is_dead(point):
            return
        there = mounted_at(point)
        if there is None or not there.ours:
            raise BadMountPoint(f"{point!r} is a dead mount that is not ours: unmount it first")
        unmount(point, lazy=True)


def _names_in(point: str) -> list[str]:
    try:
        if not stat.S_ISDIR(os.stat(point).st_mode):
            raise BadMountPoint(f"mount point {point!r} is not a directory: give an empty one")
        return sorted(os.listdir(point))
    except FileNotFoundError:
        raise BadMountPoint(f"mount point {point!r} does not exist: make the directory") from None
    except NotADirectoryError:
        raise BadMountPoint(f"mount point {point!r}: a part of it is no directory") from None
    except PermissionError as error:
        raise NotPermitted(f"mount point {point!r} cannot be looked at: {error.strerror}") from None


def _check_apart(point: str, root: str) -> None:
    if _within(point, root):
        raise BadMountPoint(f"mount point {point!r} is inside the directory of channels {root!r}")
    if _within(root, point):
        raise BadMountPoint(f"mount point {point!r} would hide the directory of channels {root!r}")


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


# ---- mount ----


def mount(point: str, allow_other: bool) -> int:
    """Mount at a checked point: /dev/fuse, not blocking. Raises MountFailed, NotPermitted."""
    try:
        device = _mount_directly(point, allow_other)
    except OSError as error:
        if error.errno not in (*_NOT_ALLOWED, ENOENT, ENODEV):
            raise MountFailed(error.errno, f"cannot mount at {point!r}: {error.strerror}") from None
        device = _mount_by_fusermount(point, allow_other, error)
    os.set_blocking(device, False)
    return device


def _options(allow_other: bool) -> list[str]:
    return ["default_permissions", *(["allow_other"] if allow_other else [])]


def _mount_directly(point: str, allow_other: bool) -> int:
    device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        options = [f"fd={device}", "rootmode=40000", f"user_id={os.geteuid()}"]
        options += [f"group_id={os.getegid()}", *_options(allow_other)]
        _core.mount(_NAME, point, KIND, _NOSUID | _NODEV | _NOEXEC, ",".join(options))
    except BaseException:
        os.close(device)
        raise
    return device


def _mount_by_fusermount(point: str, allow_other: bool, refused: OSError) -> int:
    """By fusermount3, which may do it for everybody and hands the descriptor over."""
    helper = shutil.which(_FUSERMOUNT)
    if helper is None or (not os.path.exists(_DEVICE)):
        raise _no_way(refused, helper)
    options = ["nosuid", "nodev", "noexec", f"fsname={_NAME}", f"subtype={_NAME}"]
    options += _options(allow_other)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, its:
        command = [helper, "-o", ",".join(options), "--", point]
        environment = {**os.environ, "_FUSE_COMMFD": str(its.fileno())}
        done = subprocess.run(
            command,
            env=environment,
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=_PATIENCE,
            check=False,
        )
        its.close()
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    if done.returncode or not fds:
        for fd in fds:
            os.close(fd)
        raise MountFailed(EPERM, _said(f"cannot mount at {point!r}", done.stderr))
    os.set_inheritable(fds[0], False)
    return fds[0]


def _no_way(refused: OSError, helper: str | None) -> Exception:
    if refused.errno == ENODEV or not os.path.exists(_DEVICE):
        return MountFailed(
            ENODEV,
            f"there is no FUSE here ({_DEVICE}): load the kernel module fuse, or start the "
            "container with --device /dev/fuse",
        )
    return NotPermitted(
        f"only root may mount ({refused.strerror}), and there is no {_FUSERMOUNT} to do it for "
        "others: install the package fuse3"
    )


def _said(what: str, words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return f"{what}: {' / '.join(lines) or 'no reason given'}"


# ---- unmount ----


def unmount(path: str | os.PathLike[str], lazy: bool = False) -> None:
    """Unmount the channels at path.

    lazy: although files are open there; the mount ends when they are closed.
    Raises NotMounted, NotPermitted, MountFailed (files are open).
    """
    point = _resolved(path)
    there = mounted_at(point)
    if there is None or not there.ours:
        raise NotMounted(f"no channels are mounted at {point!r}")
    try:
        _core.umount(point, _DETACH if lazy else 0)
    except OSError as error:
        if error.errno in _NOT_ALLOWED:
            _unmount_by_fusermount(point, lazy)
        elif error.errno == EBUSY:
            raise _busy(point) from None
        elif error.errno == EINVAL and mounted_at(point) is None:
            return  # somebody else was faster
        else:
            raise MountFailed(error.errno, f"{point!r}: {error.strerror}") from None


def _busy(point: str) -> MountFailed:
    return MountFailed(
        EBUSY, f"{point!r} is in use (open files, a shell in it): close them, or use --lazy"
    )


def _unmount_by_fusermount(point: str, lazy: bool) -> None:
    helper = shutil.which(_FUSERMOUNT)
    if helper is None:
        raise NotPermitted(f"only root may unmount {point!r}: there is no {_FUSERMOUNT}")
    command = [helper, "-u", *(["-z"] if lazy else []), "--", point]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode:
        if "busy" in done.stderr.lower():
            raise _busy(point)
        raise NotPermitted(_said(f"cannot unmount {point!r}", done.stderr))
