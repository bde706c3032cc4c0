"""The command that is recorded: worker processes, each writes a record for every token.

Finds its channel in the environment, as every COMMAND of `rchan record` does. Each worker
leaves REPORT/worker-K.json: what it wrote, and what was refused.
"""

import json
import os
import sys
import sysconfig
import tokenize
from argparse import ArgumentParser
from multiprocessing import Process
from pathlib import Path
from time import process_time_ns
from zlib import crc32

import rchan
from token_records import CUT, HEADER, pack


def library_files(limit: int | None) -> list[Path]:
    """The source files of the running interpreter's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "__pycache__"}
    found = (path for path in root.rglob("*.py") if not skipped.intersection(path.parts))
    return sorted(found)[:limit]


def file_records(path: Path, number: int, worker: int, seq: int) -> list[bytes]:
    """A record for each of its tokens. Raises what `tokenize` does."""
    with tokenize.open(path) as source:
        tokens = tokenize.generate_tokens(source.readline)
        return [pack(seq + at, number, worker, token) for at, token in enumerate(tokens)]


class Worker:
    """One process's share of the files."""

    def __init__(self, channel: rchan.Channel, number: int) -> None:
        self.channel = channel
        self.number = number
        self.attempted = 0
        self.refused: list[list[int]] = []  # ranges of sequence numbers: first, last
        self.checksum = 0  # sum of the checksums of all records that were stored
        self.cut = 0
        self.files = 0
        self.untokenizable: list[str] = []
        self.writing_ns = 0

    def run(self, files: list[tuple[int, Path]]) -> None:
        for number, path in files:
            try:
                records = file_records(path, number, self.number, self.attempted)
            except (SyntaxError, ValueError, tokenize.TokenError) as error:
                self.untokenizable.append(f"{path}: {error}")
            else:
                self.files += 1
                self.write(records)

    def write(self, records: list[bytes]) -> None:
        start = process_time_ns()
        stored = list(map(self.channel.write, records))
        self.writing_ns += process_time_ns() - start
        for seq, (record, fine) in enumerate(zip(records, stored, strict=True), self.attempted):
            if fine:
                self.checksum += crc32(record)
                self.cut += HEADER.unpack_from(record)[5] == CUT
            else:
                self.refuse(seq)
        self.attempted += len(records)

    def refuse(self, seq: int) -> None:
        if self.refused and self.refused[-1][1] == seq - 1:
            self.refused[-1][1] = seq
        else:
            self.refused.append([seq, seq])

    def report(self, total_ns: int) -> dict[str, object]:
        values = {key: value for key, value in vars(self).items() if key != "channel"}
        return {**values, "total_ns": total_ns}


def work(channel: rchan.Channel, number: int, files: list[tuple[int, Path]], report: Path) -> None:
    start = process_time_ns()
    worker = Worker(channel, number)
    worker.run(files)
    text = json.dumps(worker.report(process_time_ns() - start))
    (report / f"worker-{number}.json").write_text(text)


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--limit-files", type=int)
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args()
    files = list(enumerate(library_files(options.limit_files)))
    with rchan.open(os.environ["RCHAN_CHANNEL"], os.environ.get("RCHAN_PARENT")) as channel:
        shares = [files[number :: options.workers] for number in range(options.workers)]
        workers = [
            Process(target=work, args=(channel, number, share, options.report))
            for number, share in enumerate(shares)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return int(any(worker.exitcode for worker in workers))


if __name__ == "__main__":
    sys.exit(main())
