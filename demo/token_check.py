"""The checker: is every token in the files exactly once, or counted as dropped?"""

import json
import mmap
from pathlib import Path
from zlib import crc32

from rchan.recorder import Recording, load
from token_records import unpack_all

UNSEEN, RECORDED, REFUSED = 0, 1, 2
MOST_COMPLAINTS = 10


class Check:
    """Compares what the workers say with what the files hold and what the books say.

    `complaints` is empty if and only if everything is accounted for.
    """

    def __init__(self, directory: Path, name: str, reports: list[Path]) -> None:
        self.recording: Recording = load(directory / name)
        self.workers = [json.loads(path.read_text()) for path in sorted(reports)]
        self.complaints: list[str] = []
        self.attempted = sum(worker["attempted"] for worker in self.workers)
        self.recorded = 0
        self.refused = 0
        self._seen = {w["number"]: bytearray(w["attempted"]) for w in self.workers}
        self._checksums = dict.fromkeys(self._seen, 0)

    def run(self) -> None:
        self._mark_refused()
        for path, file in zip(self.recording.paths, self.recording.files, strict=True):
            found = self._mark_file(path)
            self._expect(f"records in {path.name}", found, file.records)
            self._expect(f"bytes in {path.name}", path.stat().st_size, file.bytes)
        for worker in self.workers:
            number = worker["number"]
            missing = self._seen[number].count(UNSEEN)
            self._expect(f"tokens of worker {number} that are nowhere", missing, 0)
            self._expect(
                f"checksum of worker {number}", self._checksums[number], worker["checksum"]
            )
        self._check_books()

    def _mark_refused(self) -> None:
        for worker in self.workers:
            seen = self._seen[worker["number"]]
            for first, last in worker["refused"]:
                seen[first : last + 1] = bytes([REFUSED]) * (last - first + 1)
            self.refused += seen.count(REFUSED)

    def _mark_file(self, path: Path) -> int:
        if not path.stat().st_size:
            return 0
        before = self.recorded
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            memoryview(data) as view,
        ):
            self._mark_records(path, view)
        return self.recorded - before

    def _mark_records(self, path: Path, view: memoryview) -> None:
        try:
            for token in unpack_all(view):
                self.recorded += 1
                with token.record:
                    self._mark(token.worker, token.seq, crc32(token.record))
        except ValueError as error:
            self._complain(f"{path.name}: {error}")

    def _mark(self, worker: int, seq: int, checksum: int) -> None:
        seen = self._seen.get(worker)
        if seen is None or seq >= len(seen):
            self._complain(f"worker {worker} wrote no token {seq}")
        elif seen[seq] != UNSEEN:
            state = "recorded twice" if seen[seq] == RECORDED else "refused, but recorded"
            self._complain(f"token {seq} of worker {worker} is {state}")
        else:
            seen[seq] = RECORDED
            self._checksums[worker] += checksum

    def _check_books(self) -> None:
        books = self.recording.books
        self._expect("the manifest's state", self.recording.state, "complete")
        self._expect("do the books close", books.closes, True)
        self._expect("attempted in the books", books.attempted.records, self.attempted)
        self._expect("consumed in the books", books.consumed.records, self.recorded)
        self._expect("dropped in the books", books.dropped.records, self.refused)
        lost = sum(count.records for count in self.recording.lost.values())
        self._expect("lost in the manifest", lost, self.refused)

    def _expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self._complain(f"{what}: {found}, expected {expected}")

    def _complain(self, what: str) -> None:
        if len(self.complaints) < MOST_COMPLAINTS:
            self.complaints.append(what)
