"""The code blocks of a page: what to run, and what it prints.

A ``python`` block is a program of its own, or, if the line before it ends in "`NAME`:", that file.
A ``console`` block is a terminal: lines after `$ ` are typed (`> ` goes on), the others come back.
An ``output`` block is what the program before it prints. There `…` stands for anything, and alone
in a line for any lines. Files and channels stay from block to block of a page.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for p in (ROOT / "docs").rglob("*.md") if p.parent.name != "cli")]
)
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n+```(?P<kind>[\w-]+)\n(?P<text>.*?)^```$", re.M | re.S)
LONGEST = 60  # seconds that one block may take; a hang, not a bar


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the name of the file that it is, if any."""

    kind: str
    text: str
    file: str | None


def blocks_of(page: Path) -> list[Block]:
    found = []
    for match in BLOCK.finditer("\n" + page.read_text(encoding="utf-8")):
        named = re.search(r"`([\w./-]+)`:$", match["before"])
        found.append(Block(match["kind"], match["text"], named[1] if named else None))
    return found


def pattern_of(shown: str) -> str:
    """A regular expression for what is shown."""
    lines = []
    for line in shown.splitlines(keepends=True):
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*")
        else:
            lines.append(".*".join(re.escape(part) for part in line.rstrip("\n").split("…")) + "\n")
    return "".join(lines)


def plain(text: str) -> str:
    """Without what differs from machine to machine: the number of CPUs, and so of columns."""
    lines = [re.sub(r"  +", " ", line.rstrip()) for line in text.splitlines()]
    return "".join(re.sub(r"\d+(?= buffers of| x 8 x)", "N", line) + "\n" for line in lines)


def check_shown(shown: str, printed: str, what: str) -> None:
    shown, printed = plain(shown), plain(printed)
    assert re.fullmatch(pattern_of(shown), printed), f"{what}\nprints\n{printed}not\n{shown}"


def commands_of(session: str) -> list[tuple[str, str]]:
    """What is typed, and what the terminal shows then."""
    commands: list[tuple[str, str]] = []
    for line in session.splitlines(keepends=True):
        if line.startswith("$ "):
            commands.append((line[2:], ""))
        elif line.startswith("> ") and not commands[-1][1]:
            commands[-1] = (commands[-1][0] + line[2:], "")
        else:
            commands[-1] = (commands[-1][0], commands[-1][1] + line)
    return commands


class Run:
    """A reader of the page, who does everything that it says, in an empty directory."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.channels = where / "channels"
        self.home = where / "home"
        self.home.mkdir()
        beside = str(Path(sys.executable).parent)
        self.environment = {
            **os.environ,
            "RCHAN_DIR": str(self.channels),
            "PATH": f"{beside}:{os.environ['PATH']}",
            "COLUMNS": "100",
        }
        for name in ("PYTHONPATH", "PYTEST_ADDOPTS"):
            self.environment.pop(name, None)

    def call(self, command: list[str], errors: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            timeout=LONGEST,
            check=False,
        )

    def program(self, text: str, shown: str | None) -> None:
        path = self.where / "example.py"
        path.write_text(text, encoding="utf-8")
        done = self.call([sys.executable, str(path)], subprocess.PIPE)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        if shown is not None:
            check_shown(shown, done.stdout, text)

    def terminal(self, session: str) -> None:
        for typed, shown in commands_of(session):
            check_shown(shown, self.call(["bash", "-c", typed], subprocess.STDOUT).stdout, typed)

    def page(self, blocks: list[Block]) -> None:
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            if block.file is not None:
                (self.home / block.file).parent.mkdir(parents=True, exist_ok=True)
                (self.home / block.file).write_text(block.text, encoding="utf-8")
            elif block.kind == "python":
                self.program(block.text, after.text if after and after.kind == "output" else None)
            elif block.kind == "console":
                self.terminal(block.text)
        left = [entry.name for entry in self.channels.iterdir()] if self.channels.exists() else []
        assert left == [], f"the page leaves channels behind: {left}"
