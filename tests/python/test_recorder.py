"""The recorder as a library: everything written is in the files, or counted as lost."""

import ctypes
import errno
import gc
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recordings import RECORD, at_once, lines_of

import rchan
from rchan import recorder
from rchan.recorder import (
    Recorder,
    Recording,
    RecordingDamaged,
    RecordingExists,
    RecordingFailed,
    RecordingNotFound,
    load,
    record,
    recording,
)
from rchan.recorder.drain import Drain


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8, n_buffers=4) as channel:
        yield channel


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = str(tmp_path / "disk").encode()
    os.mkdir(path)
    if libc.mount(b"tmpfs", path, b"tmpfs", 0, b"size=256k"):
        pytest.skip(f"cannot mount a small file system: {os.strerror(ctypes.get_errno())}")
    yield Path(path.decode())
    libc.umount2(path, 2)


class TestFiles:
    def test_every_buffer_has_a_file_without_padding(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        written = [b"%d %d\n" % (cpu, seq) for seq in range(1500) for cpu in (0, 1)]
        assert all(app.write(line, cpu=int(line[:1])) for line in written)
        done = record(app, tmp_path / "run", stop=at_once)
        for cpu in (0, 1):
            expected = b"".join(line for line in written if line[0] == ord("0") + cpu)
            assert (tmp_path / "run" / f"app.{cpu}").read_bytes() == expected
        assert [file.buffer for file in done.files] == [0, 1]
        assert done.records == len(written)
        assert done.bytes == sum(map(len, written))

    def test_files_are_private(self, app: rchan.Channel, tmp_path: Path) -> None:
        done = record(app, tmp_path / "run", stop=at_once)
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
        for path in (done.manifest, *done.paths):
            assert path.stat().st_mode & 0o777 == 0o600

    def test_nothing_written_gives_empty_files(self, app: rchan.Channel, tmp_path: Path) -> None:
        done = record(app, tmp_path / "run", stop=at_once)
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

        done = record(app, tmp_path, stop=stop)
        assert [file.buffer for file in done.files] == [0, 1, 3]
        assert (tmp_path / "app.3").read_bytes() == b"late\n" * 2

    def test_descriptors_are_closed(self, app: rchan.Channel, tmp_path: Path) -> None:
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        record(app, tmp_path, stop=at_once)
        with pytest.raises(RecordingExists):
            record(app, tmp_path, stop=at_once)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_by_name(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n")
        done = record("app", tmp_path, stop=at_once, name="other", sync=True)
        assert done.name == "other"
        assert lines_of(tmp_path) == {b"x": 1}
        assert app.write(b"y\n"), "the channel goes on"


class TestManifest:
    def test_it_is_what_record_returned(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n", cpu=1)
        done = record(app, tmp_path, stop=at_once)
        assert load(tmp_path, "app") == done
        assert done.state == "complete"
        assert done.reason == "stopped"
        assert done.geometry.subbuf_size == 4096
        assert done.geometry.created.realtime_ns == app.created_ns[0]
        assert done.end is not None
        assert done.start.monotonic_ns <= done.end.monotonic_ns
        assert done.books == app.stats().total
        assert done.files[1].books == app.stats()[1]
        assert done.files[1].first_seq == done.files[1].last_seq == 0

    def test_while_recording_it_is_valid_and_lists_the_files(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        seen: list[Recording] = []

        def stop() -> bool:
            seen.append(load(tmp_path, "app"))
            return len(seen) == 2

        record(app, tmp_path, stop=stop)
        assert [one.state for one in seen] == ["recording", "recording"]
        assert [file.file for file in seen[1].files] == ["app.0", "app.1"]
        assert seen[1].end is None
        assert sorted(os.listdir(tmp_path)) == ["app.0", "app.1", "app.json"]

    @pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
    def test_drops_are_told_by_cause(self, app: rchan.Channel, tmp_path: Path) -> None:
        stored = sum(app.write(b"%07d\n" % number, cpu=0) for number in range(5000))
        assert stored == 4096, "8 sub-buffers of 512 records"
        assert not app.write(bytes(5000), cpu=1)
        done = record(app, tmp_path, stop=at_once)
        lost = {cause: count.records for cause, count in done.lost.items() if count.records}
        assert lost == {"full": 904, "too_big": 1}
        assert done.lost["too_big"].bytes == 5000
        assert done.books.closes
        assert done.books.attempted.records == done.records + 905

    def test_drops_before_the_first_record_are_not_its_losses(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        stored = sum(app.write(b"%07d\n" % number, cpu=0) for number in range(5000))
        record(app, tmp_path / "first", stop=at_once)
        assert app.write(b"later\n", cpu=0)
        done = record(app, tmp_path / "second", stop=at_once)
        assert sum(count.records for count in done.lost.values()) == 0
        assert done.books.dropped_full.records == 5000 - stored

    def test_a_failed_one_says_why(self, app: rchan.Channel, tmp_path: Path) -> None:
        def stop() -> bool:
            raise ZeroDivisionError("the caller's own")

        assert app.write(b"x\n")
        with pytest.raises(ZeroDivisionError):
            record(app, tmp_path, stop=stop)
        failed = load(tmp_path, "app")
        assert (failed.state, failed.error) == ("failed", "the caller's own")

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "other", "version": 1}', "\xff"])
    def test_damaged(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "app.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RecordingDamaged, match=r"app\.json"):
            load(tmp_path, "app")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(RecordingNotFound, match=r"app\.json"):
            load(tmp_path, "app")


class TestRefused:
    @pytest.mark.parametrize("left", ["app.json", "app.0", "app.17"])
    def test_a_directory_that_holds_one(
        self, app: rchan.Channel, tmp_path: Path, left: str
    ) -> None:
        (tmp_path / left).write_bytes(b"dear to somebody")
        assert app.write(b"x\n", cpu=0)
        with pytest.raises(RecordingExists, match=left):
            record(app, tmp_path, stop=at_once)
        assert os.listdir(tmp_path) == [left]
        assert (tmp_path / left).read_bytes() == b"dear to somebody"
        assert app.stats().total.readable.records == 1

    def test_others_may_live_there(self, app: rchan.Channel, tmp_path: Path) -> None:
        for other in ("app", "app.log", "app2.0", "my.app.json"):
            (tmp_path / other).touch()
        assert record(app, tmp_path, stop=at_once).state == "complete"

    def test_unknown_channel_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(rchan.ChannelNotFound, match="nothing"):
            record("nothing", tmp_path / "run", stop=at_once)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("name", ["../app", "", "a/b"])
    def test_a_name_that_leads_elsewhere(
        self, app: rchan.Channel, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(rchan.BadName):
            record(app, tmp_path / "run", stop=at_once, name=name)
        assert list(tmp_path.iterdir()) == []

    def test_buffer_only_channel(self, tmp_path: Path) -> None:
        with rchan.create(None, subbuf_size=4096) as app:
            assert app.write(b"x\n")
            assert record(app, tmp_path, stop=at_once).manifest.name == "channel.json"
        assert lines_of(tmp_path) == {b"x": 1}

    def test_not_a_directory(self, app: rchan.Channel, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(RecordingFailed, match="file") as caught:
            record(app, tmp_path / "file", stop=at_once)
        assert caught.value.errno == errno.ENOTDIR

    def test_abandoned_claim_can_be_made_again(self, app: rchan.Channel, tmp_path: Path) -> None:
        Recorder(app, tmp_path).abandon()
        assert os.listdir(tmp_path) == []
        assert record(app, tmp_path, stop=at_once).state == "complete"


class TestEnd:
    def test_finalized_channel(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n", cpu=1)
        app.finalize()
        done = record(app, tmp_path)
        assert done.reason == "finalized"
        assert lines_of(tmp_path) == {b"x": 1}

    @pytest.mark.parametrize("end", [rchan.Channel.finalize, rchan.Channel.close])
    def test_while_asleep(
        self, app: rchan.Channel, tmp_path: Path, end: Callable[[rchan.Channel], None]
    ) -> None:
        other = rchan.open("app")
        thread = threading.Thread(target=record, args=(other, tmp_path))
        thread.start()
        assert app.write(b"x\n", cpu=0)
        end(app)
        thread.join(30)
        assert not thread.is_alive()
        other.close()
        assert lines_of(tmp_path) == {b"x": 1}

    def test_an_unfinished_record_of_a_stopped_writer(
        self, app: rchan.Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "PATIENCE", 0.05)
        assert app.write(b"before\n", cpu=0)
        slot = app.reserve(7, cpu=0)
        done = record(app, tmp_path / "first", stop=at_once)
        assert done.unfinished == (0,)
        slot[:] = b"behind\n"
        slot.commit()
        again = record(app, tmp_path / "second", stop=at_once)
        assert again.unfinished == ()
        assert lines_of(tmp_path / "second") == {b"before": 1, b"behind": 1}

    def test_another_reader_holds_a_subbuf(
        self, app: rchan.Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "PATIENCE", 0.05)
        assert app.write(b"x\n", cpu=0)
        app.flush()
        held = app.buffers[0].take()
        assert held is not None
        assert record(app, tmp_path / "first", stop=at_once).unfinished == (0,)
        held.put_down()
        assert record(app, tmp_path / "second", stop=at_once).unfinished == ()
        assert lines_of(tmp_path / "second") == {b"x": 1}

    def test_ends_although_writers_go_on(self, app: rchan.Channel, tmp_path: Path) -> None:
        over = threading.Event()

        def write() -> None:
            while not over.is_set():
                app.write(b"x\n", cpu=0)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert record(app, tmp_path, stop=at_once).state == "complete"
        finally:
            over.set()
            writer.join()


class TestOverwrite:
    def test_whole_subbufs_and_what_was_lost(self, four_cpus: None, tmp_path: Path) -> None:
        with rchan.create("app", None, 64, 4, overwrite=True, n_buffers=1) as app:
            for number in range(1000):
                assert app.write(b"%07d\n" % number, cpu=0)
            done = record(app, tmp_path, stop=at_once)
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
            with (tmp_path / "sink").open("wb", buffering=0) as sink:
                assert not Drain(app, lambda _: sink)._record(sub, sink)
            assert (tmp_path / "sink").read_bytes() == b""
            sub.put_down()
            record(app, tmp_path / "run", stop=at_once)
            assert min(lines_of(tmp_path / "run")) > b"%07d" % 7

    def test_while_a_writer_laps(self, four_cpus: None, tmp_path: Path) -> None:
        with rchan.create("app", None, 256, 4, overwrite=True, n_buffers=1) as app:
            left = iter(range(100, 300))

            def stop() -> bool:
                turn = next(left, None)
                if turn is not None:
                    for number in range(turn):
                        assert app.write(b"%07d\n" % (turn * 1000 + number), cpu=0)
                return turn is None

            done = record(app, tmp_path, stop=stop)
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
        with pytest.raises(RecordingFailed, match=r"app\.0.*No space") as caught:
            record(app, small_disk / "first", stop=at_once)
        assert caught.value.errno == errno.ENOSPC
        first = (small_disk / "first" / "app.0").read_bytes()
        assert len(first) % 4096 == 0, "whole sub-buffers only"
        (small_disk / "ballast").unlink()
        record(app, tmp_path / "second", stop=at_once)
        assert first + (tmp_path / "second" / "app.0").read_bytes() == b"".join(
            b"0 %5d\n" % seq for seq in range(count)
        )

    def test_file_too_large(self, app: rchan.Channel, tmp_path: Path) -> None:
        """The limit of 10,000 bytes lies inside the third sub-buffer."""
        assert all(app.write(b"%07d\n" % seq, cpu=0) for seq in range(2048))
        limited = ["prlimit", "--fsize=10000", *RECORD, "-o", str(tmp_path / "first"), "app"]
        done = subprocess.run(limited, capture_output=True, text=True, check=False)
        assert done.returncode == 8
        assert "File too large" in done.stderr
        assert load(tmp_path / "first", "app").state == "failed"
        assert (tmp_path / "first" / "app.0").stat().st_size == 8192
        record(app, tmp_path / "second", stop=at_once)
        assert lines_of(tmp_path / "first", tmp_path / "second") == Counter(
            b"%07d" % seq for seq in range(2048)
        )


def test_progress_grows_and_ends_with_everything(app: rchan.Channel, tmp_path: Path) -> None:
    seen: list[recorder.Progress] = []
    assert app.write(b"x\n", cpu=0)
    record(app, tmp_path, stop=at_once, progress=seen.append)
    assert seen[-1].records == 1
    assert seen[-1].bytes == 2
    assert set(seen[-1].lost) >= {"overwritten", "full", "too_big", "disabled", "contended"}
