"""The manual: a page for each command, made of the same parser that prints its help."""

from argparse import SUPPRESS, Action, ArgumentParser
from dataclasses import dataclass, field
from textwrap import dedent, fill
from typing import Final

from rchan.cli import exits
from rchan.cli.commands import COMMANDS
from rchan.cli.main import overview
from rchan.cli.parsing import blocks_of, is_verbatim, subparser_of

_WIDTH: Final = 100
_TITLES: Final = {"positional arguments": "Arguments", "options": "Options"}
HEAD: Final = "<!-- Made by `make help-docs` from the help of the commands: do not edit. -->\n"


@dataclass(slots=True)
class Section:
    """A heading and what is below it: paragraphs, and (True) blocks to be left as they are."""

    title: str
    blocks: list[tuple[str, bool]] = field(default_factory=list)
    options: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """The manual page of a command."""

    name: str
    about: str
    sections: list[Section]


def page_of(name: str) -> Page:
    """The page of a subcommand."""
    parser = subparser_of(name)
    usage = parser.format_usage().removeprefix("usage: ").strip()
    synopsis = Section("Synopsis", [(" ".join(usage.split()), True)])
    about = Section("Description", _blocks(parser.description or ""))
    return Page(
        name,
        COMMANDS[name].about,
        [synopsis, about, *_option_sections(parser), *_epilog_sections(parser.epilog or "")],
    )


def _blocks(text: str) -> list[tuple[str, bool]]:
    return [
        (dedent(block), True) if is_verbatim(block) else (" ".join(block.split()), False)
        for block in blocks_of(text)
    ]


def _option_sections(parser: ArgumentParser) -> list[Section]:
    sections = []
    for group in parser._action_groups:
        options = [
            (_invocation(action), _help(action))
            for action in group._group_actions
            if action.help != SUPPRESS
        ]
        if options:
            title = group.title or ""
            sections.append(Section(_TITLES.get(title, _heading(title)), options=options))
    return sections


def _heading(words: str) -> str:
    return words[:1].upper() + words[1:]


def _invocation(action: Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return metavar
    value = "" if action.nargs == 0 else f" {metavar}"
    return ", ".join(f"{option}{value}" for option in action.option_strings)


def _help(action: Action) -> str:
    return (action.help or "") % {**vars(action), "prog": "rchan"}


def _epilog_sections(epilog: str) -> list[Section]:
    """'examples:' with indented lines, 'JSON: …', 'exit status: …'; anything else is a note."""
    sections: list[Section] = []
    for block in blocks_of(epilog):
        first, _, rest = block.partition("\n")
        word, colon, words = block.partition(": ")
        if is_verbatim(block) and first.endswith(":"):
            sections.append(Section(_heading(first[:-1]), [(dedent(rest), True)]))
        elif colon and word in ("JSON", "exit status"):
            sections.append(Section(_heading(word), [(" ".join(words.split()), False)]))
        else:
            note = (dedent(block), True) if is_verbatim(block) else (" ".join(block.split()), False)
            if not sections or sections[-1].title != "Notes":
                sections.append(Section("Notes"))
            sections[-1].blocks.append(note)
    return sections


# ---- Markdown ----


def markdown(page: Page) -> str:
    """The page as a Markdown document."""
    parts = [HEAD, f"# rchan {page.name}\n", f"{_heading(page.about)}.\n"]
    for section in page.sections:
        parts.append(f"## {section.title}\n")
        parts += [
            f"```text\n{text}\n```\n" if verbatim else _filled(text)
            for text, verbatim in section.blocks
        ]
        if section.options:
            parts.append("".join(f"- `{flags}`: {words}\n" for flags, words in section.options))
    return "\n".join(parts)


def _filled(text: str) -> str:
    return fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False) + "\n"


def index() -> str:
    """The first page: what there is, and the exit statuses."""
    rows = "".join(
        f"| [`{name}`](cli/{name}.md) | {entry.about} |\n" for name, entry in COMMANDS.items()
    )
    statuses = "".join(f"| {number} | {words} |\n" for number, words in exits.WORDS.items())
    examples = overview().partition("examples:\n")[2].partition("\n\n")[0]
    return f"""{HEAD}
# The command `rchan`

One command, installed with the package; it needs no root and no daemon. `rchan SUBCOMMAND --help`
prints what these pages say.

| subcommand | what it does |
|---|---|
{rows}
```text
{dedent(examples)}
```

## Exit status

| status | meaning |
|---|---|
{statuses}
With a COMMAND after `--`, the exit status is that of COMMAND, or 128 + the number of the signal
that ended it. A failure is said in one line on standard error. Results go to standard output,
everything else to standard error; progress and colours are for terminals only (`NO_COLOR` is
respected).

## Completion

```text
source <(rchan completion bash)      # in ~/.bashrc
source <(rchan completion zsh)       # in ~/.zshrc, after compinit
rchan completion fish | source       # in ~/.config/fish/config.fish
```

Names of channels are completed, too.
"""


# ---- man ----


def manual(page: Page) -> str:
    """The page in the language of man(7)."""
    lines = [f'.TH RCHAN-{page.name.upper()} 1 "" rchan', ".SH NAME"]
    lines.append(rf"rchan\-{_roff(page.name)} \- {_roff(page.about)}")
    for section in page.sections:
        lines.append(f".SH {_roff(section.title.upper())}")
        for text, verbatim in section.blocks:
            lines += [".nf", _roff(text), ".fi"] if verbatim else [".PP", _roff(text)]
        for flags, words in section.options:
            lines += [".TP", rf"\fB{_roff(flags)}\fR", _roff(words)]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    lines = text.replace("\\", r"\e").replace("-", r"\-").split("\n")
    return "\n".join(rf"\&{line}" if line[:1] in (".", "'") else line for line in lines)
