"""Every golden trace, replayed by the program `replay`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRACES = Path(os.environ.get("RCHAN_GOLDEN") or HERE / "traces")
READER_FIELDS = (1, 2)


def traces() -> Iterator[pytest.param]:
    for file in sorted(TRACES.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            trace = json.loads(line)
            yield pytest.param(trace, id=trace["id"])


@pytest.fixture(scope="module")
def replay() -> Iterator[subprocess.Popen]:
    command = [sys.executable, HERE / "replay"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()
        assert process.wait() == 0


def perform(process: subprocess.Popen, op: str) -> dict:
    process.stdin.write(op + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    assert line, f"replay ended at: {op}"
    return json.loads(line)


def comparable(state: list) -> list:
    """Without the reader's position, which may be reached in another way."""
    return [value for field, value in enumerate(state) if field not in READER_FIELDS]


def test_there_are_traces():
    assert len(list(traces())) >= 187


@pytest.mark.parametrize("trace", list(traces()))
def test_trace(replay, trace):
    """All keys must be equal, but for the reader's position in `st` (`pos`, `past`: not given)."""
    compare_trace(replay, trace)


def compare_trace(replay: subprocess.Popen, trace: dict) -> None:
    for number, wanted in enumerate(trace["ops"]):
        got = perform(replay, wanted["op"])
        where = f"op {number}: {wanted['op']}"
        assert got["op"] == wanted["op"]
        assert got["r"] == wanted["r"], where
        for key in ("data", "ev", "ch", "alive", "alloc", "cur", "pipe", "bufs", "hash"):
            assert got.get(key) == wanted.get(key), f"{where}: {key}"
        compare_states(got.get("st"), wanted.get("st"), where)


def compare_states(got: dict | None, wanted: dict | None, where: str) -> None:
    assert (got is None) == (wanted is None), f"{where}: st"
    if wanted is not None:
        assert sorted(got) == sorted(wanted), f"{where}: buffers in st"
        for cpu, state in wanted.items():
            assert comparable(got[cpu]) == comparable(state), f"{where}: st of buffer {cpu}"
