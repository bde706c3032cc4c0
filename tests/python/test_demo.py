"""The demo on a part of its input, and a checker that sees every kind of fault."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).parents[2] / "demo"
QUICK = ("--limit-files", "40", "--workers", "3")


def run(*options: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, DEMO / "tokenize_stdlib.py", *QUICK, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def number(output: str, row: str) -> int:
    found = re.search(rf"^ *{row} +([\d,]+)", output, re.MULTILINE)
    assert found, output
    return int(found[1].replace(",", ""))


@pytest.fixture(scope="module")
def token_check() -> ModuleType:
    sys.path.insert(0, str(DEMO))
    try:
        import token_check  # noqa: PLC0415
    finally:
        sys.path.remove(str(DEMO))
    return token_check


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory of a small recording with losses, and what the demo said."""
    directory, channels = (tmp_path_factory.mktemp(name) for name in ("recorded", "channels"))
    return directory, run("--small", "--keep", directory, RCHAN_DIR=str(channels))


@pytest.fixture
def kept(lossy: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that recording, to be damaged."""
    return Path(shutil.copytree(lossy[0], tmp_path / "kept"))


def complaints(token_check: ModuleType, directory: Path) -> list[str]:
    reports = list(directory.glob("worker-*.json"))
    (recording,) = directory.glob("tokens-*")
    check = token_check.Check(directory, recording.name, reports)
    check.run()
    return check.complaints


def biggest_file(directory: Path) -> Path:
    return max(directory.glob("tokens-*/tokens-*"), key=lambda path: path.stat().st_size)


def test_every_token(channels: Path) -> None:
    said = run()
    assert said.splitlines()[-1] == "every token accounted for"
    assert number(said, "source files") == 40
    assert number(said, "recorded") == number(said, "tokens") > 40_000
    assert number(said, "lost: full") == 0
    assert list(channels.iterdir()) == []


def test_losses_are_counted(lossy: tuple[Path, str]) -> None:
    _, said = lossy
    assert said.splitlines()[-1] == "every token accounted for"
    lost = sum(map(int, re.findall(r"lost: .*?(\d+)", said.replace(",", ""))))
    assert lost > 0
    assert number(said, "recorded") + lost == number(said, "tokens")


def test_checker_is_content(token_check: ModuleType, kept: Path) -> None:
    assert complaints(token_check, kept) == []


def test_checker_sees_a_missing_record(token_check: ModuleType, kept: Path) -> None:
    path = biggest_file(kept)
    data = path.read_bytes()
    first = next(token_check.unpack_all(memoryview(data)))
    path.write_bytes(data[len(first.record) :])
    assert any("nowhere: 1, expected 0" in text for text in complaints(token_check, kept))


def test_checker_sees_a_record_twice(token_check: ModuleType, kept: Path) -> None:
    path = biggest_file(kept)
    data = path.read_bytes()
    first = next(token_check.unpack_all(memoryview(data)))
    path.write_bytes(data + bytes(first.record))
    assert any("recorded twice" in text for text in complaints(token_check, kept))


def test_checker_sees_a_changed_byte(token_check: ModuleType, kept: Path) -> None:
    path = biggest_file(kept)
    data = bytearray(path.read_bytes())
    data[12] ^= 1  # of a line number: sequence and lengths stay
    path.write_bytes(data)
    assert any("checksum" in text for text in complaints(token_check, kept))


def test_checker_sees_half_a_record(token_check: ModuleType, kept: Path) -> None:
    path = biggest_file(kept)
    path.write_bytes(path.read_bytes()[:-1])
    assert any("half a" in text for text in complaints(token_check, kept))


def test_checker_sees_a_drop_that_was_not_counted(token_check: ModuleType, kept: Path) -> None:
    reports = {path: json.loads(path.read_text()) for path in kept.glob("worker-*.json")}
    report, values = next(item for item in reports.items() if item[1]["refused"])
    values["refused"].pop()
    report.write_text(json.dumps(values))
    found = complaints(token_check, kept)
    assert any("dropped in the books" in text for text in found)
    assert any("nowhere" in text for text in found)


def test_checker_sees_a_recording_that_did_not_end(token_check: ModuleType, kept: Path) -> None:
    (manifest,) = kept.glob("tokens-*/.rchan/manifest.json")
    manifest.write_text(manifest.read_text().replace('"complete"', '"recording"'))
    assert any("state: recording" in text for text in complaints(token_check, kept))
