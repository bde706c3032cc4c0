"""The command `rchan`: its help, its small subcommands, its failures."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call

import rchan
from rchan.cli import exits, ls
from rchan.cli.screen import amount_text, duration_text, parse_size, size_text
from rchan.errors import RchanError

RCHAN = [sys.executable, "-m", "rchan.cli"]


def run(*arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*RCHAN, *arguments], capture_output=True, text=True, check=False, **how)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def app() -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=8) as channel:
        yield channel


class TestFailures:
    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            ((), 2, "SUBCOMMAND"),
            (("record", "app"), 2, "-o"),
            (("record", "-o", "x", "app", "--"), 2, "no COMMAND"),
            (("ls", "--", "true"), 2, "true"),
            (("record", "-o", "x", "--create", "--subbuf-size", "1Q", "app"), 2, "1Q"),
            (("record", "-o", "x", "a/b"), 2, "slash"),
            (("record", "-o", "x", "missing"), 3, "missing"),
            (("stat", "missing"), 3, "missing"),
            (("rm", "missing"), 3, "missing"),
            (("ls", "--parent", "/missing"), 3, "/missing"),
            (("record", "-o", "x", "--create", "--n-subbufs", "0", "app"), 2, "n_subbufs"),
            (("create", "app", "--size", "x"), 2, "x"),
            (("cat",), 2, "NAME"),
            (("-x",), 2, "-x"),
        ],
    )
    def test_say_why_in_one_line(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
        status: int,
        words: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = call(*arguments)
        assert done.status == status
        assert words in done.err
        assert done.err.startswith("rchan: ")
        assert len(done.err.splitlines()) == 1
        assert os.listdir(tmp_path) == []
        assert rchan.list() == []

    def test_a_directory_for_all(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        done = call("ls", "--parent", tmp_path)
        assert done.status == 6
        assert "chmod" in done.err
        assert len(done.err.splitlines()) == 1

    def test_nobody_reads_standard_output(self, app: rchan.Channel) -> None:
        reader, output = os.pipe()
        os.close(reader)
        app.write(b"a line\n")
        for command in (
            ["--help"],
            ["ls"],
            ["stat", "app"],
            ["tail", "app"],
            ["snapshot", "-o", "-", "app"],
        ):
            done = subprocess.run(
                [*RCHAN, *command], stdout=output, stderr=subprocess.PIPE, check=False
            )
            assert (done.returncode, done.stderr) == (exits.OUTPUT_CLOSED, b"")
        os.close(output)

    def test_full_standard_output(self, app: rchan.Channel) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [*RCHAN, "stat", "app"], stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert done.returncode == exits.FAILURE
        assert done.stderr == b"rchan: No space left on device\n"

    def test_each_error_has_a_documented_status(self) -> None:
        documented = {int(number) for number in re.findall(r"\b(\d+)  \w", exits.TEXT)}
        kinds = [RchanError, *RchanError.__subclasses__()]
        assert len(kinds) > 15
        for kind in kinds:
            assert exits.status_of(kind("words")) in documented


class TestOthers:
    def test_ls(self, app: rchan.Channel) -> None:
        head, row = run("ls").stdout.splitlines()
        assert head.split() == [*ls._HEAD, "MEAN/s"]
        assert row.split()[:2] == ["app", "live"]
        assert row.split()[-5:] == ["0%", "1", "0", "0", "B"]
        (told,) = json.loads(run("ls", "--json").stdout)
        assert (told["name"], told["producers"]) == ("app", [os.getpid()])

    def test_ls_of_nothing(self) -> None:
        done = run("ls")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_ls_shows_a_damaged_channel(self, channels: Path) -> None:
        (channels / "bad.chan").write_bytes(b"nothing of ours")
        assert "bad" in run("ls").stdout
        assert run("stat", "bad").returncode == exits.DAMAGED
        assert run("rm", "bad").returncode == 0
        assert os.listdir(channels) == []

    def test_ls_shows_any_name(self) -> None:
        for name in ("\x1b[2J", "\udcff", "Ωmega"):
            rchan.create(name, subbuf_size=4096).detach()
        done = run("ls", env={**os.environ, "PYTHONIOENCODING": "ascii:strict"})
        assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
            r"'\x1b[2J'",
            r"\u03a9mega",
            r"'\udcff'",
        ]

    @pytest.mark.filterwarnings("ignore::rchan.RchanWarning")
    def test_stat(self, app: rchan.Channel) -> None:
        assert app.write(b"12345")
        assert not app.write(bytes(5000))
        rows = dict(
            line.rsplit(maxsplit=2)[::2] for line in run("stat", "app").stdout.splitlines()[2:13]
        )
        assert rows["attempted"] == "5,005"
        assert rows["readable"] == "5"
        assert rows["dropped too big"] == "5,000"
        told = json.loads(run("stat", "--json", "app").stdout)
        assert told["total"]["readable"] == {"records": 1, "bytes": 5}

    def test_rm(self, channels: Path) -> None:
        rchan.create("app").detach()
        assert run("rm", "app").returncode == 0
        assert os.listdir(channels) == []

    def test_help(self) -> None:
        for command in ([], ["record"], ["write"], ["verify"], ["merge"]):
            done = run(*command, "--help", env={**os.environ, "COLUMNS": "80"})
            assert done.returncode == 0
            assert done.stdout.startswith("usage: rchan")
            assert max(map(len, done.stdout.splitlines())) < 80


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("256K", 1 << 18), ("1M", 1 << 20), ("2GiB", 1 << 31), ("8kb", 8192)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5M", "1Q", "0x10", "٣"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_numbers_for_people() -> None:
    assert [size_text(n) for n in (100, 4096, 1 << 20, 1500)] == [
        "100 bytes",
        "4 KiB",
        "1 MiB",
        "1,500 bytes",
    ]
    assert [amount_text(n) for n in (0, 999, 1000, 2.5e6, 3e9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.5 MB",
        "3.0 GB",
    ]
    assert [duration_text(n) for n in (0, 61.9, 3661)] == ["00:00", "01:01", "1:01:01"]
