"""The command `rchan` as a process, for tests: run, started, on a terminal of its own."""

import os
import pty
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rchan.recorder import load

RCHAN = [sys.executable, "-m", "rchan.cli"]
WRITER = Path(__file__).with_name("record_writer.py")


def run(*arguments: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*RCHAN, *map(str, arguments)], capture_output=True, text=True, check=False, **how
    )
    assert "Traceback" not in done.stderr
    return done


def start(*arguments: str | Path, **how: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RCHAN, *map(str, arguments)], stdout=subprocess.PIPE, text=True, **how
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def writer(count: int, tell_at: int = 0) -> list[str]:
    return ["--", sys.executable, str(WRITER), "0", str(count), str(tell_at)]


def recorded(directory: Path) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for file in load(directory / "app").paths:
        assert file.read_bytes().endswith(b"\n") or not file.stat().st_size
        found.update(file.read_bytes().split(b"\n")[:-1])
    return found


def sequence(count: int) -> Counter[bytes]:
    return Counter(b"0 %d" % seq for seq in range(count))


class Terminal:
    """The command on a terminal of its own, 80 columns wide."""

    def __init__(self, *arguments: str | Path) -> None:
        try:
            self.pid, self.fd = pty.fork()
        except OSError as error:
            pytest.skip(f"no pseudo terminal: {error}")
        if self.pid == 0:
            os.execv(sys.executable, [*RCHAN, *map(str, arguments)])
        os.set_blocking(self.fd, True)

    def read_until(self, pattern: bytes) -> bytes:
        seen = b""
        while not re.search(pattern, seen):
            seen += os.read(self.fd, 4096)
        return seen

    def rest(self) -> bytes:
        seen = b""
        while True:
            try:
                seen += os.read(self.fd, 4096)
            except OSError:  # EIO: the last process has left the terminal
                return seen

    def wait(self) -> int:
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def wait_until(found: Callable[[], bool]) -> None:
    """Look again and again; the recorder is another process."""
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        os.sched_yield()
