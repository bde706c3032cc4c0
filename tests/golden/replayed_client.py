"""The client of a replayed trace: its callbacks by MODE and FLAGS, and the log of what happens."""

import weakref
from dataclasses import dataclass, field
from typing import Any

from trace_data import shown_name

import rchan

CALLBACK_MODES = ("noovcb", "ov", "hdr", "ovhdr", "hdrbad")
OVERWRITE_MODES = ("ov", "ovhdr")


@dataclass
class BufferState:
    """What the log keeps of a live buffer."""

    number: int
    sleepers: list[int] = field(default_factory=list)
    """Wake-up epoch that each of them sleeps on."""
    forgotten: int = 0
    """Sleepers that the kernel's close has left asleep (defect D10); ours were told."""
    pending: bool = False
    """A wake-up was asked for and put off."""
    wakeups: int = 0


class Log:
    """Events of the current op, and how many buffers and channels are alive."""

    def __init__(self) -> None:
        self.events: list[list[Any]] = []
        self.states: weakref.WeakKeyDictionary[rchan.Buffer, BufferState] = (
            weakref.WeakKeyDictionary()
        )
        self.channel_end: weakref.finalize | None = None
        self.buffers_made = 0
        self.alive = [0, 0]

    def add(self, *event: Any) -> None:
        """Log it, after any news of wake-ups that came before."""
        self.look_at_wakeups()
        self.events.append(list(event))

    def adopt(self, buf: rchan.Buffer) -> BufferState:
        """The buffer's state; a new one gets its number, and its end will be logged."""
        if buf in self.states:
            return self.states[buf]
        state = self.states[buf] = BufferState(self.buffers_made)
        self.buffers_made += 1
        self.alive[0] += 1
        weakref.finalize(buf, self._freed, 0, "free_buf", state.number).atexit = False
        if self.channel_end is None:
            self.alive[1] = 1
            self.channel_end = weakref.finalize(buf.attachment, self._freed, 1, "free_chan")
            self.channel_end.atexit = False
        return state

    def next_channel(self) -> None:
        """The traces tell of the end of a channel only until the next one is opened."""
        if self.channel_end is not None:
            self.channel_end.detach()
        self.channel_end, self.alive[1] = None, 0

    def refused(self, name: str) -> None:
        """Ours refuses a channel whose name exists at once, the kernel at its first file."""
        self.add("create", shown_name(name), self.buffers_made, "EEXIST")
        self.add("free_buf", self.buffers_made)
        self.add("free_chan")
        self.buffers_made += 1

    def _freed(self, kind: int, *event: Any) -> None:
        self.alive[kind] -= 1
        self.add(*event)

    def live_buffers(self) -> list[rchan.Buffer]:
        """All that are not freed, by number."""
        return sorted(self.states, key=lambda buf: self.states[buf].number)

    def look_at_wakeups(self) -> None:
        """Log sleepers that were told, and wake-ups that were asked for, since the last look."""
        for buf in self.live_buffers():
            state = self.states[buf]
            self._look_at_switches(buf, state)
            epoch, asked = buf._wake_epoch, buf._wake_asked
            woken = [slept for slept in state.sleepers if slept != epoch]
            state.sleepers = [slept for slept in state.sleepers if slept == epoch]
            if state.pending and not asked:
                state.pending = False
                self.events.append(["wake", state.number, len(woken)])
            elif woken:
                self._told_by_ours_only(buf, state, len(woken))

    def _told_by_ours_only(self, buf: rchan.Buffer, state: BufferState, count: int) -> None:
        """Defect D10: the kernel's close and reset tell nobody for whom no wake-up was pending.

        Ours do. Told by reset, a poller finds nothing and sleeps again; told by close, it goes.
        """
        if buf.finalized:
            state.forgotten += count
        else:
            state.sleepers += [buf._sleeper_add() for _ in range(count)]

    def _look_at_switches(self, buf: rchan.Buffer, state: BufferState) -> None:
        wakeups = buf.books().wakeups
        if wakeups != state.wakeups:
            state.wakeups = wakeups
            if state.sleepers:  # else: another look at those whose wake-up is put off
                self.events.append(["irq_queue", state.number, 0 if state.pending else 1])
                state.pending = True


class Client(rchan.Callbacks):
    """Without subbuf_start: the built-in decision.

    The kernel's file names are not always ours: a failed late setup of a channel that has a
    name renames its later files there (defect D8), and its names may be longer than BASE_MAX.
    `kernel_base` is the kernel's idea of the base name, `base` is ours; events show the kernel's.
    """

    def __init__(self, log: Log, mode: str, header: int, flags: dict[str, str]) -> None:
        self.log, self.mode, self.header, self.flags = log, mode, header, flags
        self.base = self.kernel_base = ""
        self.live: dict[str, weakref.ref[rchan.Buffer]] = {}
        self.kernel_names: dict[str, str] = {}
        if "nocreate" in flags or "nocb" in flags:
            self.create_buf_file = None
        if "noremove" in flags or "nocb" in flags:
            self.remove_buf_file = None

    def create_buf_file(self, filename, parent, mode, buf, is_global):
        """Log it, do it, unless the trace wants a failure."""
        self.log.look_at_wakeups()
        number = self.log.adopt(buf).number
        is_global.value = "global" in self.flags
        name = None if filename is None else self.kernel_base + filename[len(self.base) :]
        answer, path = self._make_file(filename, name, parent, mode, buf, is_global)
        self.log.add("create", shown_name(name), number, answer)
        return path

    def _make_file(self, filename, name, parent, mode, buf, is_global):
        if name is None:
            return ("null", None) if "retnull" in self.flags else ("ok", True)
        if name[-1] == self.flags.get("failcreate"):
            return "ENOMEM", None
        if name[-1] == self.flags.get("failnull"):
            return "null", None
        try:
            path = super().create_buf_file(filename, parent, mode, buf, is_global)
        except FileExistsError:
            return "EEXIST", None
        self.live[name] = weakref.ref(buf)
        self.kernel_names[path] = name
        return "ok", path

    def remove_buf_file(self, path):
        """Log it, do it."""
        name = None if path is None else self.kernel_names.pop(path)
        self.log.add("remove", shown_name(name))
        if name is not None:
            del self.live[name]
            super().remove_buf_file(path)


class StartingClient(Client):
    """With subbuf_start, as README.md describes each MODE."""

    def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
        """Decide, write headers, log."""
        self.log.look_at_wakeups()
        produced, n = buf.subbufs_produced, buf.n_subbufs
        go_on = self._decide(buf, subbuf, prev_subbuf, prev_padding)
        prev = None if prev_subbuf is None else (produced - 1) % n
        number = self.log.adopt(buf).number
        self.log.add("start", number, produced % n, prev, prev_padding, int(go_on))
        return go_on

    def _decide(self, buf, subbuf, prev_subbuf, prev_padding):
        if self.mode == "hdrbad":
            self._write_header(buf, subbuf)
        full = buf.full
        if prev_subbuf is not None and self.header:
            prev_subbuf[0:4] = prev_padding.to_bytes(4, "little")
        if full and self.mode not in OVERWRITE_MODES:
            return False
        if self.mode != "hdrbad":
            self._write_header(buf, subbuf)
        return True

    def _write_header(self, buf, subbuf):
        header = bytearray(b"\xee" * self.header)
        header[0:4] = b"\xff\xff\xff\xff"
        if self.header >= 8:
            header[4:8] = (buf.subbufs_produced & 0xFFFFFFFF).to_bytes(4, "little")
        if self.header and buf.subbuf_start_reserve(self.header):
            subbuf[: self.header] = header
