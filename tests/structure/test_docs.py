"""The documents say what the code does: labels, functions and links exist, code blocks run."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "docs", ROOT / "examples")
DOCS = sorted([*ROOT.glob("*.md"), *(path for one in FOLDERS for path in one.rglob("*.md"))])
README = (ROOT / "README.md").read_text(encoding="utf-8")
LABEL = re.compile(r"([a-z]+\.[a-z]+): pairs with")


def labels_in_code() -> set[str]:
    return {
        label
        for path in (ROOT / "core").glob("*.[ch]")
        for label in LABEL.findall(path.read_text(encoding="utf-8"))
    }


def labels_in_table() -> set[str]:
    text = (ROOT / "docs" / "memory-model.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {label for row in rows for label in re.findall(r"`([a-z]+\.[a-z]+)`", row)}


def test_the_memory_model_has_every_label():
    assert labels_in_table() == labels_in_code()


def test_life_of_a_record_names_functions_that_exist():
    text = (ROOT / "docs" / "life-of-a-record.md").read_text(encoding="utf-8")
    named = re.findall(r"\[`(\w+)`\]\(\.\./([^)]+)\)", text)
    assert len(named) > 20
    for function, path in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"\b{function}\(", source), f"{path} has no {function}"


def test_its_sentences_are_numbered_without_a_gap():
    text = (ROOT / "docs" / "life-of-a-record.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


def run_block(block, where):
    program = where / "example.py"
    program.write_text(block, encoding="utf-8")
    environment = {**os.environ, "RCHAN_DIR": str(where / "channels")}
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, check=True
    )
    assert list((where / "channels").iterdir()) == []
    return done.stdout


def blocks_of(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_code_of_the_readme_runs(tmp_path):
    (block,) = blocks_of("README.md")
    assert "attempted=Count(records=4000, " in run_block(block, tmp_path)


def test_every_extra_is_documented():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = settings["project"]["optional-dependencies"]
    rows = re.findall(r"^\| `rchan\[(\w+)\]` \| .* \| (\w+) \|$", README, re.MULTILINE)
    brings = {name: re.match(r"\w+", needs[0])[0] for name, needs in extras.items()}
    assert dict(rows) == brings


EVENTS = ("events of 3 types\n", "True\nworker(): state is no member", "/* CTF 1.8 */\n")


@pytest.mark.parametrize("number", range(len(EVENTS)))
def test_the_code_about_events_runs(tmp_path, number):
    assert len(blocks_of("docs/events.md")) == len(EVENTS)
    assert EVENTS[number] in run_block(blocks_of("docs/events.md")[number], tmp_path)


def test_the_code_about_recording_runs(tmp_path):
    (block,) = blocks_of("docs/recording.md")
    assert run_block(block, tmp_path) == "1000 0\n0 0 1000 b'record 0' 0\n[]\n"


EXPORTS = (
    "request 0 True\nrequest 1 True\nrequest 2 True\n[]\n",
    "1000 ['time', 'cpu', 'pid', 'tid', 'user', 'path', 'seconds']\n",
    "[('C', 'memory'), ('X', 'parse')]\n",
)


@pytest.mark.parametrize("number", range(len(EXPORTS)))
def test_the_code_about_exports_runs(tmp_path, number):
    assert len(blocks_of("docs/exports.md")) == len(EXPORTS)
    assert run_block(blocks_of("docs/exports.md")[number], tmp_path) == EXPORTS[number]


def test_the_code_about_logging_runs(tmp_path):
    (block,) = blocks_of("docs/logging.md")
    assert run_block(block, tmp_path) == "3 records\n"


READING = (
    "1000 records read",
    "True in time order",
    "record 0, record 1, record 2, ",
    "[3, 3] records, still unread: b'record 0, record 1, record 2, '",
    "b'a record'",
    "important in hand\nNone is left",
    r"b'one line\nanother\n'",
    "b'one line\\n'\nb'another\\n'",
    "8 bytes sent\nb'finished'",
    "0 ready\nb'news'",
    "b'a record' 1",
    "b'a record' missed (0, 0, 0)\nb'a record' is still unread",
    "b'record  99' 20 records\n100 written",
    "2097152 b'live' True",
)


def test_every_way_to_read_is_shown():
    assert len(blocks_of("docs/reading.md")) == len(READING)


@pytest.mark.parametrize("number", range(len(READING)))
def test_the_code_about_reading_runs(tmp_path, number):
    assert run_block(blocks_of("docs/reading.md")[number], tmp_path) == READING[number] + "\n"


def test_the_code_about_the_mount_runs(tmp_path):
    if os.geteuid() or not os.path.exists("/dev/fuse"):
        pytest.skip("mounting takes root and /dev/fuse")
    (block,) = blocks_of("docs/mount.md")
    shown = "['app.ctl', 'app.info', 'app.stat', 'app0']\nb'a record\\n'\n"
    assert run_block(block, tmp_path) == shown


def test_the_mounts_commands_are_documented():
    text = (ROOT / "docs" / "mount.md").read_text(encoding="utf-8")
    for word in ("--root", "--foreground", "--allow-other", "--timeout", "--lazy"):
        assert f"`{word}" in text or f" {word}`" in text, word
