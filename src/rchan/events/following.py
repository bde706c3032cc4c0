"""Following a live channel without consuming: also what is in packets that are not finished."""

from time import monotonic
from typing import Final

from rchan import _core
from rchan.channel import Channel
from rchan.events.packet import PACKET_HEADER
from rchan.events.sources import Live, add_types

_INTERVAL: Final = 0.2  # seconds between two looks at packets that are not finished


class Following(Live):
    """A tap for the finished packets, and now and then a snapshot for the others."""

    def __init__(self, channel: Channel, wanted: frozenset[str] | None) -> None:
        """Raises WrongChannel: of plain records."""
        self._tap = channel.tap(start="oldest")
        super().__init__(self._tap, wanted)
        self._told: dict[int, tuple[int, int]] = {}  # buffer -> number, bytes of its packet so far
        self._copies = channel.snapshot
        self._look_at = 0.0

    def _feed(self, decoder: _core.Decoder, wait: float) -> bool:
        packet = self._tap.take(min(wait, _INTERVAL))
        if packet is not None:
            return self._give(decoder, packet)
        if monotonic() < self._look_at:
            return False
        self._look_at = monotonic() + _INTERVAL
        positions = self._tap.positions
        copies = [copy for copy in self._copies() if not copy.finished]
        found = [
            self._give(decoder, copy)
            for copy in copies
            if copy.seq == positions.get(copy.cpu) and len(copy) > PACKET_HEADER.size
        ]
        return any(found)

    def _give(self, decoder: _core.Decoder, copy: _core.SubbufCopy) -> bool:
        """Feed what was not fed of this packet before."""
        number, done = self._told.get(copy.cpu, (-1, 0))
        if copy.was_reset or number != copy.seq:
            done = 0
        self._told[copy.cpu] = (copy.seq, len(copy))
        if done >= len(copy):
            return False
        self.schemas.refresh(self._channel)
        add_types(decoder, self.schemas, self._wanted)
        with copy.data as data:
            if done:
                rest = bytes(data[: PACKET_HEADER.size]) + bytes(data[done:])
                decoder.feed(copy.cpu, rest, False)
            else:
                decoder.feed(copy.cpu, data, copy.finished)
        decoder.set_open(copy.cpu, True)
        self._fed[copy.cpu] = monotonic()
        return True
