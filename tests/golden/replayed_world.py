"""The world of a replayed trace: CPUs, one channel, descriptors; an op line in, a record out."""

import os
import tempfile
import warnings
from typing import Any

from replayed_client import CALLBACK_MODES, OVERWRITE_MODES, Client, Log, StartingClient
from replayed_files import Descriptor, FileOps
from trace_data import expanded, fnv1a, payload, shown_data

import rchan
from rchan import cpus

KERNEL_NAME_MAX = 254
"""The longest base name that leaves room for a digit in a file name."""


def members(mask: str) -> set[int]:
    """CPU numbers of a hexadecimal mask."""
    bits = int(mask, 16)
    return {cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1}


class World(FileOps):
    """`perform` finds the method op_<word> for an op line; `world` begins anew."""

    def __init__(self) -> None:
        warnings.simplefilter("always", rchan.RchanWarning)
        warnings.showwarning = self._warned
        self.directory: tempfile.TemporaryDirectory[str] | None = None
        self._begin({0}, {0})

    def _begin(self, possible: set[int], online: set[int]) -> None:
        self.directory = self._make_directory()
        os.environ["RCHAN_DIR"] = self.directory.name
        self.possible, self.online = possible, online
        self.cpu = min(online)
        self.chan: rchan.Channel | None = None
        self.older: list[rchan.Channel] = []
        self.client: Client | None = None
        self.log = Log()
        self.files: dict[int, Descriptor] = {}
        self.n_files = 0

    def _make_directory(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="rchan-replay-", dir="/dev/shm")

    def shut(self) -> None:
        """What is left when there is no other world to come."""

    def end(self) -> None:
        """Close everything that is left."""
        self.op_close()
        for chan in self.older:
            chan.close()
        for descriptor in self.files.values():
            descriptor.close()
        self.files.clear()
        if self.directory is not None:
            self.directory.cleanup()

    def perform(self, line: str) -> dict[str, Any]:
        """The record of one op."""
        op, *words = line.split()
        self.log.events.clear()
        with cpus.injected(self.possible, self.online):
            record = {"op": line} | getattr(self, "op_" + op)(*words)
            self.log.look_at_wakeups()
            if self.log.events:
                record["ev"] = list(self.log.events)
            if self.chan is not None:
                has_name = int(self.chan.name is not None)
                is_global = int("global" in self.client.flags)
                record["ch"] = [self.chan.last_toobig, is_global, has_name]
            if "st" in record:
                record["st"] = self._states(record["st"])
                if record["st"] is None:
                    del record["st"]
            if op in ("open", "prepare", "close", "release"):
                record["alive"] = list(self.log.alive)
        return record

    # what stands in a record

    def _states(self, wanted: Any) -> dict[str, Any] | None:
        """`st` of the channel's buffers ("all"; no channel: what files keep), or of those given."""
        if wanted == "all":
            live = self.chan.buffers.values() if self.chan else self.log.live_buffers()
            return {str(buf.index): self._state(buf) for buf in live}
        live = [buf for buf in wanted if buf is not None]
        return {str(buf.index): self._state(buf) for buf in live} or None

    def _state(self, buf: rchan.Buffer) -> list[Any]:
        log = self.log.states[buf]
        produced, n = buf.subbufs_produced, buf.n_subbufs
        full = buf.offset > buf.subbuf_size
        opened = sum(descriptor.file.buffer is buf for descriptor in self.files.values())
        held = self.chan is not None and buf.attachment is self.chan.attachment
        return [
            produced,
            buf.subbufs_consumed,
            buf.bytes_consumed,
            buf.offset,
            (produced - 1 if full else produced) % n,
            list(buf.padding[:64]),
            int(buf.finalized),
            buf.early_bytes,
            buf.file_size,
            int(log.pending),
            len(log.sleepers) + log.forgotten,
            int(held) + opened,
        ]

    def _warned(self, message: Any, *_: Any) -> None:
        if isinstance(message, rchan.RchanWarning):
            self.log.add("printk")

    def _buffer(self, cpu: int) -> rchan.Buffer | None:
        return self.chan.buffers.get(cpu) if self.chan is not None else None

    # CPUs

    def op_world(self, possible: str, online: str) -> dict[str, Any]:
        self.end()
        self._begin(members(possible), members(online))
        return {"r": "ok"}

    def op_cpu(self, cpu: str) -> dict[str, Any]:
        if int(cpu) not in self.online:
            return {"r": "offline"}
        self.cpu = int(cpu)
        return {"r": "ok"}

    def op_online(self, cpu: str) -> dict[str, Any]:
        self.online = self.online | {int(cpu)}
        return {"r": "ok"}

    def op_offline(self, cpu: str) -> dict[str, Any]:
        left = sorted(self.online - {int(cpu)})
        if not left:
            return {"r": "last"}
        self.online = set(left)
        if self.cpu == int(cpu):
            self.cpu = next((other for other in left if other > self.cpu), left[0])
        return {"r": "ok", "cur": self.cpu}

    def op_prepare(self, cpu: str) -> dict[str, Any]:
        result = 0
        if self.chan is not None:
            try:
                self.chan.prepare_cpu(int(cpu))
            except rchan.RchanError:
                result = -12
        return {"r": result, "st": "all"}

    # the channel

    def op_open(
        self, name: str, size: str, n: str, mode: str, header: str, *flags: str
    ) -> dict[str, Any]:
        options = {key: value for key, _, value in (flag.partition("=") for flag in flags)}
        kind = StartingClient if mode in CALLBACK_MODES else Client
        client = kind(self.log, mode, int(header), options)
        base = self._name(client, name)
        self.log.next_channel()
        try:
            chan = rchan.create(
                base,
                subbuf_size=int(size),
                n_subbufs=int(n),
                overwrite=mode in OVERWRITE_MODES,
                n_buffers=max(self.possible) + 1,
                callbacks=client,
            )
        except rchan.ChannelExists:
            self.log.refused(f"{client.kernel_base}{min(self.online)}")
            return {"r": "null", "st": "all"}
        except rchan.RchanError:
            return {"r": "null", "st": "all"}
        if self.chan is not None:
            self.older.append(self.chan)
        self.chan, self.client = chan, client
        self.chan._defer_wakeups = True
        return {"r": "ok", "alloc": self.chan.alloc_size, "st": "all"}

    def _name(self, client: Client, name: str) -> str | None:
        """Ours, for one of the kernel's: None for `-`, another one where ours has no room."""
        if name == "-":
            return None
        client.kernel_base = client.base = expanded(name)
        if 250 < len(client.kernel_base) <= KERNEL_NAME_MAX:
            client.base = client.kernel_base[:200]
        return client.base

    def op_late(self, name: str) -> dict[str, Any]:
        return {"r": self._late(name), "st": "all"}

    def _late(self, name: str) -> int:
        if self.chan is None or name == "-":
            return -22
        if self.chan.name is not None:
            try:
                self.chan.late_setup_files(expanded(name))
            except rchan.ChannelExists:
                self.client.kernel_base = expanded(name)
                return -17
            return 0
        try:
            self.chan.late_setup_files(self._name(self.client, name))
        except rchan.ChannelExists:
            return -17
        except rchan.RchanError:
            return -12
        return 0

    def op_flush(self) -> dict[str, Any]:
        if self.chan is not None:
            self.chan.flush()
        return {"r": "ok", "st": "all"}

    def op_reset(self) -> dict[str, Any]:
        if self.chan is not None:
            self.chan.reset()
        return {"r": "ok", "st": "all"}

    def op_close(self) -> dict[str, Any]:
        if self.chan is not None:
            self.chan.close()
        self.chan = None
        return {"r": "ok", "st": "all"}

    def op_consumed(self, cpu: str, k: str) -> dict[str, Any]:
        if self.chan is not None:
            self.chan.subbufs_consumed(int(cpu), int(k))
        return {"r": "ok", "st": [self._buffer(int(cpu))]}

    def op_irq(self) -> dict[str, Any]:
        return {"r": self.chan._run_wakeups() if self.chan is not None else 0}

    # writing

    def op_write(self, sequence: str, length: str) -> dict[str, Any]:
        buf = self._buffer(self.cpu)
        if buf is None:
            return {"r": "nochan" if self.chan is None else "nobuf"}
        too_big = buf.books().dropped_too_big_records
        stored = self.chan.write(payload(int(sequence), int(length)), self.cpu)
        was_too_big = buf.books().dropped_too_big_records != too_big
        return {"r": "ok" if stored else "toobig" if was_too_big else "full", "st": [buf]}

    op_wwrite = op_write

    def op_reserve(self, sequence: str, length: str) -> dict[str, Any]:
        buf = self._buffer(self.cpu)
        if buf is None:
            return {"r": "nochan" if self.chan is None else "nobuf"}
        with self.chan.reserve(int(length), self.cpu) as slot:
            position = slot.position if slot.stored else None
            if slot.stored:
                slot[:] = payload(int(sequence), int(length))
        return {"r": position, "st": [buf]}

    def op_full(self, cpu: str) -> dict[str, Any]:
        if self.chan is None:
            return {"r": "nochan"}
        buf = self._buffer(int(cpu))
        return {"r": None if buf is None else int(buf.full)}

    def op_mem(self, cpu: str, offset: str, length: str) -> dict[str, Any]:
        buf = self._buffer(int(cpu))
        if buf is None:
            return {"r": "nochan" if self.chan is None else "nobuf"}
        data = bytes(buf.memory[int(offset) : int(offset) + int(length)])
        return {"r": "ok", "data": shown_data(data)}

    def op_hash(self, cpu: str) -> dict[str, Any]:
        buf = self._buffer(int(cpu))
        if buf is None:
            return {"r": "nochan" if self.chan is None else "nobuf"}
        return {"r": fnv1a(buf.memory)}
