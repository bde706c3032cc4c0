"""The recorder as a library: everything written is in the files, or counted as lost."""

import errno
import gc
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recordings import RECORD, at_once, lines_of, record_one

import rchan
from rchan import recorder
from rchan.recorder import (
    CallbackSink,
    Options,
    Recorder,
    Recording,
    RecordingDamaged,
    RecordingExists,
    RecordingFailed,
    RecordingNotFound,
    load,
    segment,
)
from rchan.recorder.sinks import LIMIT


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8, n_buffers=4) as channel:
        yield channel


class TestFiles:
    def test_every_buffer_has_a_file_without_padding(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        written = [b"%d %d\n" % (cpu, seq) for seq in range(1500) for cpu in (0, 1)]
        assert all(app.write(line, cpu=int(line[:1])) for line in written)
        done = record_one(app, tmp_path / "run", stop=at_once)
        for cpu in (0, 1):
            expected = b"".join(line for line in written if line[0] == ord("0") + cpu)
            assert (tmp_path / "run" / "app" / f"app.{cpu}").read_bytes() == expected
        assert [file.buffer for file in done.files] == [0, 1]
        assert done.records == len(written)
        assert done.bytes == sum(map(len, written))

    def test_files_are_private(self, app: rchan.Channel, tmp_path: Path) -> None:
        done = record_one(app, tmp_path / "run", stop=at_once)
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
        for path in (done.manifest, *done.paths):
            assert path.stat().st_mode & 0o777 == 0o600

    def test_nothing_written_gives_empty_files(self, app: rchan.Channel, tmp_path: Path) -> None:
        done = record_one(app, tmp_path / "run", stop=at_once)
        assert [path.stat().st_size for path in done.paths] == [0, 0]
        assert (done.records, done.bytes, done.subbufs) == (0, 0, 0)
        assert done.files[0].first_seq is None

    def test_a_buffer_that_appears_later(self, app: rchan.Channel, tmp_path: Path) -> None:
        answers = iter([False, False, True])

        def stop() -> bool:
            answer = next(answers)
            if not answer:
                assert app.write(b"late\n", cpu=3)
            return answer

        done = record_one(app, tmp_path, stop=stop)
        assert [file.buffer for file in done.files] == [0, 1, 3]
        assert (tmp_path / "app" / "app.3").read_bytes() == b"late\n" * 2

    def test_descriptors_are_closed(self, app: rchan.Channel, tmp_path: Path) -> None:
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        record_one(app, tmp_path, stop=at_once)
        with pytest.raises(RecordingExists):
            record_one(app, tmp_path, stop=at_once)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_by_name(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n")
        done = record_one("app", tmp_path, stop=at_once, name="other", options=Options(sync=True))
        assert done.name == "other"
        assert lines_of(tmp_path) == {b"x": 1}
        assert app.write(b"y\n"), "the channel goes on"


class TestManifest:
    def test_it_is_what_record_returned(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n", cpu=1)
        done = record_one(app, tmp_path, stop=at_once)
        assert load(tmp_path / "app") == done
        assert done.state == "complete"
        assert done.reason == "stopped"
        assert done.geometry.subbuf_size == 4096
        assert done.geometry.created.realtime_ns == app.created_ns[0]
        assert done.end is not None
        assert done.start.monotonic_ns <= done.end.monotonic_ns
        assert done.books == app.stats().total
        assert done.buffers[1].books == app.stats()[1]
        assert done.files[1].first_seq == done.files[1].last_seq == 0

    def test_while_recording_it_is_valid_and_lists_the_files(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        seen: list[Recording] = []

        def stop() -> bool:
            seen.append(load(tmp_path / "app"))
            return len(seen) == 2

        record_one(app, tmp_path, stop=stop)
        assert [one.state for one in seen] == ["recording", "recording"]
        assert [file.file for file in seen[1].files] == ["app.0", "app.1"]
        assert seen[1].end is None
        assert sorted(os.listdir(tmp_path / "app")) == [".rchan", "app.0", "app.1"]

    @pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
    def test_drops_are_told_by_cause(self, app: rchan.Channel, tmp_path: Path) -> None:
        stored = sum(app.write(b"%07d\n" % number, cpu=0) for number in range(5000))
        assert stored == 4096, "8 sub-buffers of 512 records"
        assert not app.write(bytes(5000), cpu=1)
        done = record_one(app, tmp_path, stop=at_once)
        lost = {cause: count.records for cause, count in done.lost.items() if count.records}
        assert lost == {"full": 904, "too_big": 1}
        assert done.lost["too_big"].bytes == 5000
        assert done.books.closes
        assert done.books.attempted.records == done.records + 905

    def test_drops_before_the_first_record_are_not_its_losses(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        stored = sum(app.write(b"%07d\n" % number, cpu=0) for number in range(5000))
        record_one(app, tmp_path / "first", stop=at_once)
        assert app.write(b"later\n", cpu=0)
        done = record_one(app, tmp_path / "second", stop=at_once)
        assert sum(count.records for count in done.lost.values()) == 0
        assert done.books.dropped_full.records == 5000 - stored

    def test_a_failed_one_says_why(self, app: rchan.Channel, tmp_path: Path) -> None:
        def stop() -> bool:
            raise ZeroDivisionError("the caller's own")

        assert app.write(b"x\n")
        with pytest.raises(ZeroDivisionError):
            record_one(app, tmp_path, stop=stop)
        failed = load(tmp_path / "app")
        assert (failed.state, failed.error) == ("failed", "the caller's own")

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "other", "version": 1}', "\xff"])
    def test_damaged(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "app" / ".rchan").mkdir(parents=True)
        (tmp_path / "app" / ".rchan" / "manifest.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RecordingDamaged, match=r"manifest\.json"):
            load(tmp_path / "app")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(RecordingNotFound, match="app"):
            load(tmp_path / "app")


class TestRefused:
    def test_a_name_that_is_taken(self, app: rchan.Channel, tmp_path: Path) -> None:
        (tmp_path / "app").write_bytes(b"dear to somebody")
        assert app.write(b"x\n", cpu=0)
        with pytest.raises(RecordingExists, match="no recording that can be gone on with"):
            record_one(app, tmp_path, stop=at_once)
        assert os.listdir(tmp_path) == ["app"]
        assert (tmp_path / "app").read_bytes() == b"dear to somebody"
        assert app.stats().total.readable.records == 1

    def test_a_complete_recording(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n", cpu=0)
        before = record_one(app, tmp_path, stop=at_once)
        assert app.write(b"y\n", cpu=0)
        with pytest.raises(RecordingExists, match="already holds a complete recording of this"):
            record_one(app, tmp_path, stop=at_once)
        assert load(tmp_path / "app") == before
        assert app.stats().total.readable.records == 1

    def test_others_may_live_there(self, app: rchan.Channel, tmp_path: Path) -> None:
        for other in ("app.0", "app.log", "app2", "my.app.json"):
            (tmp_path / other).touch()
        assert record_one(app, tmp_path, stop=at_once).state == "complete"

    def test_unknown_channel_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(rchan.ChannelNotFound, match="nothing"):
            record_one("nothing", tmp_path / "run", stop=at_once)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("name", ["../app", "", "a/b"])
    def test_a_name_that_leads_elsewhere(
        self, app: rchan.Channel, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(rchan.BadName):
            record_one(app, tmp_path / "run", stop=at_once, name=name)
        assert list(tmp_path.iterdir()) == []

    def test_buffer_only_channel(self, tmp_path: Path) -> None:
        with rchan.create(None, subbuf_size=4096) as app:
            assert app.write(b"x\n")
            assert record_one(app, tmp_path, stop=at_once).directory == f"{tmp_path}/channel"
        assert lines_of(tmp_path) == {b"x": 1}

    def test_not_a_directory(self, app: rchan.Channel, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(RecordingFailed, match="file") as caught:
            record_one(app, tmp_path / "file", stop=at_once)
        assert caught.value.errno == errno.ENOTDIR

    def test_abandoned_claim_can_be_made_again(self, app: rchan.Channel, tmp_path: Path) -> None:
        Recorder(app, tmp_path).abandon()
        assert os.listdir(tmp_path) == []
        assert record_one(app, tmp_path, stop=at_once).state == "complete"


class TestEnd:
    def test_finalized_channel(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n", cpu=1)
        app.finalize()
        done = record_one(app, tmp_path)
        assert done.reason == "finalized"
        assert lines_of(tmp_path) == {b"x": 1}

    @pytest.mark.parametrize("end", [rchan.Channel.finalize, rchan.Channel.close])
    def test_while_asleep(
        self, app: rchan.Channel, tmp_path: Path, end: Callable[[rchan.Channel], None]
    ) -> None:
        other = rchan.open("app")
        thread = threading.Thread(target=record_one, args=(other, tmp_path))
        thread.start()
        assert app.write(b"x\n", cpu=0)
        end(app)
        thread.join(60)
        assert not thread.is_alive()
        other.close()
        assert lines_of(tmp_path) == {b"x": 1}

    def test_an_unfinished_record_of_a_stopped_writer(
        self, app: rchan.Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(segment, "PATIENCE", 0.05)
        assert app.write(b"before\n", cpu=0)
        slot = app.reserve(7, cpu=0)
        done = record_one(app, tmp_path / "first", stop=at_once)
        assert done.unfinished == (0,)
        slot[:] = b"behind\n"
        slot.commit()
        again = record_one(app, tmp_path / "second", stop=at_once)
        assert again.unfinished == ()
        assert lines_of(tmp_path / "second") == {b"before": 1, b"behind": 1}

    def test_another_reader_holds_a_subbuf(
        self, app: rchan.Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(segment, "PATIENCE", 0.05)
        assert app.write(b"x\n", cpu=0)
        app.flush()
        held = app.buffers[0].take()
        assert held is not None
        assert record_one(app, tmp_path / "first", stop=at_once).unfinished == (0,)
        held.put_down()
        assert record_one(app, tmp_path / "second", stop=at_once).unfinished == ()
        assert lines_of(tmp_path / "second") == {b"x": 1}

    def test_ends_although_writers_go_on(self, app: rchan.Channel, tmp_path: Path) -> None:
        over = threading.Event()

        def write() -> None:
            while not over.is_set():
                app.write(b"x\n", cpu=0)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert record_one(app, tmp_path, stop=at_once).state == "complete"
        finally:
            over.set()
            writer.join()


class TestOverwrite:
    def test_whole_subbufs_and_what_was_lost(self, four_cpus: None, tmp_path: Path) -> None:
        with rchan.create("app", None, 64, 4, overwrite=True, n_buffers=1) as app:
            for number in range(1000):
                assert app.write(b"%07d\n" % number, cpu=0)
            done = record_one(app, tmp_path, stop=at_once)
            kept = sorted(lines_of(tmp_path))
            assert kept == [b"%07d" % number for number in range(1000 - len(kept), 1000)]
            assert len(kept) >= 3 * 8
            assert done.lost["overwritten"].records == 1000 - len(kept)
            assert done.books.closes

    def test_what_changed_during_the_copy_is_not_written(
        self, four_cpus: None, tmp_path: Path
    ) -> None:
        with rchan.create("app", None, 64, 4, overwrite=True, n_buffers=1) as app:
            assert all(app.write(b"%07d\n" % number, cpu=0) for number in range(12))
            sub = app.buffers[0].take()
            assert sub is not None
            assert all(app.write(b"%07d\n" % number, cpu=0) for number in range(12, 36))
            sub.put_down()
            stored: list[bytes] = []

            def overtaken(sub: rchan.Subbuf, data: memoryview) -> None:
                stored.append(bytes(data))

            sink = CallbackSink(overtaken)
            real = sink._store_whole

            def slow(sub: rchan.Subbuf, buffer: rchan.Buffer) -> bool:
                """A writer laps the buffer between the take and the copy."""
                assert all(app.write(b"%07d\n" % number, cpu=0) for number in range(36, 72))
                return real(sub, buffer)

            sink._store_whole = slow  # type: ignore[method-assign]
            assert sink.drain(app.buffers[0], 1) == LIMIT
            assert stored == []
            record_one(app, tmp_path / "run", stop=at_once)
            assert min(lines_of(tmp_path / "run")) > b"%07d" % 35

    def test_while_a_writer_laps(self, four_cpus: None, tmp_path: Path) -> None:
        with rchan.create("app", None, 256, 4, overwrite=True, n_buffers=1) as app:
            left = iter(range(100, 300))

            def stop() -> bool:
                turn = next(left, None)
                if turn is not None:
                    for number in range(turn):
                        assert app.write(b"%07d\n" % (turn * 1000 + number), cpu=0)
                return turn is None

            done = record_one(app, tmp_path, stop=stop)
            kept = lines_of(tmp_path)
            assert set(kept.values()) == {1}
            assert all(int(line) % 1000 < int(line) // 1000 < 300 for line in kept)
            assert done.records == kept.total()
            assert done.books.attempted.records == sum(range(100, 300))
            assert kept.total() + done.lost["overwritten"].records == sum(range(100, 300))


class TestOutput:
    def test_disk_full(self, app: rchan.Channel, tmp_path: Path, small_disk: Path) -> None:
        (small_disk / "ballast").write_bytes(bytes(236 * 1024))
        count = 4096
        assert all(app.write(b"0 %5d\n" % seq, cpu=0) for seq in range(count))
        with pytest.raises(RecordingFailed, match="No space") as caught:
            record_one(app, small_disk / "first", stop=at_once)
        assert caught.value.errno == errno.ENOSPC
        first = (small_disk / "first" / "app" / "app.0").read_bytes()
        assert len(first) % 4096 == 0, "whole sub-buffers only"
        (small_disk / "ballast").unlink()
        record_one(app, tmp_path / "second", stop=at_once)
        assert first + (tmp_path / "second" / "app" / "app.0").read_bytes() == b"".join(
            b"0 %5d\n" % seq for seq in range(count)
        )

    def test_file_too_large(self, app: rchan.Channel, tmp_path: Path) -> None:
        """The limit of 10,000 bytes lies inside the third sub-buffer: then the next file begins."""
        assert all(app.write(b"%07d\n" % seq, cpu=0) for seq in range(2048))
        limited = ["prlimit", "--fsize=10000", *RECORD, "--until-empty", "-o", str(tmp_path), "app"]
        subprocess.run(limited, capture_output=True, timeout=60, check=True)
        done = load(tmp_path / "app")
        assert [file.bytes for file in done.files if not file.buffer] == [8192, 8192]
        assert lines_of(tmp_path) == Counter(b"%07d" % seq for seq in range(2048))


def test_progress_grows_and_ends_with_everything(app: rchan.Channel, tmp_path: Path) -> None:
    seen: list[recorder.Progress] = []
    assert app.write(b"x\n", cpu=0)
    record_one(app, tmp_path, stop=at_once, progress=seen.append)
    assert seen[-1].records == 1
    assert seen[-1].bytes == 2
    assert set(seen[-1].lost) >= {"overwritten", "full", "too_big", "disabled", "contended"}
