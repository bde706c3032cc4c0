"""What makes a recording of events a trace as it is: metadata, and both ends of its streams."""

from rchan._core import Buffer
from rchan.channel import Channel
from rchan.events.ctf import closing_packet, metadata_files, opening_packet
from rchan.events.packet import PACKET_HEADER, PacketHeader, again
from rchan.recorder.place import Place
from rchan.recorder.rotation import RotatingSink


class Description:
    """Of a channel that holds events; of any other there is nothing to do."""

    def __init__(self, channel: Channel, place: Place | None, with_ctf2: bool = False) -> None:
        self._channel = channel
        self._with_ctf2 = with_ctf2
        self._place = place if channel.events else None
        self._described = 0  # bytes of the channel's metadata
        self._there = False

    def renew(self, clock: bool = False) -> None:
        """Put the file `metadata` in place if there are new types of events, or for a better clock.

        Before their packets are recorded: so they can be read whatever happens next. Raises
        RecordingFailed.
        """
        if self._place is None:
            return
        fresh = len(self._channel._metadata(self._described))
        if fresh or clock or not self._there:
            for name, content in metadata_files(self._channel, self._with_ctf2).items():
                self._place.put(name, content)
            self._described += fresh
            self._there = True

    def opening(self, buffer: Buffer, from_birth: bool, head: bytes) -> bytes:
        """What a new stream file begins with: an empty packet, to count losses from; or nothing.

        head: how the newest sub-buffer before it began. from_birth: there was none.
        """
        if self._place is None:
            return b""
        if len(head) >= PACKET_HEADER.size:
            return again(PacketHeader.parse(head)).pack()
        return opening_packet(self._channel, buffer).pack() if from_birth else b""

    def conclude(self, buffer: Buffer, sink: object) -> None:
        """Losses after the last packet of a stream: an empty packet tells readers of them.

        Raises RecordingFailed.
        """
        if self._place is None or not isinstance(sink, RotatingSink):
            return
        head = sink.head()
        if len(head) < PACKET_HEADER.size:
            return
        last = closing_packet(buffer, PacketHeader.parse(head))
        if last is not None:
            sink.conclude(last)
