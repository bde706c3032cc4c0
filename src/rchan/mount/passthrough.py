"""Which memory an mmap of a buffer shows: FUSE passthrough, where the server may do that."""

from errno import EPERM
from fcntl import ioctl

from rchan.mount.opened import OpenBuffer
from rchan.mount.protocol import (
    BACKING_CLOSE,
    BACKING_MAP,
    BACKING_OPEN,
    FOPEN_DIRECT_IO,
    FOPEN_NOFLUSH,
    FOPEN_NONSEEKABLE,
    FOPEN_PASSTHROUGH,
    FOPEN_STREAM,
)

_STREAM = FOPEN_DIRECT_IO | FOPEN_NOFLUSH | FOPEN_STREAM | FOPEN_NONSEEKABLE
_MAPPED = FOPEN_DIRECT_IO | FOPEN_NOFLUSH | FOPEN_PASSTHROUGH


class Passthrough:
    """Registers the buffers' files with the kernel, one id for each as long as it is open.

    It takes CAP_SYS_ADMIN. Without, mmap gives ENODEV.
    """

    def __init__(self, device: int, offered: bool) -> None:
        """device: /dev/fuse. offered: INIT said that the kernel can do it."""
        self._device = device
        self.possible = offered

    def open_flags(self, opened: OpenBuffer) -> tuple[int, int]:
        """What to answer to an OPEN: flags, and the id of the file whose pages mmap shows."""
        if self.possible and not opened.backing_id:
            opened.backing_id = self._register(opened.fd)
        if not opened.backing_id:
            return _STREAM, 0
        return _MAPPED, opened.backing_id

    def _register(self, fd: int) -> int:
        try:
            backing_id: int = ioctl(
                self._device, BACKING_OPEN, bytearray(BACKING_MAP.pack(fd, 0, 0))
            )
            return backing_id
        except OSError as error:
            self.possible = error.errno != EPERM and self.possible
            return 0

    def close(self, opened: OpenBuffer) -> None:
        """Nobody has it open any more."""
        if opened.backing_id:
            ioctl(self._device, BACKING_CLOSE, bytearray(opened.backing_id.to_bytes(4, "little")))
            opened.backing_id = 0
