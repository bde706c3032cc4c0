"""tools/test-all, which `make test` is: exit status, what it says at the end, and Ctrl-C."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/test-all"
MAKEFILE = """
.PHONY: fine pytest meson sleeps
fine:
\t@echo all is well
pytest:
\t@echo "FAILED tests/python/test_x.py::test_y - assert 1 == 2"; exit 1
meson:
\t@echo " 7/29 core - rchan:race   FAIL   1.00s   exit status 1"; exit 2
sleeps: # and so do two children, of which one hears no Ctrl-C
\t@(trap '' INT; cat alive) & cat alive
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    os.mkfifo(tmp_path / "alive")
    return tmp_path


@pytest.fixture(params=["1", "3"])
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    yield {**os.environ, "RCHAN_TEST_JOBS": request.param}


def test_what_has_failed_is_named_at_the_end(place: Path, environment: dict[str, str]) -> None:
    command = [TOOL, "no wheel", "pytest", "fine", "meson"]
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "all is well\n== fine passed after " in done.stdout
    _, _, ending = done.stdout.partition("== all after ")
    parts = dict(part.split("\n", 1) for part in ending.split("FAILED: ")[1:])
    assert parts.keys() == {"pytest", "meson"}
    assert "    FAILED tests/python/test_x.py::test_y - assert 1 == 2\n" in parts["pytest"]
    assert "    7/29 core - rchan:race   FAIL   1.00s   exit status 1\n" in parts["meson"]


def test_all_is_well(place: Path, environment: dict[str, str]) -> None:
    done = subprocess.run([TOOL, "no wheel", "fine"], cwd=place, env=environment, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_leaves_nothing(place: Path, number: int) -> None:
    command = [TOOL, "no wheel", "sleeps", "fine"]
    environment = {**os.environ, "RCHAN_TEST_JOBS": "2", "RCHAN_TEST_PATIENCE": "0.2"}
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        with (place / "alive").open("wb", 0) as alive:  # opens when somebody reads
            while not process.stdout.readline().startswith("== fine passed"):
                pass
            process.send_signal(number)
            assert process.wait() == 130
            with pytest.raises(BrokenPipeError):  # nobody reads any more
                alive.write(b"x")
        assert process.stdout.read().endswith("== told to stop\n")
