"""Groups: with whom a channel is shared, and the directory in which that is possible."""

import grp
import os
import stat
from contextlib import suppress
from pathlib import Path
from time import sleep, time
from typing import Final

from rchan.errors import BadName, NotPermitted, SystemFailure, WrongType

Group = str | int | None

_MOST: Final = 2**32 - 2
_AS_MADE: Final = 0o700
_SHARED: Final = 0o2770
_PAUSE: Final = 0.01  # seconds, while a member is sharing a directory that it has just made
_PAUSES: Final = 100


def chosen(group: Group) -> int | None:
    """The number of the group that is meant; None: no group.

    group: a name or a number; None: what the environment variable RCHAN_GROUP says; "": none,
    whatever that says. Raises WrongType, BadName (no such group), NotPermitted (not a member).
    """
    if group is None:
        group = os.environ.get("RCHAN_GROUP", "")
    if group == "":
        return None
    number = _number(group)
    if os.geteuid() and number not in (os.getegid(), *os.getgroups()):
        raise NotPermitted(
            f"this process is not in group {group!r}: its user must be a member (usermod -aG) when "
            "it logs in, or start it with sg or newgrp"
        )
    return number


def _number(group: str | int) -> int:
    if isinstance(group, bool) or not isinstance(group, str | int):
        raise WrongType(f"group must be a name or a number, not {type(group).__name__}")
    if isinstance(group, str):
        try:
            return grp.getgrnam(group).gr_gid
        except (KeyError, ValueError):
            if not (group.isascii() and group.isdigit()):
                raise BadName(f"there is no group {group!r} (see 'getent group')") from None
            group = int(group)
    if not 0 <= group <= _MOST:
        raise BadName(f"group {group} is not a group's number")
    return group


def share(path: Path, group: int) -> None:
    """Give a directory of ours to the group (mode 2770) if it is as `mkdir` made it: empty, 0700.

    A member who was killed before it could do so does it the next time; while another member is at
    it, wait a moment. Raises NotPermitted, SystemFailure.
    """
    for _ in range(_PAUSES):
        fd = _opened(path)
        if fd is None:
            return  # the check says what it is
        try:
            found = os.fstat(fd)
            fresh = stat.S_IMODE(found.st_mode) & ~stat.S_ISGID == _AS_MADE
            if not fresh:
                return
            if found.st_uid == os.geteuid():
                if not os.listdir(fd):
                    _give(fd, path, group)
                return
            if abs(time() - found.st_ctime) > _PAUSES * _PAUSE:
                return  # not just made: somebody's own
        finally:
            os.close(fd)
        sleep(_PAUSE)


def _opened(path: Path) -> int | None:
    """Only to look at it and change its mode: reading it may not be ours yet."""
    for how in (os.O_RDONLY, os.O_PATH):
        with suppress(OSError):
            return os.open(path, how | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    return None


def _give(fd: int, path: Path, group: int) -> None:
    try:
        os.fchown(fd, -1, group)
        os.fchmod(fd, _SHARED)
    except OSError as error:
        kind = NotPermitted if isinstance(error, PermissionError) else SystemFailure
        what = f"cannot share directory {str(path)!r} with group {group}"
        raise kind(f"{what}: {error.strerror}") from error
