"""The command `rchan`: what it does, says and ends with, however it is ended."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import RCHAN, Terminal, read_line, recorded, run, sequence, start, writer

import rchan
from rchan.cli import exits
from rchan.recorder import load

# Says the number of each SIGINT that it gets, on a line; ends at its standard input's end.
STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted\\n"))
os.write(1, b"%d\\n" % os.getpid())
sys.stdin.read()
"""
# Gets a SIGINT; has another one come, when the recorder has surely seen the first?
COUNTING = """if True:
    import os, rchan, signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    print("ready", flush=True)
    signal.sigwait([signal.SIGINT])
    app = rchan.open("app")
    for _ in range(2):
        assert app.write(b"0 0\\n", cpu=0)
        app.flush()
        while app.buffers[0].subbufs_consumed < app.buffers[0].subbufs_produced:
            os.sched_yield()
    print("again" if signal.sigtimedwait([signal.SIGINT], 0) else "once")
"""


@pytest.fixture
def app() -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8) as channel:
        yield channel


class TestCommand:
    def test_records_all_that_it_writes(self, app: rchan.Channel, tmp_path: Path) -> None:
        done = run("record", "-o", tmp_path, "app", *writer(30_000))
        assert done.returncode == 0
        assert done.stdout == "30000\n"
        assert recorded(tmp_path) == sequence(30_000)

    @pytest.mark.parametrize(
        ("code", "status"),
        [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
    )
    def test_its_status_is_passed_on(
        self, app: rchan.Channel, tmp_path: Path, code: str, status: int
    ) -> None:
        done = run("record", "-o", tmp_path, "app", "--", sys.executable, "-c", code)
        assert done.returncode == status
        assert load(tmp_path / "app").state == "complete"

    @pytest.mark.parametrize(
        ("command", "status"), [("no-such-command", exits.NO_COMMAND), ("/", exits.CANNOT_RUN)]
    )
    def test_that_cannot_be_run_leaves_no_recording(
        self, app: rchan.Channel, tmp_path: Path, command: str, status: int
    ) -> None:
        done = run("record", "-o", tmp_path, "app", "--", command)
        assert done.returncode == status
        assert done.stderr.startswith(f"rchan: {command}: ")
        assert os.listdir(tmp_path) == []

    def test_is_told_the_channel_and_its_directory(self, channels: Path, tmp_path: Path) -> None:
        place = str(channels / "place")
        rchan.relay.relayfs_create_dir("place")
        with rchan.create("app", place):
            arguments = ("--parent", place, *writer(100))
            assert run("record", "-o", tmp_path, "app", *arguments).returncode == 0
        assert recorded(tmp_path) == sequence(100)

    def test_gets_the_signals_unblocked(self, app: rchan.Channel, tmp_path: Path) -> None:
        code = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
        done = run("record", "-o", tmp_path, "app", "--", sys.executable, "-c", code)
        assert done.stdout == "set()\n"


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_without_command_end_it(
        self, app: rchan.Channel, tmp_path: Path, number: signal.Signals
    ) -> None:
        assert app.write(b"0 0\n")
        process = start("record", "-o", tmp_path, "app", stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert "recording app" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(60) == 0
        assert "lost 0" in process.stderr.read()
        process.stderr.close()
        assert process.stdout is not None
        process.stdout.close()
        assert recorded(tmp_path) == sequence(1)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_in_the_middle_lose_nothing(
        self, app: rchan.Channel, tmp_path: Path, number: signal.Signals
    ) -> None:
        process = start("record", "--quiet", "-o", tmp_path, "app", *writer(10**9, 20_000))
        assert read_line(process) == "reached"
        process.send_signal(number)
        stored = int(read_line(process))
        assert process.wait(60) == 7, "the command's own status"
        assert process.stdout is not None
        process.stdout.close()
        assert stored >= 20_000
        assert recorded(tmp_path) == sequence(stored)

    def test_second_interrupt_ends_the_waiting(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"0 0\n")
        process = start(
            *("record", "--quiet", "-o", tmp_path, "app", "--", sys.executable, "-c", STUBBORN),
            stdin=subprocess.PIPE,
        )
        assert int(read_line(process)) > 0
        process.send_signal(signal.SIGINT)
        assert read_line(process) == "interrupted"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == exits.INTERRUPTED
        process.communicate()
        assert load(tmp_path / "app").state == "complete"
        assert recorded(tmp_path) == sequence(1)

    def test_from_a_terminal_are_not_sent_twice(self, app: rchan.Channel, tmp_path: Path) -> None:
        """Ctrl-C reaches the whole foreground group: the command has it already."""
        command = ("--", sys.executable, "-c", COUNTING)
        terminal = Terminal("record", "--quiet", "-o", tmp_path, "app", *command)
        terminal.read_until(b"ready\r\n")
        os.write(terminal.fd, b"\x03")
        assert b"once" in terminal.rest()
        assert terminal.wait() == 0
        assert load(tmp_path / "app").state == "complete"


class TestWords:
    def test_no_terminal_gets_plain_lines(self, app: rchan.Channel, tmp_path: Path) -> None:
        done = run("record", "-o", tmp_path, "app", *writer(1000))
        first, second, third = done.stderr.splitlines()
        assert first.startswith("rchan: recording app (")
        assert first.endswith(f" of 8 x 4 KiB, no-overwrite) to {tmp_path}")
        assert re.fullmatch(r"rchan: app: 1,000 records, 5\.9 kB in \d+\.\d s, lost 0", second)
        assert third.startswith(f"rchan: {tmp_path}/app: ")

    def test_a_terminal_gets_one_line_written_anew(
        self, app: rchan.Channel, tmp_path: Path
    ) -> None:
        terminal = Terminal("record", "-o", tmp_path, "app", *writer(200_000))
        text = terminal.rest().decode()
        assert terminal.wait() == 0
        shown, last = text[: text.index("rchan: ")], text[text.index("rchan: ") :]
        lines = re.sub(r"200000\r\n|\x1b\[\d*m", "", shown).split("\r\x1b[K")
        assert len(lines) > 1
        assert [line for line in lines if "\n" in line or len(line) >= 80] == []
        assert any("app" in line and "records" in line and "/s" in line for line in lines)
        assert "200,000 records" in last

    @pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
    def test_losses_are_told(self, app: rchan.Channel, tmp_path: Path) -> None:
        app.write(b"read", cpu=0)
        app.write(b"read", cpu=1)
        done = run("record", "-o", tmp_path / "1", "app", "--", "true")
        assert "2 records, 8 B" in done.stderr
        app.write(bytes(5000))
        code = "import rchan; rchan.open('app').write(bytes(6000))"
        done = run("record", "-o", tmp_path / "2", "app", "--", sys.executable, "-c", code)
        assert "lost 1: too big" in done.stderr

    def test_quiet(self, app: rchan.Channel, tmp_path: Path) -> None:
        for more in ([], ["--append"]):  # it goes on with what is there: that is no trouble
            done = run("record", "--quiet", *more, "-o", tmp_path, "app", "--", "true")
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_json(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"x\n")
        done = run("record", "--json", "--quiet", "--fsync", "-o", tmp_path, "app", "--", "true")
        (summary,) = json.loads(done.stdout)["recordings"]
        assert summary["records"] == 1
        assert summary["state"] == "complete"
        assert summary["books"]["consumed"] == {"records": 1, "bytes": 2}
        assert summary["manifest"] == f"{tmp_path}/app/.rchan/manifest.json"


class TestFailures:
    def test_a_recording_that_exists(self, app: rchan.Channel, tmp_path: Path) -> None:
        (tmp_path / "app").write_bytes(b"dear")
        flag = tmp_path / "flag"
        done = run("record", "-o", tmp_path, "app", "--", "touch", flag)
        assert done.returncode == exits.EXISTS
        assert len(done.stderr.splitlines()) == 1
        assert not flag.exists(), "the command was not started"

    def test_output_that_cannot_be_written(self, app: rchan.Channel, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        done = run("record", "-o", tmp_path / "file", "app", "--", "true")
        assert done.returncode == exits.RECORDING_FAILED
        assert "Not a directory" in done.stderr

    def test_output_that_fails_in_the_middle(self, app: rchan.Channel, small_disk: Path) -> None:
        """The command goes on to its end; what it stored is all in the files or the channel."""
        code = """if True:
            import rchan
            app = rchan.open("app")
            print(sum(app.write(b"1234567\\n", cpu=0) for _ in range(4096)))
        """
        output = small_disk / "run"
        (small_disk / "ballast").write_bytes(bytes(216 << 10))
        done = run("record", "-o", output, "app", "--", sys.executable, "-c", code)
        assert done.returncode == exits.RECORDING_FAILED
        assert all(line.startswith("rchan: ") for line in done.stderr.splitlines())
        assert done.stderr.count("not consuming until it can be") == 1
        assert "still in the channel" in done.stderr
        first = (output / "app" / "app.0").stat().st_size
        assert first % 4096 == 0, "whole sub-buffers only"
        (small_disk / "ballast").unlink()
        assert run("record", "-o", output, "--until-empty", "app").returncode == 0
        assert first < (output / "app" / "app.0").stat().st_size == 8 * int(done.stdout)

    def test_nobody_reads_the_summary(self, app: rchan.Channel, tmp_path: Path) -> None:
        reader, output = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*RCHAN, "record", "--json", "-o", str(tmp_path), "app", "--", "true"],
            stdout=output,
            stderr=output,
            check=False,
        )
        os.close(output)
        assert done.returncode == exits.OUTPUT_CLOSED
        assert load(tmp_path / "app").state == "complete"

    def test_closed_standard_streams(self, app: rchan.Channel, tmp_path: Path) -> None:
        """The files of the recording must not become standard output."""
        assert app.write(b"0 0\n")
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *RCHAN, "record", "--json"]
        done = subprocess.run([*closed, "-o", tmp_path, "app", "--", "true"], check=False)
        assert done.returncode == 0
        assert recorded(tmp_path) == sequence(1)


class TestCreate:
    def test_makes_the_channel_and_removes_it(self, channels: Path, tmp_path: Path) -> None:
        geometry = ("--create", "--subbuf-size", "8K", "--n-subbufs", "4")
        done = run("record", *geometry, "-o", tmp_path, "app", *writer(5000))
        assert done.returncode == 0
        assert recorded(tmp_path) == sequence(5000)
        assert load(tmp_path / "app").geometry.subbuf_size == 8192
        assert os.listdir(channels) == []

    def test_leaves_a_channel_that_was_there(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert run("record", "--create", "-o", tmp_path, "app", "--", "true").returncode == 0
        assert [channel.name for channel in rchan.list()] == ["app"]

    def test_keeps_it_while_somebody_has_it_open(self, tmp_path: Path) -> None:
        process = start("record", "--create", "-o", tmp_path, "app", stderr=subprocess.PIPE)
        assert process.stderr is not None
        process.stderr.readline()
        with rchan.open("app") as app:
            assert app.write(b"0 0\n")
            process.send_signal(signal.SIGTERM)
            process.communicate()
            assert process.returncode == 0
            assert app.write(b"goes on\n")
            assert [channel.name for channel in rchan.list()] == ["app"]
        assert recorded(tmp_path) == sequence(1)
        rchan.remove("app")

    def test_overwrite(self, tmp_path: Path) -> None:
        run("record", "--create", "--overwrite", "-o", tmp_path, "app", "--", "true")
        assert load(tmp_path / "app").geometry.overwrite

    def test_a_command_that_is_not_there_leaves_no_channel(
        self, channels: Path, tmp_path: Path
    ) -> None:
        run("record", "--create", "-o", tmp_path, "app", "--", "no-such-command")
        assert os.listdir(channels) == []
