"""The ops of a replayed trace that work on open files and their pipes."""

import os
from dataclasses import dataclass, field
from fcntl import F_SETPIPE_SZ, fcntl
from typing import Any

from replayed_client import Client, Log
from trace_data import expanded, fnv1a, page_parts, shown_data

import rchan

PAGE = 4096


@dataclass
class Descriptor:
    """An open file and its own pipe: [bytes, bytes with padding] of each entry in it."""

    file: rchan.RelayFile
    pipe: tuple[int, int] = field(default_factory=os.pipe)
    slots: int = 16
    entries: list[list[int]] = field(default_factory=list)

    def close(self) -> None:
        """All of it."""
        self.file.close()
        os.close(self.pipe[0])
        os.close(self.pipe[1])


class FileOps:
    """A part of World."""

    client: Client | None
    log: Log
    files: dict[int, Descriptor]
    n_files: int

    def op_fopen(self, name: str) -> dict[str, Any]:
        found = self.client.live.get(expanded(name)) if self.client else None
        buf = found() if found is not None else None
        if buf is None:
            return {"r": "ENOENT"}
        number, self.n_files = self.n_files, self.n_files + 1
        self.files[number] = Descriptor(self._open_file(buf))
        return {"r": number, "st": [buf]}

    def _open_file(self, buf: rchan.Buffer) -> rchan.RelayFile:
        return rchan.RelayFile(buf, self.client)

    def _opened(self, number: str) -> Descriptor | None:
        return self.files.get(int(number))

    def op_read(self, number: str, count: str, *_: str) -> dict[str, Any]:
        descriptor = self._opened(number)
        if descriptor is None:
            return {"r": "EBADF"}
        data = descriptor.file.read(int(count))
        record = {"r": len(data), "st": [descriptor.file.buffer]}
        return record | ({"data": shown_data(data)} if data else {})

    def op_poll(self, number: str, wait: str = "") -> dict[str, Any]:
        descriptor = self._opened(number)
        if descriptor is None:
            return {"r": "EBADF"}
        buf = descriptor.file.buffer
        mask = descriptor.file.poll()
        if wait and not mask:
            self.log.states[buf].sleepers.append(buf._sleeper_add())
        return {"r": mask, "st": [buf]}

    def op_unpoll(self, number: str) -> dict[str, Any]:
        descriptor = self._opened(number)
        if descriptor is None:
            return {"r": "EBADF"}
        buf = descriptor.file.buffer
        sleepers = self.log.states[buf].sleepers
        if sleepers:
            buf._sleeper_remove(sleepers.pop())
        elif self.log.states[buf].forgotten:
            self.log.states[buf].forgotten -= 1
        return {"r": "ok", "st": [buf]}

    def op_mmap(self, number: str, length: str) -> dict[str, Any]:
        descriptor = self._opened(number)
        if descriptor is None:
            return {"r": "EBADF"}
        states = [descriptor.file.buffer]
        try:
            view = descriptor.file.mmap(int(length))
        except rchan.GeometryError:
            return {"r": -22, "st": states}
        return {"r": 0, "hash": fnv1a(view), "st": states}

    def op_splice(self, number: str, length: str, nonblock: str) -> dict[str, Any]:
        descriptor = self._opened(number)
        if descriptor is None:
            return {"r": "EBADF"}
        parts, padded = self._pipe_parts(descriptor, int(length))
        states = [descriptor.file.buffer]
        try:
            moved = descriptor.file.splice(descriptor.pipe[1], sum(parts), nonblock == "1")
        except BlockingIOError:
            return {"r": -11, "pipe": [], "st": states}
        if int(length) and not moved and nonblock == "1":
            return {"r": -11, "pipe": [], "st": states}
        assert moved == sum(parts)
        entries = [[part, part] for part in parts]
        if entries:
            entries[-1][1] += padded
        descriptor.entries += entries
        return {"r": moved, "pipe": [list(entry) for entry in entries], "st": states}

    def _pipe_parts(self, descriptor: Descriptor, length: int) -> tuple[list[int], int]:
        """Pipe entries for what is finished, one a page as in the kernel; the padding behind it."""
        held = descriptor.file.buffer.take()
        if held is None:
            return [], 0
        buf = descriptor.file.buffer
        start = held.seq % buf.n_subbufs * buf.subbuf_size + held.skipped
        there, rest = held.length, buf.subbuf_size - held.skipped - held.length
        held.put_down()
        free = descriptor.slots - len(descriptor.entries)
        parts = page_parts(start, min(length, there))[:free]
        return parts, rest if sum(parts) == there else 0

    def op_pipesize(self, number: str, slots: str) -> dict[str, Any]:
        descriptor = self._opened(number)
        if descriptor is None:
            return {"r": "EBADF"}
        descriptor.slots = int(slots)
        fcntl(descriptor.pipe[1], F_SETPIPE_SZ, max(16, int(slots)) * PAGE)
        return {"r": "ok"}

    def op_drain(self, number: str, count: str) -> dict[str, Any]:
        descriptor = self._opened(number)
        if descriptor is None:
            return {"r": "EBADF"}
        n = int(count) or len(descriptor.entries)
        taken, descriptor.entries = descriptor.entries[:n], descriptor.entries[n:]
        wanted, data = sum(entry[0] for entry in taken), b""
        while len(data) < wanted:
            data += os.read(descriptor.pipe[0], wanted - len(data))
        record = {"r": len(data), "bufs": len(taken), "st": [descriptor.file.buffer]}
        return record | ({"data": shown_data(data)} if data else {})

    def op_release(self, number: str) -> dict[str, Any]:
        descriptor = self.files.pop(int(number), None)
        if descriptor is None:
            return {"r": "EBADF"}
        state = self.log.states[descriptor.file.buffer].number
        descriptor.close()
        del descriptor
        alive = [buf for buf, log in self.log.states.items() if log.number == state]
        return {"r": 0, "st": alive}
