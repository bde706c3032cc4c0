"""The golden traces whose operations a mount offers, their files opened through a mount."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from test_golden import HERE, compare_trace, traces

NOT_THROUGH_FILES = {"splice", "drain", "pipesize"}
OFFERED = {"fopen", "read", "poll", "mmap", "release"}


def ops_of(trace: dict) -> set[str]:
    return {op["op"].split()[0] for op in trace["ops"]}


def offered() -> list:
    return [
        param
        for param in traces()
        if ops_of(param.values[0]) & OFFERED and not ops_of(param.values[0]) & NOT_THROUGH_FILES
    ]


@pytest.fixture(scope="module")
def replay() -> Iterator[subprocess.Popen]:
    if not os.path.exists("/dev/fuse"):
        pytest.skip("there is no /dev/fuse here")
    if os.geteuid():
        pytest.skip("FUSE passthrough (mmap) takes CAP_SYS_ADMIN")
    command = [sys.executable, HERE / "replay", "--mount"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if process.poll() is None:
            yield process
        process.stdin.close()
        assert process.wait() == 0, process.stderr.read()


def test_there_are_traces() -> None:
    assert len(offered()) >= 100


@pytest.mark.parametrize("trace", offered())
def test_trace_through_the_mount(replay, trace) -> None:
    compare_trace(replay, trace)
