"""The recorder among processes that write, and that are killed."""

import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from recordings import RECORD, last_word, lines_of, record_one, sequence, start_writer, wait_for

import rchan
from rchan.recorder import load


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8, n_buffers=4) as channel:
        yield channel


class TestProcesses:
    def test_every_record_of_several_writers(self, app: rchan.Channel, tmp_path: Path) -> None:
        writers = [start_writer(worker, 20_000) for worker in range(3)]
        done = record_one(app, tmp_path, stop=lambda: all(w.poll() is not None for w in writers))
        for writer in writers:
            last_word(writer, "20000")
            assert writer.wait() == 0
        expected = sum((sequence(worker, 20_000) for worker in range(3)), Counter())
        assert lines_of(tmp_path) == expected
        assert done.books.closes
        assert done.books.readable.records == 0

    def test_killed_writer(self, app: rchan.Channel, tmp_path: Path) -> None:
        acks = tmp_path / "acks"
        acks.write_bytes(bytes(8))
        writer = start_writer(0, 10**9, tell_at=5000, acks=str(acks))

        def stop() -> bool:
            return writer.poll() is not None

        def kill() -> None:
            wait_for(writer, "reached")
            writer.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        done = record_one(app, tmp_path / "run", stop=stop)
        killer.join()
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        told = int.from_bytes(acks.read_bytes(), "little")
        assert told >= 5000
        found = lines_of(tmp_path / "run")
        assert found in (sequence(0, told), sequence(0, told + 1))
        assert done.unfinished == ()
        assert done.books.closes

    def test_killed_recorder_and_its_successor(self, app: rchan.Channel, tmp_path: Path) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        writer = start_writer(0, 60_000, tell_at=30_000)
        killed = subprocess.Popen([*RECORD, "--quiet", "-o", str(first), "app"])
        wait_for(writer, "reached")
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
        assert load(first / "app").state == "recording"
        record_one(app, second, stop=lambda: writer.poll() is not None)
        last_word(writer, "60000")
        found = lines_of(first, second)
        assert set(found) == set(sequence(0, 60_000))
        twice = [line for line, times in found.items() if times > 1]
        assert len(twice) * len(b"0 29999\n") <= 2 * app.subbuf_size, "at most what was in hand"
        assert max(found.values()) <= 2
