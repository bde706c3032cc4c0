"""The demo on a part of its input, and a checker that sees every kind of fault."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).parents[2] / "demo"
QUICK = ("--limit-files", "40", "--workers", "3")


def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEMO / "tokenize_stdlib.py", *QUICK, *options],
        capture_output=True,
        text=True,
        check=False,
    )


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


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The directory of a small recording with losses."""
    done = run("--small", "--keep", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path


def complaints(token_check: ModuleType, directory: Path) -> list[str]:
    reports = list(directory.glob("worker-*.json"))
    (recording,) = directory.glob("tokens-*")
    check = token_check.Check(directory, recording.name, reports)
    check.run()
    return check.complaints


def biggest_file(directory: Path) -> Path:
    return max(directory.glob("tokens-*/tokens-*"), key=lambda path: path.stat().st_size)


def test_every_token(channels: Path) -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "every token accounted for"
    assert number(done.stdout, "source files") == 40
    assert number(done.stdout, "recorded") == number(done.stdout, "tokens") > 40_000
    assert number(done.stdout, "lost: full") == 0
    assert list(channels.iterdir()) == []


def test_losses_are_counted() -> None:
    done = run("--small")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "every token accounted for"
    lost = sum(map(int, re.findall(r"lost: .*?(\d+)", done.stdout.replace(",", ""))))
    assert lost > 0
    assert number(done.stdout, "recorded") + lost == number(done.stdout, "tokens")


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
    report = next(kept.glob("worker-*.json"))
    values = json.loads(report.read_text())
    assert values["refused"]
    values["refused"].pop()
    report.write_text(json.dumps(values))
    found = complaints(token_check, kept)
    assert any("dropped in the books" in text for text in found)
    assert any("nowhere" in text for text in found)


def test_checker_sees_a_recording_that_did_not_end(token_check: ModuleType, kept: Path) -> None:
    (manifest,) = kept.glob("tokens-*/.rchan/manifest.json")
    manifest.write_text(manifest.read_text().replace('"complete"', '"recording"'))
    assert any("state: recording" in text for text in complaints(token_check, kept))
