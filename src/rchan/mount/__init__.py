"""relayfs: the channels of a directory as files, for programs that know nothing of rchan.

with rchan.mount.Mount("/mnt/relay"):
    ...
"""

from rchan.mount.errors import AlreadyMounted, BadMountPoint, MountFailed, NotMounted
from rchan.mount.filesystem import Filesystem
from rchan.mount.fuse import BACKING_XATTR
from rchan.mount.mounting import unmount
from rchan.mount.server import DEFAULT_TIMEOUT, Mount

__all__ = [
    "BACKING_XATTR",
    "DEFAULT_TIMEOUT",
    "AlreadyMounted",
    "BadMountPoint",
    "Filesystem",
    "Mount",
    "MountFailed",
    "NotMounted",
    "unmount",
]
