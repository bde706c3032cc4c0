"""Target, in Python: a recording with any bytes in its manifest, indices and streams. Either it is
refused as damaged, or all that can be asked of it is answered. Run by atheris (campaign.py does),
or by the tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

try:
    import atheris
except ImportError:  # the tests play it without
    from rchan import tracefile
else:
    with atheris.instrument_imports(include=["rchan.tracefile"]):
        from rchan import tracefile

from folder import Files, Folder, ground
from recording_template import MANIFEST, change_manifest, put, sign, template
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


def store(files: Files, folder: Path) -> None:
    Folder(folder, ".rchan").store(files)


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


def ask_while_it_changes(data: bytes, folder: Folder) -> None:
    """A recording that was right when it was opened, and the first sub-buffers read."""
    folder.store(template())
    with tracefile.open(folder.path) as trace:
        subbufs = iter(trace.subbufs(check=bool(len(data) % 2)))
        for _ in range(len(data) % 3):
            ask_unchecked(next(subbufs))
        folder.store(changed(data))
        for sub in subbufs:
            ask_unchecked(sub)
        assert all(problem.text for problem in trace.problems)


def play(data: bytes) -> None:
    """The input's last byte says what is asked: one of the questions, all, or while it changes."""
    kind = data[-1] % (len(QUESTIONS) + 2) if data else len(QUESTIONS)
    folder = ground("app/.rchan")
    try:
        if kind > len(QUESTIONS):
            ask_while_it_changes(data, folder)
            return
        folder.store(changed(data))
        (*QUESTIONS, ask)[kind](folder.path)
    except (tracefile.RecordingDamaged, tracefile.RecordingNotFound) as error:
        assert str(error)


def main() -> None:
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
