"""Recordings read again: whole ones, unfinished ones, and cut or damaged at every byte."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings import at_once, record_one

import rchan
from rchan import tracefile
from rchan.recorder import FileOptions, Options, Recorder, RecordingExists, Rotation
from rchan.recorder.merge import merge
from rchan.tracefile import RecordingDamaged, RecordingNotFound, recorded
from rchan.tracefile.index import ENTRY_SIZE, HEADER_SIZE
from rchan.tracefile.manifest import from_json


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=64, n_subbufs=8, n_buffers=2) as channel:
        yield channel


@pytest.fixture
def recording(app: rchan.Channel) -> Iterator[Path]:
    """A small one, in memory: three sub-buffers of buffer 0, one of buffer 1."""
    assert all(app.write(b"%07d\n" % number, cpu=0) for number in range(20))
    assert app.write(b"other\n", cpu=1)
    with tempfile.TemporaryDirectory(prefix="rchan-test-", dir="/dev/shm") as path:
        record_one(app, Path(path), stop=at_once)
        yield Path(path)


def lines(directory: Path) -> list[bytes]:
    with tracefile.open(directory) as trace:
        return b"".join(bytes(sub) for sub in trace).splitlines()


class TestReading:
    def test_the_same_as_a_live_reader_gives(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert not app.write(bytes(65), cpu=0)
        assert all(app.write(b"%07d\n" % number, cpu=number % 2) for number in range(40))
        app.flush()
        live = []
        for _ in range(app.buffers[0].subbufs_produced):
            sub = app.buffers[0].take()
            if sub is None:
                break
            live.append((sub.cpu, sub.seq, bytes(sub.data), sub.records, sub.first_ns, sub.last_ns))
            sub.put_down()
            record_one(app, tmp_path, stop=at_once)
            break
        with tracefile.open(tmp_path) as trace:
            got = list(trace)
            first = next(sub for sub in got if sub.cpu == 0)
            facts = first.cpu, first.seq, bytes(first.data), first.records
            assert (*facts, first.first_ns, first.last_ns) == live[0]
            assert trace.problems == []
        assert [sub.first_ns for sub in got] == sorted(sub.first_ns for sub in got)
        assert sum(sub.records for sub in got) == 40
        assert sum(sub.lost.too_big.records for sub in got if sub.cpu == 0) == 1
        with pytest.warns(rchan.RchanWarning):
            app.close()

    def test_lost_is_told_where_it_was(self, app: rchan.Channel, tmp_path: Path) -> None:
        stored = sum(app.write(b"%07d\n" % number, cpu=0) for number in range(100))
        record_one(app, tmp_path, stop=at_once)
        assert app.write(b"later\n", cpu=0)
        record_one(app, tmp_path, stop=at_once, options=Options(append=True))
        with tracefile.open(tmp_path) as trace:
            lost = [sub.lost.full.records for sub in trace]
        assert lost == [0] * (len(lost) - 1) + [100 - stored]

    def test_overwritten(self, four_cpus: None, tmp_path: Path) -> None:
        with rchan.create("app", None, 64, 4, overwrite=True, n_buffers=1) as app:
            assert all(app.write(b"%07d\n" % number, cpu=0) for number in range(100))
            done = record_one(app, tmp_path, stop=at_once)
        with tracefile.open(tmp_path) as trace:
            assert sum(sub.lost.overwritten.records for sub in trace) == 100 - done.records
            assert trace.problems == []

    def test_a_reset_in_between(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"before\n", cpu=0)
        record_one(app, tmp_path, stop=at_once)
        app.reset()
        assert app.write(b"after\n", cpu=0)
        record_one(app, tmp_path, stop=at_once, options=Options(append=True))
        assert lines(tmp_path) == [b"before", b"after"]
        with tracefile.open(tmp_path) as trace:
            assert [(sub.resets, sub.seq) for sub in trace] == [(0, 0), (1, 0)]

    def test_while_it_is_being_recorded(self, app: rchan.Channel, tmp_path: Path) -> None:
        seen = []

        def stop() -> bool:
            assert app.write(b"x\n", cpu=0)
            app.flush()
            seen.append(len(lines(tmp_path)))
            return len(seen) == 4

        record_one(app, tmp_path, stop=stop)
        assert seen == [0, 1, 2, 3]

    def test_another_reader_took_some(self, app: rchan.Channel, tmp_path: Path) -> None:
        for number in range(3):
            assert app.write(b"%d\n" % number, cpu=0)
            app.flush()
            if number == 1:
                taken = app.buffers[0].take()
                assert taken is not None
                taken.give_back()
            else:
                options = Options(append=True)
                record_one(app, tmp_path, stop=at_once, options=options)
        (report,) = tracefile.verify(tmp_path)
        assert not report.damaged
        assert [problem.kind for problem in report.problems] == ["gap"]
        assert "1 records between" in report.problems[0].text

    @pytest.mark.parametrize("keep_padding", [False, True])
    def test_padding(self, app: rchan.Channel, tmp_path: Path, keep_padding: bool) -> None:
        assert all(app.write(b"%05d\n" % number, cpu=0) for number in range(30))
        options = Options(files=FileOptions(keep_padding=keep_padding))
        record_one(app, tmp_path, stop=at_once, options=options)
        assert lines(tmp_path) == [b"%05d" % number for number in range(30)]
        size = (tmp_path / "app" / "app.0").stat().st_size
        assert size == (3 * 64 if keep_padding else 180)


class TestDamage:
    """Nothing but whole sub-buffers comes out, in order, and what is missing is said."""

    def files(self, recording: Path) -> list[Path]:
        own = recording / "app" / ".rchan"
        return [recording / "app" / "app.0", own / "app.0.index", own / "manifest.json"]

    def check(self, directory: Path, whole: list[bytes], what: str) -> tracefile.Report:
        (report,) = tracefile.verify(directory)
        found = lines(directory)
        text = b"\n".join(found)
        assert set(found) <= set(whole), what
        assert sorted(found) == found or b"other" in text, what
        return report

    def test_cut_at_every_byte(self, recording: Path) -> None:
        whole = lines(recording)
        for path in self.files(recording)[:2]:
            data = path.read_bytes()
            for length in range(len(data)):
                path.write_bytes(data[:length])
                found, damaged = self.read_on(recording)
                what = f"{path.name} cut to {length} of {len(data)} bytes"
                assert damaged, what
                assert set(found) < set(whole), what
            path.write_bytes(data)
        assert lines(recording) == whole

    def read_on(self, recording: Path) -> tuple[list[bytes], bool]:
        """The lines that are whole, and was anything damaged?"""
        with tracefile.open(recording) as trace:
            found = b"".join(bytes(sub) for sub in trace).splitlines()
            return found, any(problem.severity == "damage" for problem in trace.problems)

    def test_a_manifest_cut_at_every_byte(self, recording: Path) -> None:
        """No part of one is taken for one; then all is read by the indices, the same each time."""
        whole, path = lines(recording), self.files(recording)[2]
        data = path.read_bytes()
        assert data.endswith(b"}\n")
        for length in range(len(data) - 1):
            with pytest.raises(RecordingDamaged):
                from_json(data[:length], str(recording / "app"))
        for length in range(0, len(data) - 1, 97):
            path.write_bytes(data[:length])
            assert self.read_on(recording) == (whole, True), length
        path.write_bytes(data[:-1])
        assert self.read_on(recording) == (whole, False)

    def test_every_byte_changed(self, recording: Path) -> None:
        whole = lines(recording)
        for path in self.files(recording)[:2]:
            data = path.read_bytes()
            for at in range(len(data)):
                path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
                found, damaged = self.read_on(recording)
                reserved = path.suffix == ".index" and 48 <= at < 60
                assert damaged or reserved, f"{path.name}, byte {at}"
                assert set(found) <= set(whole), f"{path.name}, byte {at}"
                if at % 16 == 0:
                    report = self.check(recording, whole, f"{path.name} changed at {at}")
                    assert report.damaged == damaged
            path.write_bytes(data)

    def test_a_compressed_one_cut_or_changed_at_every_byte(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        pytest.importorskip("zstandard")
        assert all(app.write(b"%07d\n" % number, cpu=0) for number in range(20))
        record_one(
            app, tmp_path, stop=at_once, options=Options(files=FileOptions(compression="zstd"))
        )
        (report,) = tracefile.verify(tmp_path)
        assert (report.problems, report.checked, report.records) == ((), 3, 20)
        whole = lines(tmp_path)
        path = tmp_path / "app" / "app.0.zst"
        data = path.read_bytes()
        for at in range(len(data)):
            path.write_bytes(data[:at])
            assert self.check(tmp_path, whole, f"cut at {at}").damaged
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
            report = self.check(tmp_path, whole, f"changed at {at}")
            # (A bit of a frame's header may say the same in other words.)
            assert report.damaged or lines(tmp_path) == whole, f"changed at {at}"

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_a_missing_file(self, recording: Path, number: int) -> None:
        whole = lines(recording)
        path = self.files(recording)[number]
        path.unlink()
        report = self.check(recording, whole, path.name)
        assert report.damaged

    def test_a_manifest_that_leads_elsewhere(self, recording: Path) -> None:
        path = self.files(recording)[2]
        values = json.loads(path.read_bytes())
        values["files"][0]["file"] = "../../../etc/passwd"
        path.write_text(json.dumps(values))
        assert len(lines(recording)) == 21
        values["files"] = "nonsense"
        path.write_text(json.dumps(values))
        (report,) = tracefile.verify(recording)
        assert report.damaged

    def test_files_that_are_no_files(self, recording: Path) -> None:
        path = self.files(recording)[0]
        path.unlink()
        os.mkfifo(path)
        (report,) = tracefile.verify(recording)
        assert any("no regular file" in problem.text for problem in report.problems)

    def test_going_on_after_a_cut(self, app: rchan.Channel, recording: Path) -> None:
        """A recorder takes up whatever is whole; what was cut off is said to be missing."""
        os.truncate(self.files(recording)[1], HEADER_SIZE + 2 * ENTRY_SIZE + 7)
        assert app.write(b"behind\n", cpu=0)
        record_one(app, recording, stop=at_once, options=Options(append=True))
        found = lines(recording)
        assert found[:16] == [b"%07d" % number for number in range(16)]
        assert found[-1] == b"behind"
        (report,) = tracefile.verify(recording)
        assert [problem.kind for problem in report.problems] == ["gap"]

    def test_nothing_there(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none", Path(__file__)):
            with pytest.raises(RecordingNotFound):
                tracefile.open(path)
        (tmp_path / "x" / ".rchan").mkdir(parents=True)
        (tmp_path / "x" / ".rchan" / "manifest.json").write_text("{")
        (report,) = tracefile.verify(tmp_path)
        assert report.damaged


class TestMerge:
    def test_by_time_over_channels_and_buffers(self, four_cpus: None, tmp_path: Path) -> None:
        with rchan.create("a", None, 16, 8, n_buffers=2) as a, rchan.create("b", None, 16, 8) as b:
            for number in range(6):
                (a if number % 3 else b).write(b"%05d\n" % number, cpu=number % 2)
                a.flush()
                b.flush()
            with pytest.raises(RecordingNotFound):
                merge([], tmp_path / "none")
            Recorder([a, b], tmp_path / "in").run(at_once)
        done, problems = merge([tmp_path / "in"], tmp_path / "out")
        assert problems == []
        assert lines(tmp_path / "out") == [b"%05d" % number for number in range(6)]
        assert (tmp_path / "out" / "merged" / "merged.0").read_bytes().count(b"\n") == 6
        assert [Path(source).name for source in done.sources] == ["a", "b"]
        (report,) = tracefile.verify(tmp_path / "out")
        assert (report.damaged, report.problems, report.records) == (False, (), 6)
        with pytest.raises(RecordingExists):
            merge([tmp_path / "in"], tmp_path / "out")

    def test_of_different_boots_by_the_real_time(self, recording: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        shutil.copytree(recording / "app", other / "app")
        path = other / "app" / ".rchan" / "manifest.json"
        values = json.loads(path.read_bytes())
        values["geometry"]["boot_id"] = "another"
        values["start"]["realtime_ns"] -= 10**12
        path.write_text(json.dumps(values))
        done, _ = merge([recording, other], tmp_path / "out")
        assert done.geometry.clock == "CLOCK_REALTIME"
        with tracefile.open(tmp_path / "out") as trace:
            assert [sub.entry.source for sub in trace] == [1] * 4 + [0] * 4

    def test_leaves_out_what_is_damaged(self, recording: Path, tmp_path: Path) -> None:
        path = recording / "app" / "app.0"
        path.write_bytes(b"X" + path.read_bytes()[1:])
        done, problems = merge([recording], tmp_path / "out")
        assert [problem.kind for problem in problems] == ["checksum"]
        assert done.records == 21 - 8


def test_rotated_files_are_one_trace(app: rchan.Channel, tmp_path: Path) -> None:
    assert all(app.write(b"%07d\n" % number, cpu=0) for number in range(50))
    options = Options(rotation=Rotation(subbufs=2))
    record_one(app, tmp_path, stop=at_once, options=options)
    assert len(list((tmp_path / "app").glob("app.0*"))) == 4
    assert lines(tmp_path) == [b"%07d" % number for number in range(50)]


def test_a_recorder_begins_a_file_while_it_is_opened(
    app: rchan.Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.write(b"first\n", 0)
    record_one(app, tmp_path, stop=at_once)
    there, name = tmp_path / "app", "app.0"

    class Begins(recorded.RecordedStream):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            later = f"{name}.000001"
            shutil.copy(there / name, there / later)
            shutil.copy(there / f".rchan/{name}.index", there / f".rchan/{later}.index")

    monkeypatch.setattr(recorded, "RecordedStream", Begins)
    opened = recorded.RecordedChannel(there)
    assert b"".join(map(bytes, opened.subbufs())) == b"first\n"
    opened.close()


def test_a_damaged_manifest_cannot_be_gone_on_with(app: rchan.Channel, recording: Path) -> None:
    (recording / "app" / ".rchan" / "manifest.json").write_text("{}")
    with pytest.raises(RecordingExists):
        record_one(app, recording, stop=at_once, options=Options(append=True))
    with pytest.raises(RecordingDamaged):
        tracefile.load(recording / "app")
