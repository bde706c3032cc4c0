"""What a terminal gets and a pipe does not: colours and progress."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

import rchan

RCHAN = [sys.executable, "-m", "rchan.cli"]


def on_a_terminal(
    arguments: list[str], stdin: int = subprocess.DEVNULL, status: int = 0, **environment: str
) -> str:
    """Everything that is written to standard output and error, which are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*RCHAN, *arguments],
        stdin=stdin,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    written = b""
    while True:
        select.select([ours], [], [])
        try:
            written += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == status
    return written.decode()


@pytest.fixture
def lossy():
    with rchan.create("app", subbuf_size=4096, n_subbufs=2, n_buffers=1) as app:
        app.enabled = False
        app.write(b"dropped")
        yield app


@pytest.mark.parametrize("command", [["stat", "app"], ["ls"]])
def test_colours_are_for_terminals(lossy: rchan.Channel, command: list[str]) -> None:
    assert "\x1b[31m" in on_a_terminal(command)
    assert "\x1b" not in on_a_terminal(command, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(command, TERM="dumb")
    piped = subprocess.run([*RCHAN, *command], capture_output=True, text=True, check=True)
    assert "\x1b" not in piped.stdout


def test_progress_is_for_terminals(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"line\n" * 3)
    for command in (["write", "app", "--size", "64K"], ["snapshot", "app", "-o", tmp_path / "x"]):
        with open(tmp_path / "input", "rb") as stream:
            shown = on_a_terminal(command, stdin=stream.fileno())
        *live, summary = shown.rstrip().split("\r\x1b[K")
        assert any("app" in line and "3 records" in line for line in live)
        assert summary.startswith("rchan: ")


def test_nothing_there_is_said_to_people(channels: Path) -> None:
    assert on_a_terminal(["ls"]) == f"rchan: no channels in {channels}\r\n"
    piped = subprocess.run([*RCHAN, "ls"], capture_output=True, text=True, check=True)
    assert piped.stdout + piped.stderr == ""


@pytest.mark.parametrize("command", ["cat", "tail"])
def test_events_are_not_poured_onto_a_terminal(command: str) -> None:
    with rchan.Tracer("app", n_buffers=1) as trace:
        trace.event("tick", n=int)(1)
        assert "'rchan events app' prints them" in on_a_terminal([command, "app"], status=2)
        assert trace.channel.stats().total.consumed.records == 0


def test_what_cannot_be_read_is_no_input() -> None:
    where = os.open("/dev/null", os.O_WRONLY)
    done = subprocess.run(
        [*RCHAN, "write", "app", "--create"],
        stdin=where,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(where)
    assert done.returncode == 1
    assert done.stderr == "rchan: standard input: Bad file descriptor\n"


def test_ctrl_c_ends_what_is_typed_into_a_channel(lossy: rchan.Channel) -> None:
    lossy.enabled = True
    lossy.wakeup = "write"
    child, terminal = pty.fork()
    if not child:
        os.execv(RCHAN[0], [*RCHAN, "write", "app"])
    os.write(terminal, b"typed\n")
    with rchan.RelayFile(lossy.buffers[0]) as file:
        assert select.select([file], [], [], 60)[0]
    os.write(terminal, b"not this line\x03")
    shown = b""
    while b"wrote" not in shown:
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 4096)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    os.close(terminal)
    assert lossy.buffers[0].read(99) == b"typed\n"
