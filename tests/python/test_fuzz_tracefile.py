"""A recording of any bytes is refused as damaged, or answered (`make fuzz`: by coverage)."""

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

import fuzz_tracefile
from recording_template import MANIFEST, SUBBUFS, template

from rchan import tracefile

CORPUS = sorted((Path(__file__).parents[1] / "fuzz/corpus/tracefile").iterdir())


def test_the_template_is_right(tmp_path: Path) -> None:
    """Else the target would see only what is refused at once."""
    pytest.importorskip("zstandard")
    fuzz_tracefile.store(template(), tmp_path / "app")
    [report] = tracefile.verify(tmp_path)
    assert not report.problems
    assert (report.subbufs, report.checked) == (2 * SUBBUFS, 2 * SUBBUFS)


def test_the_stored_corpus() -> None:
    assert CORPUS
    for path in CORPUS:
        try:
            fuzz_tracefile.play(path.read_bytes())
        except BaseException as error:
            error.add_note(f"input: {path.name}")
            raise


@settings(max_examples=60)
@given(st.binary(max_size=60))
@example(b"")
@example(b"\1\0\xff" + b"[" * 255)
def test_any_bytes(data: bytes) -> None:
    fuzz_tracefile.play(data)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff\xfe", b"", b"null", b"[]"])
def test_a_manifest_of_any_text(tmp_path: Path, text: bytes) -> None:
    fuzz_tracefile.store({**template(), MANIFEST: text}, tmp_path)
    with pytest.raises(tracefile.RecordingDamaged):
        tracefile.load(tmp_path)
    fuzz_tracefile.ask(tmp_path)


@pytest.mark.parametrize("what", ["FIFO", "directory", "link", "huge"])
def test_a_manifest_that_is_no_file_of_text(tmp_path: Path, what: str) -> None:
    fuzz_tracefile.store(template(), tmp_path)
    path = tmp_path / MANIFEST
    path.rename(tmp_path / "elsewhere")
    if what == "FIFO":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(tracefile.RecordingDamaged, match=r"manifest\.json"):
        tracefile.load(tmp_path)
    fuzz_tracefile.ask(tmp_path)


@pytest.mark.parametrize("name", ["../app.0", "/etc/passwd", "", "..", 5, None])
def test_a_recorded_file_is_beside_its_manifest(tmp_path: Path, name: object) -> None:
    values = json.loads(template()[MANIFEST])
    values["files"][0]["file"] = name
    fuzz_tracefile.store({**template(), MANIFEST: json.dumps(values).encode()}, tmp_path)
    with pytest.raises(tracefile.RecordingDamaged, match="not a manifest"):
        tracefile.load(tmp_path)
