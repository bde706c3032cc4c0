"""A manifest of any bytes is refused as damaged, or good. (`make fuzz` does it by coverage.)"""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

import fuzz_manifest

from rchan.recorder import manifest
from rchan.recorder.errors import RecordingDamaged


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60))
@example(b"\0" + b"[" * 100_000)
@example(b"\0\xff\xfe")
def test_any_bytes(data: bytes) -> None:
    fuzz_manifest.play(data)
    fuzz_manifest.play(b"\1" + data)


@pytest.mark.parametrize("name", ["../app.0", "/etc/passwd", "", "..", 5, None])
def test_a_recorded_file_is_beside_its_manifest(tmp_path: Path, name: object) -> None:
    values = json.loads(fuzz_manifest.template())
    values["files"][0]["file"] = name
    (tmp_path / "app.json").write_text(json.dumps(values))
    with pytest.raises(RecordingDamaged, match="not a manifest"):
        manifest.load(tmp_path, "app")
