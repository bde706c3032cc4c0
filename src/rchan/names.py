"""Names: where channels live, and what a channel or a directory may be called."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rchan import _core
from rchan.cpus import possible
from rchan.errors import (
    BadName,
    ChannelExists,
    ChannelNotFound,
    NotPermitted,
    SystemFailure,
    WrongType,
)
from rchan.groups import Group, chosen, share

CONTROL_SUFFIX: Final = ".chan"
_NAME_MAX: Final = 255
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

Parent = str | os.PathLike[str] | None


def root(group: int | None = None) -> str:
    """The directory of channels without a parent: `RCHAN_DIR`, else `/dev/shm/rchan-<euid>`, or
    `/dev/shm/rchan-group-<group>`.

    Made if it is not there, with mode 0700, or 2770. Raises NotPermitted if it is not ours alone,
    or the group's.
    """
    default = f"/dev/shm/rchan-{os.geteuid()}"
    if group is not None:
        default = f"/dev/shm/rchan-group-{group}"
    path = Path(os.environ.get("RCHAN_DIR") or default).absolute()
    try:
        path.mkdir(0o700, exist_ok=True)
    except FileExistsError:
        pass  # something else: the check says what
    except OSError as error:
        raise _refusal(error, f"cannot make the directory {str(path)!r} for channels") from error
    if group is not None:
        share(path, group)
    return _checked(path, group)


def place(parent: Parent, group: Group) -> tuple[str, int | None]:
    """Absolute path of an existing directory for channels, and the group that shares it.

    parent: None is the root; a relative path is below the root; an absolute one is itself.
    group: as in `rchan.create`. Raises WrongType, BadName (no such group), ChannelNotFound (no such
    directory), NotPermitted (not ours, not the group's; not a member).
    """
    number = chosen(group)
    if parent is None:
        return root(number), number
    path = _parent_path(parent)
    if path.is_absolute():
        return _checked(path, number), number
    at = root(number)
    for part in path.parts:
        at = _checked(Path(at, part), number)
    return at, number


def directory(parent: Parent, group: Group = None) -> str:
    """The directory alone. Raises as `place` does."""
    return place(parent, group)[0]


def _parent_path(parent: str | os.PathLike[str]) -> Path:
    if not isinstance(parent, str | os.PathLike):
        raise WrongType(f"parent must be a path or None, not {type(parent).__name__}")
    path = os.fspath(parent)
    if not isinstance(path, str):
        raise WrongType(f"parent must be a path of type str, not {type(path).__name__}")
    if not path:
        raise BadName("parent is empty: give None for the default directory")
    if "\0" in path:
        raise BadName(f"parent {path!r} contains a NUL character")
    if ".." in Path(path).parts:
        raise BadName(f"parent {path!r} contains '..': give the directory itself")
    return Path(path)


def _checked(directory: Path, group: int | None) -> str:
    """The path, if it is a real directory, ours, that nobody else can write to; else raises.

    With a group: that is the group's, and that nobody else can write to.
    """
    path = str(directory)
    try:
        found = directory.lstat()
    except OSError as error:
        raise _refusal(error, f"directory {path!r} cannot be used for channels") from error
    if stat.S_ISLNK(found.st_mode):
        raise NotPermitted(f"{path!r} is a symbolic link: give the real directory")
    if not stat.S_ISDIR(found.st_mode):
        raise NotPermitted(f"{path!r} is not a directory: remove it or give another one")
    if group is not None:
        _check_shared(path, found, group)
    else:
        _check_private(path, found)
    return path


def _check_shared(path: str, found: os.stat_result, group: int) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_gid != group:
        raise NotPermitted(
            f"directory {path!r} is of group {found.st_gid} (user {found.st_uid}, mode {mode:04o}) "
            f"and not of group {group}: chgrp it and chmod it to 2770, or make one with "
            "relayfs_create_dir(name, group=…)"
        )
    if mode & stat.S_IWOTH:
        raise NotPermitted(
            f"directory {path!r} can be written by everybody (mode {mode:04o}): chmod it to 2770"
        )


def _check_private(path: str, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise NotPermitted(
            f"directory {path!r} belongs to user {found.st_uid}, we are user {os.geteuid()}: "
            "give a directory of your own (parent, or RCHAN_DIR), or say group=, or RCHAN_GROUP, "
            "if it is to be shared with that"
        )
    if found.st_mode & _OTHERS_WRITE:
        mode = stat.S_IMODE(found.st_mode)
        raise NotPermitted(
            f"directory {path!r} can be written by others (mode {mode:04o}): chmod it to 0700, or "
            "say group=, or RCHAN_GROUP, if it is to be shared with that"
        )


def _refusal(error: OSError, what: str) -> Exception:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error, FileNotFoundError):
        remedy = "make it first (mkdir, or rchan.relay.relayfs_create_dir)"
        if os.environ.get("RCHAN_DIR"):
            remedy += ", or set RCHAN_DIR to another one"
        return ChannelNotFound(f"{what}: {reason}: {remedy}")
    if isinstance(error, PermissionError | NotADirectoryError):
        return NotPermitted(f"{what}: {reason}")
    return SystemFailure(f"{what}: {reason}")


def check_base(base: object) -> str:
    """The channel name itself, if it is one. Raises WrongType or BadName."""
    if not isinstance(base, str):
        raise WrongType(f"a channel's name must be a str, not {type(base).__name__}")
    if not base:
        raise BadName("a channel's name must not be empty")
    if base in (".", ".."):
        raise BadName(f"{base!r} is a directory, not a name for a channel")
    for character, word in (("/", "a slash: give the directory as parent"), ("\0", "a NUL")):
        if character in base:
            raise BadName(f"channel name {base!r} contains {word}")
    if base.endswith(CONTROL_SUFFIX):
        raise BadName(f"channel name {base!r} ends in {CONTROL_SUFFIX!r}: leave that off")
    _check_length(base)
    return base


def buffer_names(file_name: str) -> Iterator[tuple[str, int]]:
    """Each channel name and CPU number that make file_name (`app11`: app1 and 1, app and 11)."""
    digits = re.search(r"[0-9]*\Z", file_name)
    first_digit = digits.start() if digits else len(file_name)
    for split in range(len(file_name) - 1, max(first_digit, 1) - 1, -1):
        base, number = file_name[:split], file_name[split:]
        if str(int(number)) == number and not base.endswith(CONTROL_SUFFIX):
            yield base, int(number)


def _check_length(base: str) -> None:
    try:
        length = len(os.fsencode(base))
    except UnicodeEncodeError as error:
        raise BadName(f"channel name {base!r} cannot be encoded as a file name") from error
    digits = len(str(possible()[-1]))
    most = min(_core.BASE_MAX, _NAME_MAX - digits)
    if length > most:
        raise BadName(
            f"channel name {base[:20]!r}… has {length} bytes: with the CPU's number and "
            f"{CONTROL_SUFFIX!r} behind it there is room for {most}"
        )


def relayfs_create_dir(name: str, parent: Parent = None, group: Group = None) -> str:
    """Make a directory for channels, mode 0700; its absolute path (relayfs_create_dir).

    name: one component, without a slash. parent: as in `create`. group: members of this group share
    it (mode 2770); an absolute parent may then be any directory in which one can be made.
    Raises WrongType, BadName, ChannelExists, ChannelNotFound (no such parent), NotPermitted.
    """
    if not isinstance(name, str):
        raise WrongType(f"a directory's name must be a str, not {type(name).__name__}")
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise BadName(f"{name!r} is not a name for a directory: one component, no '/', no NUL")
    number = chosen(group)
    path = Path(_above(parent, number), name)
    try:
        path.mkdir(0o700)
    except FileExistsError as error:
        raise ChannelExists(f"{str(path)!r} exists already") from error
    except UnicodeEncodeError as error:
        raise BadName(f"directory name {name!r} cannot be encoded as a file name") from error
    except OSError as error:
        raise _refusal(error, f"cannot make directory {str(path)!r}") from error
    if number is not None:
        try:
            share(path, number)
        except BaseException:
            path.rmdir()
            raise
    return str(path)


def _above(parent: Parent, group: int | None) -> str:
    """Where a directory is made: a shared one has its own group, whatever is above it has."""
    if group is not None and parent is not None:
        path = _parent_path(parent)
        if path.is_absolute():
            return str(path)
    return directory(parent, "" if group is None else group)


def relayfs_remove_dir(path: Parent, group: Group = None) -> None:
    """Remove an empty directory for channels (relayfs_remove_dir).

    path: what relayfs_create_dir gave, or a path below the root. group: as in `create`. Raises
    ChannelNotFound, NotPermitted (not empty, not ours), WrongType, BadName.
    """
    if path is None:
        raise WrongType("path must name a directory: the root itself is not removed")
    found = Path(directory(path, group))
    try:
        found.rmdir()
    except OSError as error:
        if any(found.iterdir()):
            raise NotPermitted(
                f"directory {str(found)!r} is not empty: remove its channels first (rchan.remove)"
            ) from error
        raise _refusal(error, f"cannot remove directory {str(found)!r}") from error
