"""The real channel against a model of SPEC in plain Python, by random operations."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import rchan

HEADER = b"\xee\xee"


@dataclass
class Model:
    """One buffer, as SPEC has it."""

    size: int
    n: int
    overwrite: bool
    header: bytes
    produced: int = 0
    consumed: int = 0
    bytes_consumed: int = 0
    full: bool = False
    subbufs: dict[int, bytes] = field(default_factory=dict)
    attempts: int = 0
    written: int = 0
    dropped_full: int = 0
    dropped_too_big: int = 0

    def __post_init__(self) -> None:
        self.subbufs = {0: self.header}

    @property
    def offset(self) -> int:
        return self.size + 1 if self.full else len(self.subbufs[self.produced])

    def switch(self) -> bool:
        if not self.full:
            self.produced += 1
            self.full = True
        if not self.overwrite and self.produced - self.consumed >= self.n:
            return False
        self.full = False
        self.subbufs[self.produced] = self.header
        return True

    def write(self, data: bytes) -> bool:
        self.attempts += bool(data)
        if self.offset + len(data) > self.size:
            if len(data) > self.size:
                self.dropped_too_big += 1
                return False
            if not self.switch():
                self.dropped_full += 1
                self.attempts += not data
                return False
            if self.offset + len(data) > self.size:
                self.dropped_too_big += 1
                return False
        self.subbufs[self.produced] += data
        self.written += bool(data)
        return True

    def reset(self) -> None:
        self.produced = self.consumed = self.bytes_consumed = 0
        self.full = False
        self.subbufs = {0: self.header}

    def subbufs_consumed(self, k: int) -> None:
        if k <= self.n and (moved := min(self.produced, self.consumed + k) - self.consumed) > 0:
            self.consumed += moved
            self.bytes_consumed = 0

    def lap(self) -> None:
        if self.overwrite and self.produced - self.consumed >= self.n:
            self.consumed = self.produced - self.n + 1
            self.bytes_consumed = 0

    def step_over(self) -> None:
        """A finished sub-buffer that was read to its end is consumed."""
        while (
            self.consumed < self.produced
            and len(self.subbufs[self.consumed]) == self.bytes_consumed
        ):
            self.consumed += 1
            self.bytes_consumed = 0

    def read(self, count: int) -> bytes:
        if not count:
            return b""
        self.lap()
        got = b""
        self.step_over()
        while len(got) < count and not (self.full and self.consumed == self.produced):
            there = self.subbufs[self.consumed][self.bytes_consumed :]
            part = there[: count - len(got)]
            if not part:
                break
            got += part
            self.bytes_consumed += len(part)
            self.step_over()
        return got

    def finished(self) -> bytes | None:
        """What take gives."""
        self.lap()
        self.step_over()
        if self.consumed == self.produced:
            return None
        return self.subbufs[self.consumed][self.bytes_consumed :]


class Header(rchan.Callbacks):
    """The built-in decision, and a header."""

    def __init__(self, overwrite: bool) -> None:
        self.overwrite = overwrite

    def subbuf_start(self, buf, subbuf, prev_subbuf, prev_padding):
        if buf.full and not self.overwrite:
            return False
        assert buf.subbuf_start_reserve(len(HEADER))
        subbuf[: len(HEADER)] = HEADER
        return True


class Machine(RuleBasedStateMachine):
    """Every rule does the same to both and compares what comes out."""

    records = st.binary(max_size=14)

    @initialize(
        size=st.integers(4, 12), n=st.integers(1, 4), overwrite=st.booleans(), header=st.booleans()
    )
    def begin(self, size, n, overwrite, header):
        self.model = Model(size, n, overwrite, HEADER if header else b"")
        self.channel = rchan.create(
            None,
            subbuf_size=size,
            n_subbufs=n,
            n_buffers=1,
            overwrite=overwrite,
            callbacks=Header(overwrite) if header else None,
        )
        self.buffer = self.channel.buffers[0]

    @rule(data=records)
    def write(self, data):
        assert self.channel.write(data) == self.model.write(data)

    @rule(data=records)
    def reserve_and_commit(self, data):
        """A reservation of nothing that finds the buffer full gives no place, as in relay."""
        no_place = self.model.full and not data
        with self.channel.reserve(len(data)) as slot:
            assert slot.stored == (self.model.write(data) and not no_place)
            if slot.stored:
                slot[:] = data

    @rule()
    def flush(self):
        self.channel.flush()
        self.model.switch()

    @rule()
    def reset(self):
        self.channel.reset()
        self.model.reset()

    @rule(k=st.integers(0, 6))
    def subbufs_consumed(self, k):
        self.channel.subbufs_consumed(0, k)
        self.model.subbufs_consumed(k)

    @rule(count=st.integers(0, 40))
    def read(self, count):
        assert self.buffer.read(count) == self.model.read(count)

    @rule(back=st.booleans())
    def take(self, back):
        held = self.buffer.take()
        wanted = self.model.finished()
        if wanted is None:
            assert held is None
            return
        with held.data as data:
            assert bytes(data) == wanted
        if back:
            assert held.give_back()
            self.model.bytes_consumed += len(wanted)
            self.model.step_over()
        else:
            held.put_down()

    @invariant()
    def same_state(self):
        if not hasattr(self, "channel"):
            return
        buffer, model = self.buffer, self.model
        assert (buffer.subbufs_produced, buffer.offset) == (model.produced, model.offset)
        assert buffer.full == (model.produced - model.consumed >= model.n)
        assert (buffer.poll() != 0) == (model.produced != model.consumed)
        for seq in range(max(0, model.produced - model.n), model.produced):
            if seq % model.n != model.produced % model.n or model.full:
                assert buffer.padding[seq % model.n] == model.size - len(model.subbufs[seq])

    @invariant()
    def books_close(self):
        if not hasattr(self, "channel"):
            return
        total = self.channel.stats().total
        assert total.closes
        assert total.attempted.records == self.model.attempts
        assert total.written.records == self.model.written
        assert total.dropped_full.records == self.model.dropped_full
        assert total.dropped_too_big.records == self.model.dropped_too_big

    def teardown(self):
        if hasattr(self, "channel"):
            self.channel.detach()


Machine.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestMachine = Machine.TestCase
