"""Completion: the candidates, and the scripts in real shells."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
from cli_calls import call

import rchan
from rchan.cli.completion import SCRIPTS, candidates


def names(*words: str) -> list[str]:
    return [candidate for candidate, _ in candidates(list(words))]


def test_commands() -> None:
    assert names("sn") == ["snapshot"]
    assert names("help", "re") == ["record", "reset", "resume"]
    assert names("nonsense", "") == []


def test_options() -> None:
    assert "--overwrite" in names("create", "--o")
    assert names("tail", "--fol") == ["--follow"]


def test_values() -> None:
    rchan.create("app", subbuf_size=4096).detach()
    rchan.create("apple", subbuf_size=4096).detach()
    rchan.create("\x1b", subbuf_size=4096).detach()
    assert names("stat", "") == ["app", "apple"]
    assert names("stat", "--json", "appl") == ["apple"]
    assert names("write", "--prefixed", "u16") == ["u16le", "u16be"]
    assert names("completion", "") == list(SCRIPTS)
    assert names("snapshot", "-o", "") == [":files"]
    assert names("cat", "--parent", "") == [":files"]
    assert names("record", "-o", "x", "app", "--", "ec") == [":files"]


def test_of_another_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    rchan.create("elsewhere", tmp_path, subbuf_size=4096).detach()
    assert names("stat", "--parent", str(tmp_path), "") == ["elsewhere"]
    assert names("stat", "--parent", "/missing", "") == []
    rchan.remove("elsewhere", tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """PATH with an `rchan` in it, which is this interpreter's."""
    command = tmp_path / "rchan"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m rchan.cli "$@"\n')
    command.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def shell(command: list[str], path: str) -> list[str]:
    done = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_bash(path: str, tmp_path: Path) -> None:
    rchan.create("app", subbuf_size=4096).detach()
    rchan.create("a b", subbuf_size=4096).detach()
    script = tmp_path / "script"
    script.write_text(call("completion", "bash").text)

    def completed(*words: str) -> list[str]:
        show = '_rchan; printf "%s\\n" "${COMPREPLY[@]}"'
        quoted = " ".join(f"'{word}'" for word in words)
        return shell(
            [
                "bash",
                "-c",
                f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; {show}",
            ],
            path,
        )

    assert completed("rchan", "sna") == ["snapshot"]
    assert completed("rchan", "stat", "ap") == ["app"]
    assert completed("rchan", "stat", "a ") == ["a\\", "b"]
    assert completed("rchan", "snapshot", "-o", str(script)) == [str(script)]


@pytest.mark.skipif(not which("fish"), reason="no fish")
def test_fish(path: str, tmp_path: Path) -> None:
    rchan.create("app", subbuf_size=4096).detach()
    script = tmp_path / "script"
    script.write_text(call("completion", "fish").text)
    assert shell(["fish", "-c", f"source {script}; complete -C 'rchan stat ap'"], path) == [
        "app",
        "channel",
    ]


@pytest.mark.skipif(not which("zsh"), reason="no zsh")
def test_zsh(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(call("completion", "zsh").text)
    loaded = f"autoload -U compinit; compinit -u -d {tmp_path}/dump; source {script}; "
    done = subprocess.run(
        ["zsh", "-fc", loaded + "print $_comps[rchan]"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "_rchan\n"
