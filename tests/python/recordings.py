"""What the tests of the recorder share: writers, and what is in the recorded files."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rchan
from rchan.recorder import Recording, record

WRITER = Path(__file__).with_name("record_writer.py")
RECORD = [sys.executable, "-m", "rchan.cli", "record"]


def at_once() -> bool:
    return True


def lines_of(*directories: Path) -> Counter[bytes]:
    """How often each whole record is in the files; half a line at a file's end is left out."""
    found: Counter[bytes] = Counter()
    for directory in directories:
        for path in directory.glob("*/*"):
            if not path.name.startswith("."):
                found.update(path.read_bytes().split(b"\n")[:-1])
    return found


def record_one(
    channel: rchan.Channel | str,
    directory: Path,
    stop: Callable[[], bool] | None = None,
    **how: Any,
) -> Recording:
    """Record a single channel; its recording."""
    (done,) = record(channel, directory, stop=stop, **how)
    return done


def sequence(worker: int, count: int) -> Counter[bytes]:
    return Counter(b"%d %d" % (worker, seq) for seq in range(count))


def start_writer(
    worker: int, count: int, tell_at: int = 0, acks: str = ""
) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(WRITER), str(worker), str(count), str(tell_at)]
    return subprocess.Popen(
        arguments + [acks] * bool(acks),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RCHAN_CHANNEL": "app"},
    )


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def last_word(process: subprocess.Popen[str], word: str) -> None:
    wait_for(process, word)
    process.communicate()
