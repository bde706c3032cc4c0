"""Target, in Python: a recording with any bytes in its manifest, indices and streams. Either it is
refused as damaged, or all that can be asked of it is answered. Run by atheris (campaign.py does),
or by the tests."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

try:
    import atheris
except ImportError:  # the tests play it without
    from rchan import tracefile
else:
    with atheris.instrument_imports(include=["rchan.tracefile"]):
        from rchan import tracefile

from recording_template import MANIFEST, Files, change_manifest, put, sign, template
from script import Input

from rchan._core import crc32c

# Values of an entry's words that something could stumble over.
WORDS = (0, 1, 2, 7, 64, 255, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def changed(data: bytes) -> Files:
    """What the input makes of the recording that is right: one change after the other."""
    files, rest = template(), Input(data)
    while rest:
        what = rest.number() % 8
        name = sorted(files)[rest.number() % len(files)]
        if what == 0:
            change_manifest(files, rest.number(), rest.number())
        elif what == 1:
            files[MANIFEST] = rest.bytes(rest.number())
        elif what == 2:
            put(files, name, rest.number() * 8, rest.bytes(1 + rest.number() % 16))
        elif what == 3:
            files[name] = files[name][: rest.number() * 2]
        elif what == 4:
            files[name] += rest.bytes(rest.number())
        elif what == 5:
            word = WORDS[rest.number() % len(WORDS)] if rest.number() % 2 else rest.number()
            put(files, name, rest.number() * 4, word.to_bytes(8, "little"))
        elif what == 6:
            del files[name]
            files[sorted(template())[rest.number() % len(template())]] = rest.bytes(rest.number())
        elif name.endswith(".index"):
            sign(files, name)
    for name in files:
        if name.endswith(".index") and len(data) % 2 == 0:
            sign(files, name)  # so that changes get behind the checksums
    return files


class Folder:
    """One directory, in memory if it can be, for one recording after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / ".rchan").mkdir(parents=True)
        self._names: dict[str, str] = {}
        self._now: Files = {}

    def store(self, files: Files) -> None:
        """It holds these files: only what differs from what is there is written."""
        for name in self._now.keys() - files.keys():
            os.unlink(self._name(name))
        for name, data in files.items():
            if self._now.get(name) != data:
                with open(self._name(name), "wb", buffering=0) as file:
                    file.write(data)
        self._now = dict(files)

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, str(self.path / name))


def store(files: Files, folder: Path) -> None:
    Folder(folder).store(files)


def ask(folder: Path) -> None:
    """Everything that can be asked of a recording."""
    for question in QUESTIONS:
        question(folder)


def ask_channels(folder: Path) -> None:
    with tracefile.open(folder) as trace:
        for channel in trace.channels:
            assert isinstance(channel.name, str)
            assert channel.complete in (True, False)
            if channel.recording is not None:
                ask_manifest(channel.recording, folder)
            for stream in channel.streams:
                assert len(list(stream.index.whole())) <= len(stream.index)
                assert stream.index.last() is None or len(stream.index)


def ask_buffers(folder: Path) -> None:
    with tracefile.open(folder) as trace:
        for channel in trace.channels:
            for cpu in range(2):
                assert all(sub.cpu == cpu for sub in channel.buffer(cpu))


def ask_checked(folder: Path) -> None:
    with tracefile.open(folder) as trace:
        for sub in trace:
            ask_subbuf(sub)
        for problem in trace.problems:
            assert problem.text
            assert problem.severity in ("damage", "note")


def ask_all_unchecked(folder: Path) -> None:
    with tracefile.open(folder) as trace:
        for sub in trace.subbufs(check=False):
            ask_unchecked(sub)


def ask_verdict(folder: Path) -> None:
    with tracefile.open(folder) as trace:
        checked = [len(sub) for sub in trace]
    [report] = tracefile.verify(folder)
    assert (report.subbufs, report.bytes) == (len(checked), sum(checked))
    json.dumps(report.as_dict())


QUESTIONS = (ask_channels, ask_buffers, ask_checked, ask_all_unchecked, ask_verdict)


def ask_manifest(recording: tracefile.Recording, folder: Path) -> None:
    json.dumps(recording.summary())
    json.loads(recording.to_json())
    assert all(path.parent == folder for path in recording.paths)
    assert recording.seconds is not None


def ask_subbuf(sub: tracefile.RecordedSubbuf) -> int:
    """What was checked is what was recorded, whatever the rest looks like."""
    data = bytes(sub.data)
    assert len(data) == len(sub) == sub.length
    assert not sub.entry.checked or crc32c(data) == sub.entry.data_crc
    assert min(sub.seq, sub.resets, sub.records, sub.first_ns, sub.last_ns) >= 0
    assert sub.lost.total.records >= 0 <= sub.lost.total.bytes
    assert repr(sub)
    assert sub.release()
    return len(data)


def ask_unchecked(sub: tracefile.RecordedSubbuf) -> None:
    try:
        data = sub.data
    except tracefile.RecordingDamaged as error:
        assert str(error)
    else:
        assert len(data) == sub.length


@cache
def ground() -> Folder:
    """Of this process, until its end."""
    place = tempfile.mkdtemp(prefix="rchan-fuzz-", dir=os.environ.get("RCHAN_FUZZ_DIR"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Folder(Path(place, "app"))


def play(data: bytes) -> None:
    """The input's last byte says what is asked; that of the last kind is everything."""
    ground().store(changed(data))
    ask_it = (*QUESTIONS, ask)[data[-1] % (len(QUESTIONS) + 1) if data else -1]
    try:
        ask_it(ground().path)
    except (tracefile.RecordingDamaged, tracefile.RecordingNotFound) as error:
        assert str(error)


def main() -> None:
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
