"""`rchan record` as a service has it, `rchan verify` and `rchan merge`."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Terminal, recorded, run, sequence, start, wait_until

import rchan
from rchan.cli import exits
from rchan.cli.parsing import parse
from rchan.recorder import load

UNIT = Path(__file__).parents[2] / "examples" / "rchan-record.service"


@pytest.fixture
def app() -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8) as channel:
        yield channel


class TestDaemon:
    def test_sighup_begins_new_files(self, app: rchan.Channel, tmp_path: Path) -> None:
        process = start("record", "--quiet", "-o", tmp_path, "app", start_new_session=True)
        for number in range(2):
            wait_until((tmp_path / "app").is_dir)
            assert app.write(b"0 %d\n" % number, cpu=0)
            app.flush()
            wait_until(lambda: not app.stats().total.readable.records)
            process.send_signal(signal.SIGHUP)
            name = f"app.0.{number + 1:06}"
            wait_until((tmp_path / "app" / name).exists)
        process.terminate()
        process.communicate()
        assert process.returncode == 0
        assert recorded(tmp_path) == sequence(2)

    def test_a_terminal_that_goes_away_ends_it(self, app: rchan.Channel, tmp_path: Path) -> None:
        terminal = Terminal("record", "-o", tmp_path, "app")
        terminal.read_until(b"records")
        assert app.write(b"0 0\n")
        assert terminal.wait() == 0
        assert load(tmp_path / "app").state == "complete"
        assert recorded(tmp_path) == sequence(1)

    def test_systemd_is_told(self, app: rchan.Channel, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(60)
            told = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100"}
            process = start("record", "--quiet", "-o", tmp_path / "run", "app", env=told)
            assert manager.recv(999) == b"READY=1"
            assert {manager.recv(999) for _ in range(2)} == {
                b"WATCHDOG=1",
                b"STATUS=recording, lost 0",
            }
            process.terminate()
            while (said := manager.recv(999)) != b"STOPPING=1":
                assert said in (b"WATCHDOG=1", b"STATUS=recording, lost 0")
            process.communicate()
        assert process.returncode == 0

    def test_killed_and_started_again(self, app: rchan.Channel, tmp_path: Path) -> None:
        """What a service does after a crash: the same command, the same directory."""
        for number in range(3):
            process = start("record", "--quiet", "-o", tmp_path, "app")
            assert app.write(b"0 %d\n" % number, cpu=0)
            app.flush()
            wait_until(lambda: not app.stats().total.readable.records)
            process.kill()
            process.communicate()
        assert run("verify", tmp_path).returncode == exits.UNFINISHED
        assert run("record", "--until-empty", "-o", tmp_path, "app").returncode == 0
        assert run("verify", tmp_path).returncode == 0
        assert recorded(tmp_path) == sequence(3)


class TestUnit:
    """The example of a systemd unit."""

    def test_its_command_is_understood(self) -> None:
        text = UNIT.read_text().replace("\\\n", " ")
        (start,) = re.findall(r"^ExecStart=%h/\.local/bin/rchan (.*)$", text, re.MULTILINE)
        options = parse(shlex.split(start))
        assert (options.names, options.directory, options.watch) == (
            ["*"],
            "%h/.local/state/rchan",
            True,
        )
        assert options.flush_every == 1.0

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
    def test_systemd_finds_nothing_wrong(self, tmp_path: Path) -> None:
        unit = tmp_path / UNIT.name
        unit.write_text(UNIT.read_text().replace("%h/.local/bin/rchan", "/bin/true"))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", unit],
            capture_output=True,
            text=True,
            check=False,
        )
        if "Failed to initialize" in done.stderr:
            pytest.skip(done.stderr)
        assert (done.returncode, done.stderr) == (0, "")


class TestVerifyAndMerge:
    def test_whole_damaged_and_missing(self, app: rchan.Channel, tmp_path: Path) -> None:
        assert app.write(b"0 0\n", cpu=0)
        assert app.write(b"0 1\n", cpu=1)
        assert run("record", "--until-empty", "--quiet", "-o", tmp_path / "1", "app").stderr == ""
        done = run("verify", "--json", tmp_path / "1")
        assert done.returncode == 0
        (told,) = json.loads(done.stdout)
        assert (told["records"], told["checked"], told["damaged"]) == (2, 2, False)
        assert run("merge", "-o", tmp_path / "2", tmp_path / "1").returncode == 0
        assert run("verify", tmp_path / "2").returncode == 0
        (tmp_path / "1" / "app" / "app.0").write_bytes(b"1 0\n")
        done = run("verify", tmp_path / "1")
        assert done.returncode == exits.DAMAGED
        assert "damage: app: app.0: sub-buffer 0 of buffer 0 is damaged" in done.stdout
        assert done.stderr == "rchan: damaged: app\n"
        assert run("merge", "-o", tmp_path / "3", tmp_path / "1").returncode == exits.DAMAGED
        assert run("verify", tmp_path / "none").returncode == exits.NOT_FOUND
        assert run("merge", "-o", tmp_path / "3", tmp_path / "none").returncode == exits.NOT_FOUND
        assert run("merge", "-o", tmp_path / "2", tmp_path / "1").returncode == exits.EXISTS

    @pytest.mark.parametrize(
        "wrong", [("--stop-after", "soon"), ("--rotate-size", "0"), ("--keep", "-1")]
    )
    def test_wrong_usage(self, tmp_path: Path, wrong: tuple[str, str]) -> None:
        done = run("record", "-o", tmp_path / "x", *wrong, "app")
        assert done.returncode == exits.USAGE
        assert not (tmp_path / "x").exists()
