"""A short storm (`make storm T=…` blows longer): processes killed, every record checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STORM = Path(__file__).parents[1] / "storm/python_storm.py"


@pytest.mark.parametrize("kind", ["records", "events"])
def test_a_short_storm(kind: str) -> None:
    command = [sys.executable, str(STORM), "--seconds", "1.5", "--kills", "10", "--seed", "1"]
    command += ["--only", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = json.loads(done.stdout)
    assert counted["kills"] >= 10
    assert counted["recorded"] > 0
    assert counted["recorder_kills"] >= 1
    assert counted["resumed"] >= 1, "nobody went on with the killed recorder's recording"
