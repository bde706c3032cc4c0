"""Channels that come and go, disks that fill and empty, and when a recording ends by itself."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from recordings import at_once, lines_of, record_one
from sanitizer import skip_if_memory_is_kept

import rchan
import rchan.tracefile
from rchan.recorder import (
    FileOptions,
    Limits,
    Options,
    Recorder,
    RecordingExists,
    RecordingFailed,
    Rotation,
    load,
    record,
    session,
)


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8, n_buffers=2) as channel:
        yield channel


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks for channels and tries failed disks again all the time."""
    for name in ("LOOK", "RETRY"):
        monkeypatch.setattr(session, name, 0.0)


def steps(*acts: Callable[[], object]) -> Callable[[], bool]:
    """A `stop` that does the next of these at each call, and then says yes."""
    left = iter(acts)

    def stop() -> bool:
        act = next(left, None)
        if act is None:
            return True
        act()
        return False

    return stop


def nothing() -> None:
    pass


class TestManyChannels:
    def test_names_handles_and_patterns(self, four_cpus: None, tmp_path: Path) -> None:
        with (
            rchan.create("one") as one,
            rchan.create("web-1") as first,
            rchan.create("web-2") as second,
            rchan.create("other") as other,
        ):
            for channel in (one, first, second, other):
                assert channel.write(b"%s\n" % str(channel.name).encode(), cpu=0)
            done = record([one, "web-*"], tmp_path, stop=at_once)
            assert sorted(each.channel or "" for each in done) == ["one", "web-1", "web-2"]
            assert lines_of(tmp_path) == {b"one": 1, b"web-1": 1, b"web-2": 1}
            assert done.reason == "stopped"
            assert other.stats().total.readable.records == 1

    def test_a_sleeping_recorder_hears_all_of_them(self, four_cpus: None, tmp_path: Path) -> None:
        with rchan.create("a") as a, rchan.create("b") as b:
            recorder = Recorder(["a", "b"], tmp_path)
            seen = threading.Event()
            thread = threading.Thread(target=recorder.run, args=(seen.is_set,))
            thread.start()
            for channel in (b, a, b):
                assert channel.write(b"x\n", cpu=0)
                channel.flush()
                while channel.stats().total.readable.records:
                    os.sched_yield()
            seen.set()
            thread.join(60)
        assert lines_of(tmp_path) == {b"x": 3}

    def test_watched_ones_that_appear_later(
        self, four_cpus: None, impatient: None, tmp_path: Path
    ) -> None:
        made: list[rchan.Channel] = []

        def make() -> None:
            made.append(rchan.create("web-1"))
            assert made[0].write(b"late\n", cpu=0)

        said: list[str] = []
        stop = steps(nothing, make, nothing, nothing)
        options = Options(watch=True)
        done = record(["app", "web-*"], tmp_path, stop=stop, options=options, notice=said.append)
        made[0].close()
        assert [each.channel for each in done] == ["web-1"]
        assert said == ["web-1: recording it, too"]
        assert lines_of(tmp_path) == {b"late": 1}

    def test_an_unknown_one_leaves_nothing(self, app: rchan.Channel, tmp_path: Path) -> None:
        with pytest.raises(rchan.ChannelNotFound, match="nothing"):
            record(["app", "nothing"], tmp_path / "run", stop=at_once)
        assert not (tmp_path / "run").exists()
        assert rchan.open("app").producers() == [os.getpid()] * 2

    def test_names_that_would_be_hidden_or_too_long(self, tmp_path: Path) -> None:
        for name in (".hidden", "x" * 240):
            with rchan.create(name) as channel:
                assert channel.write(b"x\n")
                done = record_one(name, tmp_path, stop=at_once)
                assert done.channel == name
                assert not Path(done.directory).name.startswith(".")


class TestComingAndGoing:
    def test_recreated_gets_a_segment_of_its_own(
        self, four_cpus: None, impatient: None, tmp_path: Path
    ) -> None:
        first = rchan.create("app", subbuf_size=4096)
        assert first.write(b"first\n", cpu=0)
        made: list[rchan.Channel] = []

        def again() -> None:
            first.close()
            made.append(rchan.create("app", subbuf_size=8192))
            assert made[0].write(b"second\n", cpu=0)

        said: list[str] = []
        stop = steps(nothing, again, nothing, nothing, nothing, nothing)
        done = record("app", tmp_path, stop=stop, notice=said.append)
        made[0].close()
        assert [Path(each.directory).name for each in done] == ["app", "app~2"]
        assert [each.geometry.subbuf_size for each in done] == [4096, 8192]
        assert [each.reason for each in done] == ["finalized", "stopped"]
        assert lines_of(tmp_path) == {b"first": 1, b"second": 1}
        assert "app: recording it, too" in said

    def test_removed(self, impatient: None, four_cpus: None, tmp_path: Path) -> None:
        app = rchan.create("app")
        assert app.write(b"x\n", cpu=0)
        stop = steps(nothing, lambda: rchan.remove("app"), *[nothing] * 50)
        done = record("app", tmp_path, stop=stop)
        assert (done.reason, done[0].reason) == ("finalized", "finalized")
        assert lines_of(tmp_path) == {b"x": 1}
        app.close()

    def test_files_taken_away_by_hand(
        self, impatient: None, four_cpus: None, channels: Path, tmp_path: Path
    ) -> None:
        """Whoever has it open goes on writing: so does the recorder, until nobody is left."""
        app = rchan.create("app")
        assert app.write(b"x\n", cpu=0)

        def take_away() -> None:
            for path in channels.iterdir():
                path.unlink()

        said: list[str] = []
        behind = [lambda: app.write(b"y\n", cpu=0), nothing, app.detach, *[nothing] * 50]
        done = record("app", tmp_path, stop=steps(take_away, nothing, *behind), notice=said.append)
        assert done[0].reason == "removed"
        assert lines_of(tmp_path) == {b"x": 1, b"y": 1}
        assert said == ["app: was removed; recording what is left of it"]

    def test_another_channel_of_that_name_is_not_mixed_in(
        self, four_cpus: None, tmp_path: Path
    ) -> None:
        for number in (1, 2):
            with rchan.create("app") as app:
                assert app.write(b"%d\n" % number, cpu=0)
                if number == 2:
                    with pytest.raises(RecordingExists, match="earlier channel 'app'"):
                        record_one(app, tmp_path, stop=at_once)
                options = Options(append=number == 2)
                done = record_one(app, tmp_path, stop=at_once, options=options)
        assert Path(done.directory).name == "app~2"
        assert (tmp_path / "app" / "app.0").read_bytes() == b"1\n"
        assert (tmp_path / "app~2" / "app.0").read_bytes() == b"2\n"

    def test_two_recorders_of_one_directory(self, app: rchan.Channel, tmp_path: Path) -> None:
        first = Recorder(app, tmp_path)
        with pytest.raises(RecordingExists, match=f"another recorder .process {os.getpid()}"):
            Recorder(app, tmp_path)
        first.run(at_once)
        record_one(app, tmp_path, stop=at_once, options=Options(append=True))


class TestDisk:
    def test_full_and_then_not(self, app: rchan.Channel, impatient: None, small_disk: Path) -> None:
        """It stops consuming, says so, writers count what they lose, and it goes on by itself."""
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(216 << 10))
        said: list[str] = []
        written = 0

        def fill() -> None:
            nonlocal written
            while app.write(b"%07d\n" % written, cpu=0):
                written += 1

        acts = [fill, nothing, fill, nothing, ballast.unlink, *[nothing] * 5]
        done = record_one(app, small_disk / "run", stop=steps(*acts), notice=said.append)
        assert [text.split(":")[-1].strip() for text in said] == [
            "not consuming until it can be",
            "going on",
        ]
        assert "No space left" in said[0]
        assert lines_of(small_disk / "run") == {b"%07d" % number: 1 for number in range(written)}
        assert done.lost["full"].records == 2
        assert [event.what for event in done.events] == ["stalled", "resumed"]
        assert rchan.tracefile.verify(small_disk / "run")[0].problems == ()

    def test_full_to_the_end(self, app: rchan.Channel, small_disk: Path, tmp_path: Path) -> None:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(216 << 10))
        stored = sum(app.write(b"%07d\n" % number, cpu=0) for number in range(9000))
        with pytest.raises(RecordingFailed) as caught:
            record_one(app, small_disk / "run", stop=at_once)
        assert caught.value.errno == errno.ENOSPC
        assert load(small_disk / "run" / "app").state in ("failed", "recording")
        ballast.unlink()
        done = record_one(app, small_disk / "run", stop=at_once)
        assert done.records == stored
        assert lines_of(small_disk / "run").total() == stored

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_no_permission(self, app: rchan.Channel, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(RecordingFailed, match="Permission denied"):
            record_one(app, tmp_path / "run", stop=at_once)

    def test_read_only(self, app: rchan.Channel, small_disk: Path) -> None:
        os.system(f"mount -o remount,ro {small_disk}")
        assert app.write(b"x\n", cpu=0)
        with pytest.raises(RecordingFailed, match="Read-only"):
            record_one(app, small_disk / "run", stop=at_once)
        assert app.stats().total.readable.records == 1

    def test_a_symbolic_link_is_not_followed(self, app: rchan.Channel, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "app").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(RecordingExists):
            record_one(app, tmp_path / "run", stop=at_once)
        assert list((tmp_path / "elsewhere").iterdir()) == []


class TestEnding:
    def test_until_empty(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n", cpu=0)
        done = record(app, tmp_path, options=Options(until_empty=True))
        assert (done.reason, done[0].records) == ("empty", 1)

    @pytest.mark.parametrize("limits", [Limits(records=600), Limits(bytes=4000), Limits(0.05)])
    def test_limits(self, app: rchan.Channel, tmp_path: Path, limits: Limits) -> None:
        def stop() -> bool:
            for _ in range(700):
                app.write(b"%07d\n" % 7, cpu=0)
            return False

        done = record(app, tmp_path, stop=stop, options=Options(limits=limits))
        assert done.reason == "limit"
        assert done[0].records >= (limits.records or 1)

    def test_flush_every(self, app: rchan.Channel, tmp_path: Path) -> None:
        """A record in an unfinished sub-buffer is on disk after a while, without any end."""
        assert app.write(b"slow\n", cpu=1)
        deadline = time.monotonic() + 60

        def stop() -> bool:
            return bool(lines_of(tmp_path)) or time.monotonic() > deadline

        record(app, tmp_path, stop=stop, options=Options(flush_every=0.01))
        assert time.monotonic() < deadline

    def test_rotation_by_time_and_by_hand(self, app: rchan.Channel, tmp_path: Path) -> None:
        recorder = Recorder(app, tmp_path, options=Options(rotation=Rotation(seconds=3600)))

        def turn(number: int) -> Callable[[], None]:
            def act() -> None:
                assert app.write(b"%d\n" % number, cpu=0)
                app.flush()

            return act

        (done,) = recorder.run(steps(turn(1), recorder.rotate, turn(2), recorder.rotate, nothing))
        assert [file.records for file in done.files if file.buffer == 0] == [1, 1, 0]
        assert lines_of(tmp_path) == {b"1": 1, b"2": 1}
        assert [event.what for event in done.events] == ["rotated", "rotated"]

    @pytest.mark.parametrize(
        "options",
        [
            Options(flush_every=0),
            Options(rotation=Rotation(size=-1)),
            Options(limits=Limits(records=0)),
            Options(files=FileOptions(compression="lzma")),
        ],
    )
    def test_options_that_cannot_be(
        self, app: rchan.Channel, tmp_path: Path, options: Options
    ) -> None:
        with pytest.raises(rchan.GeometryError):
            record(app, tmp_path / "x", options=options)
        assert not (tmp_path / "x").exists()


def test_memory_is_constant(app: rchan.Channel, tmp_path: Path) -> None:
    """No object is left for a sub-buffer that was recorded."""
    skip_if_memory_is_kept()
    sizes, numbers = [], count()

    def stop() -> bool:
        number = next(numbers)
        for _ in range(64):  # eight sub-buffers
            app.write(b"%0511d\n" % number, cpu=0)
        if number in (40, 400):
            sizes.append(resident())
        return number == 400

    record(app, tmp_path, stop=stop, options=Options(rotation=Rotation(size=65536, keep=2)))
    assert sizes[1] - sizes[0] < 1 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
