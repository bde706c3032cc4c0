"""A program that closes all its descriptors, and opens files of its own under their numbers."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import rchan
from rchan import events

BEGIN = """
    import os, sys, rchan

    def reuse():
        '''Close all, then have the log open under every number there was.'''
        os.closerange(3, 64)
        log = os.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        while log < 30:
            log = os.dup(log)
        os.write(log, b"begun\\n")
        return log

    def say(what):
        print(what, flush=True)
        sys.stdin.readline()

    def forked(act):
        pid = os.fork()
        if not pid:
            try:
                act()
            finally:
                os._exit(0)
        return pid
"""


@contextmanager
def program(code: str, where: Path) -> Iterator[subprocess.Popen[str]]:
    """It runs until it says something; at the end it goes on, and must come to its end."""
    source = textwrap.dedent(BEGIN) + textwrap.dedent(code)
    with subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=where,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        if process.poll() is None:
            process.communicate("go on\n", timeout=60)
    assert process.returncode in (0, -signal.SIGKILL)


def log_of(where: Path) -> bytes:
    return (where / "log").read_bytes()


@pytest.fixture
def app(four_cpus: None) -> Iterator[rchan.Channel]:
    with rchan.create("app", subbuf_size=4096, n_subbufs=4, n_buffers=1) as channel:
        yield channel


def test_its_files_stay_its_own(channels: Path, tmp_path: Path) -> None:
    code = """
        channel = rchan.create("its", subbuf_size=4096, n_subbufs=4, n_buffers=1)
        log = reuse()
        os.waitpid(forked(lambda: os.write(log, b"forked\\n")), 0)
        assert channel.write(b"goes on")
        channel.flush()
        say("ready")
        assert channel.orphaned
        channel.close()
        os.write(log, b"closed\\n")
    """
    with program(code, tmp_path), rchan.open("its") as channel:
        assert channel.buffers[0].read(99) == b"goes on"
        assert len(channel.producers()) == 1, "it; we only read"
    assert log_of(tmp_path) == b"begun\nforked\nclosed\n"
    assert list(channels.glob("its*")) == []


def test_it_is_alive_to_others(app: rchan.Channel, tmp_path: Path) -> None:
    code = """
        channel = rchan.open("app")
        slot = channel.reserve(4)
        reuse()
        say("ready")
        slot[:] = b"held"
        slot.commit()
    """
    with program(code, tmp_path):
        assert not app.write(b"ours"), "it still holds the buffer"
    assert app.write(b"later")
    assert app.buffers[0].read(99) == b"heldlater"


def test_others_are_alive_to_it(app: rchan.Channel, tmp_path: Path) -> None:
    slot = app.reserve(4)
    code = """
        channel = rchan.open("app")
        reuse()
        assert not channel.write(b"its")
        say("ready")
    """
    with program(code, tmp_path):
        slot[:] = b"ours"
        slot.commit()
    assert app.buffers[0].read(99) == b"ours"


@pytest.mark.parametrize("closed", ["log = reuse()", "os.closerange(3, 64)", ""])
def test_a_child_does_not_keep_it_alive(app: rchan.Channel, tmp_path: Path, closed: str) -> None:
    code = f"""
        channel = rchan.open("app")
        {closed}
        slot = channel.reserve(4)
        os.waitpid(forked(lambda: channel.write(b"-") or say("ready")), 0)
    """
    with program(code, tmp_path) as process:
        process.kill()
        process.wait()
        deadline = time.monotonic() + 60  # found alive just now, it is looked at again in 10 ms
        while not app.write(b"taken over"):
            assert time.monotonic() < deadline, "its child keeps it alive"
    assert app.buffers[0].read(99) == b"taken over"


def test_late_files_are_not_what_is_open_there_now(channels: Path, tmp_path: Path) -> None:
    code = """
        channel = rchan.create(None, subbuf_size=4096, n_subbufs=4, n_buffers=1)
        channel.write(b"kept")
        log = reuse()
        try:
            channel.late_setup_files("late")
        except rchan.RchanError as error:
            assert "descriptor" in str(error), error
        assert channel.write(b"goes on")
        assert channel.buffers[0].read(99) == b"keptgoes on"
        channel.close()
        os.write(log, b"closed\\n")
        say("ready")
    """
    with program(code, tmp_path):
        assert list(channels.glob("late*")) == []
    assert log_of(tmp_path) == b"begun\nclosed\n"


def test_new_types_of_events(channels: Path, tmp_path: Path) -> None:
    code = """
        tracer = rchan.Tracer("its", n_buffers=1)
        tracer.event("first", n=rchan.u64)(1)
        log = reuse()
        tracer.event("second", n=rchan.u64)(2)
        say("ready")
        tracer.close()
    """
    with program(code, tmp_path), rchan.open("its") as channel:
        names = [event.name for event in events.read(channel)]
        assert names == ["first", "second"]
    assert log_of(tmp_path) == b"begun\n"
