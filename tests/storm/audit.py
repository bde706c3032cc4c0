"""What a recording must have after a storm, compared with what each writer knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from records import STORED, UNKNOWN, Ledger, TornError, records

import rchan
from rchan import _core, tracefile
from rchan.events import tsdl
from rchan.events.sources import add_types

FINDINGS = ("torn", "duplicated", "invented", "uncounted")
Finding = tuple[str, str]


class Packets:
    """Takes the records out of the packets of events of a recording."""

    def __init__(self, folder: Path) -> None:
        self._schemas, self._clock = tsdl.from_text((folder / tsdl.NAME).read_text("utf-8"))

    def records(self, packet: bytes) -> Iterator[tuple[int, int]]:
        """As the function of that name. Raises TornError."""
        clock = self._clock
        anchor = clock.anchor.stamp, clock.anchor.realtime_ns
        decoder = _core.Decoder(clock.uuid.bytes, *anchor, clock.frequency)
        add_types(decoder, self._schemas, None)
        decoder.feed(0, packet, True)
        for *_, fields in decoder.rows(len(packet), True):
            yield from records(fields["record"])
        *_, damage = decoder.counts()
        if damage:
            raise TornError(damage)


class Audit:
    """recorder_kills: how often a sub-buffer may have been recorded and yet overwritten, because
    its recorder was killed before it gave it back."""

    def __init__(
        self, channel: rchan.Channel, ledger: Ledger, writers: int, recorder_kills: int
    ) -> None:
        self.channel = channel
        self.ledger = ledger
        self.writers = writers
        self.recorder_kills = recorder_kills
        self.counts: Counter[str] = Counter()
        self.found: Counter[tuple[int, int]] = Counter()

    def findings(self, folder: Path) -> Iterator[Finding]:
        """(crime, text) of all that is wrong. folder: as of `rchan record -o`."""
        with tracefile.open(folder) as trace:
            if len(trace.channels) != 1:
                names = ", ".join(channel.directory.name for channel in trace.channels)
                yield "duplicated", f"one channel was recorded to {names}"
            for channel in trace.channels:
                yield from self._read(channel)
                yield from self._books(channel)
        yield from self._records()

    def _read(self, channel: tracefile.RecordedChannel) -> Iterator[Finding]:
        """Whole, complete, no sub-buffer left out between two others."""
        records_in = records if self.channel._clock is None else Packets(channel.directory).records
        for sub in channel.subbufs():
            found = 0
            try:
                for who in records_in(bytes(sub.data)):
                    self.found[who] += 1
                    found += 1
            except TornError as error:
                yield "torn", f"sub-buffer {sub.seq} of buffer {sub.cpu} at {error.args[0]}"
            self.counts["checked"] += found
            if found != sub.records:
                yield "torn", f"sub-buffer {sub.seq} has {found} of {sub.records} records"
        for problem in channel.problems:
            yield "uncounted" if problem.kind == "gap" else "torn", problem.text

    def _books(self, channel: tracefile.RecordedChannel) -> Iterator[Finding]:
        """The manifest says what the channel says, and what was found."""
        recording, total = channel.recording, self.channel.stats().total
        if recording is None or not channel.complete:
            yield "uncounted", f"the recording is not complete: {recording}"
            return
        if recording.books != total:
            yield "uncounted", f"the manifest has {recording.books}, the channel {total}"
        recorded = sum(self.found.values())
        if recording.records != recorded:
            yield "uncounted", f"{recording.records} in the manifest, {recorded} recorded"
        if recording.lost.get("overwritten", rchan.Count()) != total.overwritten:
            yield "uncounted", f"lost {recording.lost}, the channel says {total}"
        twice = recorded + total.overwritten.records - total.written.records
        most = self.recorder_kills * self.channel.n_buffers * self.channel.subbuf_size // 16
        if not 0 <= twice <= most * self.channel.overwrite:
            text = f"{total.written.records} written, {recorded} recorded, "
            yield "uncounted", f"{text}{total.overwritten.records} overwritten"
        self.counts["recorded"] += recorded
        self.counts["resumed"] += sum(event.what == "resumed" for event in recording.events)

    def _records(self) -> Iterator[Finding]:
        """Each record: as its writer knows it."""
        again = sum(count - 1 for count in self.found.values())
        if again:
            yield "duplicated", f"{again} records"
        missing = stored = unknown = 0
        for writer in range(self.writers):
            for number, fate in enumerate(self.ledger.fates(writer)):
                stored += fate == STORED
                unknown += fate == UNKNOWN
                missing += fate == STORED and (writer, number) not in self.found
        for writer, number in self.found:
            if self.ledger.fate(writer, number) not in (STORED, UNKNOWN):
                yield "invented", f"record {number} of writer {writer}"
        total = self.channel.stats().total
        written, gone = total.written.records, total.overwritten.records
        if not total.closes or total.readable.records or not stored <= written <= stored + unknown:
            yield "uncounted", f"stored {stored}, killed in a write {unknown}: {total}"
        if missing > gone:
            yield "uncounted", f"{missing} records are missing, {gone} counted"
        self.counts["stored"] += written
        self.counts["overwritten"] += gone
        self.counts["killed_in_a_write"] += unknown
