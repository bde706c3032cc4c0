"""The examples: each runs as it stands, says what it should, leaves nothing, and is listed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rchan

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TEXT = (EXAMPLES / "README.md").read_text(encoding="utf-8")

# Program, its arguments, what it says.
RUNS = (
    ("multiprocess_logging.py", [], r"INFO:shop:worker 3 took order 2\n(.|\n)*lost: nothing\n\Z"),
    ("flight_recorder.py", ["FILE"], r"the very last: step 99990\n99991 records written, "),
    ("asyncio_consumer.py", [], r"says 4\n(.|\n)*10 messages\n\Z"),
    ("video_frames.py", [], r"the last frame was number 99, (.|\n)* = 100 taken\n\Z"),
    ("numpy_frames.py", [], r"\A1000 frames, mean 500\.0\n\Z"),
    ("sample_proc.py", ["0.1"], r"\A100 samples; late by "),
    ("any_program.sh", [], r"\A199998\n199999\n200000\n(.|\n)*the books close"),
    ("any_program.sh", ["echo", "mine"], r"\Amine\n"),
    ("replay.py", [], r"\+ *\d+\.\d+ ms  beat .*'number': 9(.|\n)*missing: nothing\n\Z"),
)


@pytest.mark.parametrize("name, arguments, said", RUNS, ids=lambda value: str(value)[:24])
def test_it_runs(name, arguments, said, tmp_path, channels):
    if name.startswith("numpy"):
        pytest.importorskip("numpy")
    done = run(name, [str(tmp_path / "kept") if word == "FILE" else word for word in arguments])
    assert re.search(said, done.stdout), done.stdout
    assert list(channels.iterdir()) == []
    if "FILE" in arguments:
        assert (tmp_path / "kept").read_bytes().endswith(b"step 99990\n")


def run(name, arguments=()):
    interpreter = "sh" if name.endswith(".sh") else sys.executable
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [interpreter, EXAMPLES / name, *arguments],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_it_runs_again_after_a_kill(channels):
    """What a killed run left behind does not stop the next one."""
    rchan.create("flight", n_buffers=1).detach()
    assert list(channels.iterdir())
    run("flight_recorder.py", ["/dev/null"])
    assert list(channels.iterdir()) == []


def test_each_is_listed_and_short():
    programs = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")}
    assert {name for name, _, _ in RUNS} == programs
    for name in programs:
        assert f"[{name}]({name})" in TEXT
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 60, name
