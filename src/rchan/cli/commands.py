"""The table of subcommands: a line each. A module is imported when its command is used."""

from importlib import import_module
from types import ModuleType
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """A subcommand: its module in this package, and what it does in a few words."""

    module: str
    about: str
    takes_command: bool = False
    """Is what follows `--` a COMMAND to run?"""


COMMANDS: Final[dict[str, Entry]] = {
    "create": Entry("create", "make a channel"),
    "ls": Entry("ls", "list the channels"),
    "stat": Entry("stat", "show where a channel's records went"),
    "write": Entry("write", "write standard input into a channel"),
    "cat": Entry("cat", "print what is in a channel, and consume it"),
    "tail": Entry("tail", "print the end of a channel, consuming nothing"),
    "snapshot": Entry("snapshot", "copy what is in a channel to a file, consuming nothing"),
    "record": Entry("record", "record channels to files", takes_command=True),
    "run": Entry("run", "run a Python program and record its logs", takes_command=True),
    "verify": Entry("verify", "check recordings"),
    "merge": Entry("merge", "put recordings into one file by time"),
    "events": Entry("events", "print events of a channel or a trace"),
    "export": Entry("export", "write events for other tools"),
    "mount": Entry("mount", "show channels as files"),
    "umount": Entry("umount", "end a mount"),
    "top": Entry("top", "watch channels live"),
    "flush": Entry("control", "finish the current sub-buffers, for readers to see"),
    "reset": Entry("control", "empty channels"),
    "pause": Entry("control", "let no writer of a channel write"),
    "resume": Entry("control", "let them write again"),
    "rm": Entry("rm", "remove channels"),
    "doctor": Entry("doctor", "check what rchan needs of this machine"),
    "completion": Entry("completion", "print the completion script for a shell"),
}


def module_of(name: str) -> ModuleType:
    """The module of a subcommand: it has `add_to(subcommands)`."""
    return import_module(f"rchan.cli.{COMMANDS[name].module}")


def near(word: str, words: "list[str]") -> str:
    """'; did you mean …?' for what is spelled like one of the words; else nothing."""
    from difflib import get_close_matches  # here: only who mistyped waits for it

    matches = get_close_matches(word, words, n=3, cutoff=0.6)
    if not matches:
        return ""
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?"
