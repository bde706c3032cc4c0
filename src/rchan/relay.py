"""The kernel's names. Where the kernel takes a null channel, so do these.

Each is a line of Python: errors are those of the method that it names.
"""

from typing import TYPE_CHECKING, Final

from rchan import _core
from rchan.callbacks import Callbacks
from rchan.channel import Channel, create, open_channels
from rchan.names import Parent, relayfs_create_dir, relayfs_remove_dir

if TYPE_CHECKING:
    from typing_extensions import Buffer as _Bytes

RELAY_STATS_BUF_FULL: Final = 1
RELAY_STATS_WRT_BIG: Final = 2


def relay_open(
    base_filename: str | None,
    parent: Parent,
    subbuf_size: int,
    n_subbufs: int,
    cb: Callbacks | None = None,
    private_data: object = None,
) -> Channel:
    """Create a channel: `rchan.create`.

    base_filename: its name; None: buffer-only. parent: the directory; None: the default one.
    subbuf_size: bytes. n_subbufs: of each buffer. cb: callbacks. private_data: kept as attribute.
    """
    return create(
        base_filename, parent, subbuf_size, n_subbufs, callbacks=cb, private_data=private_data
    )


def relay_write(chan: Channel, data: "_Bytes") -> bool:
    """Write data, a record, to chan: `Channel.write`. False: dropped and counted."""
    return chan.write(data)


def __relay_write(chan: Channel, data: "_Bytes") -> bool:
    """The kernel's faster variant of relay_write(chan, data). True and False are the same here."""
    return chan.write(data)


def relay_reserve(chan: Channel, length: int) -> _core.Reservation | None:
    """Room for length bytes in chan, to fill in and commit; None: no room. `Channel.reserve`."""
    return slot if (slot := chan.reserve(length)).stored else None


def relay_commit(buf: _core.Buffer, reserved: _core.Reservation, count: int | None = None) -> None:
    """Publish the first count bytes of a reservation (relayfs, 2005): `Reservation.commit`.

    buf: as in the kernel, not needed here. reserved: what relay_reserve gave. count: None: all.
    """
    reserved.commit(count)


def relay_flush(chan: Channel | None) -> None:
    """Finish all current sub-buffers of chan: `Channel.flush`."""
    return chan.flush() if chan is not None else None


def relay_reset(chan: Channel | None) -> None:
    """Empty all buffers of chan: `Channel.reset`."""
    return chan.reset() if chan is not None else None


def relay_close(chan: Channel | None) -> None:
    """Finalize and remove chan: `Channel.close`."""
    return chan.close() if chan is not None else None


def relay_subbufs_consumed(chan: Channel | None, cpu: int, subbufs_consumed: int) -> None:
    """Count sub-buffers of chan as read: `Channel.subbufs_consumed`.

    cpu: whose buffer. subbufs_consumed: how many more.
    """
    return chan.subbufs_consumed(cpu, subbufs_consumed) if chan is not None else None


def relay_late_setup_files(chan: Channel, base_filename: str, parent: Parent = None) -> None:
    """Give a buffer-only channel its files: `Channel.late_setup_files`.

    chan: the channel. base_filename, parent: name and directory, as of relay_open.
    """
    chan.late_setup_files(base_filename, parent)


def relay_prepare_cpu(cpu: int) -> None:
    """CPU number cpu comes online: its buffer in every open channel of this process."""
    for chan in open_channels():
        chan.prepare_cpu(cpu)


def relay_buf_full(buf: _core.Buffer) -> bool:
    """Are all sub-buffers of buf finished and unread? `Buffer.full`."""
    return buf.full


def relay_buf_empty(buf: _core.Buffer) -> bool:
    """Is no finished sub-buffer of buf unread? `Buffer.empty`."""
    return buf.empty


def relay_switch_subbuf(buf: _core.Buffer, length: int) -> int:
    """Finish the current sub-buffer of buf: length, if so many bytes fit in the next, else 0."""
    buf.flush()
    return length if buf.offset + length <= buf.subbuf_size else 0


def subbuf_start_reserve(buf: _core.Buffer, length: int) -> bool:
    """From inside subbuf_start, keep length bytes of buf for a header.

    False: the buffer is full.
    """
    return buf.subbuf_start_reserve(length)


def relay_stats(chan: Channel, flags: int) -> int:
    """Records that all buffers of chan lost together: `Channel.stats`.

    flags: RELAY_STATS_BUF_FULL, RELAY_STATS_WRT_BIG, or both for the sum.
    """
    total = chan.stats().total
    return (flags & RELAY_STATS_BUF_FULL and total.dropped_full.records) + (
        flags & RELAY_STATS_WRT_BIG and total.dropped_too_big.records
    )


__all__ = [
    "RELAY_STATS_BUF_FULL",
    "RELAY_STATS_WRT_BIG",
    "__relay_write",
    "relay_buf_empty",
    "relay_buf_full",
    "relay_close",
    "relay_commit",
    "relay_flush",
    "relay_late_setup_files",
    "relay_open",
    "relay_prepare_cpu",
    "relay_reserve",
    "relay_reset",
    "relay_stats",
    "relay_subbufs_consumed",
    "relay_switch_subbuf",
    "relay_write",
    "relayfs_create_dir",
    "relayfs_remove_dir",
    "subbuf_start_reserve",
]
