"""`rchan completion`, and what the scripts that it prints ask for: `rchan _complete WORD...`.

The scripts know nothing about rchan. They hand over the words of the command line and get
candidates, one a line, with a description behind a tab; ':files' asks for file names.
"""

import os
import sys
from argparse import Action, ArgumentParser, Namespace
from typing import Any, Final

from rchan.cli import exits
from rchan.cli.commands import COMMANDS, near

_ABOUT: Final = """\
Print the script that teaches a shell to complete rchan's subcommands, options
and the names of channels that are there.
"""
_EXAMPLES: Final = """\
examples:
  source <(rchan completion bash)        in ~/.bashrc
  source <(rchan completion zsh)         in ~/.zshrc, after compinit
  rchan completion fish | source         in ~/.config/fish/config.fish

exit status: 0; 2: no such shell.
"""
_BASH: Final = """\
_rchan() {
    local found name
    mapfile -t found < <(rchan _complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)
    COMPREPLY=()
    if [ "${found[0]}" = :files ]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        return
    fi
    for name in "${found[@]}"; do
        COMPREPLY+=("$(printf %q "$name")")
    done
}
complete -F _rchan rchan
"""
_ZSH: Final = """\
#compdef rchan
_rchan() {
    local -a found described
    found=(${(f)"$(rchan _complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if [ "$found[1]" = :files ]; then
        _files
        return
    fi
    local line
    for line in $found; do
        described+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    _describe rchan described
}
compdef _rchan rchan
"""
_FISH: Final = """\
function __rchan_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (rchan _complete $words[2..] 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c rchan -f -a '(__rchan_complete)'
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_FILES: Final = ("FILE", "DIR")


def add_to(subcommands: Any) -> None:
    """Describe the subcommand to argparse."""
    from rchan.cli.parsing import add_command

    parser = add_command(subcommands, "completion", _ABOUT, _EXAMPLES, "SHELL")
    parser.add_argument("shell", metavar="SHELL", choices=SCRIPTS, help="bash, zsh or fish")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print the script; the exit status."""
    sys.stdout.write(SCRIPTS[options.shell])
    return exits.OK


def complete(words: list[str]) -> int:
    """Print candidates for the last of the words that follow `rchan`; never fails."""
    for candidate, about in candidates(words or [""]):
        sys.stdout.write(f"{candidate}\t{about}\n" if about else f"{candidate}\n")
    return exits.OK


def channel_names(parent: str | None) -> list[str]:
    """Names of the channels of a directory; nothing if it cannot be read."""
    from rchan.cli.look import names_in
    from rchan.errors import RchanError

    try:
        return names_in(parent)
    except (RchanError, OSError, ValueError):
        return []


def near_channel(name: str, parent: str | None) -> str:
    """'; did you mean …?' for the channels of this directory that are spelled like it."""
    return near(name, channel_names(parent))


def candidates(words: list[str]) -> list[tuple[str, str]]:
    """Candidates for the last word, each with a description; (':files', ''): file names."""
    *before, current = words
    if not before or before == ["help"]:
        names = [(name, entry.about) for name, entry in COMMANDS.items()]
        return _beginning(current, [*names, ("--help", "what there is"), ("--version", "")])
    if before[0] not in COMMANDS:
        return []
    if "--" in before:
        return [(":files", "")]
    from rchan.cli.parsing import subparser_of

    parser = subparser_of(before[0])
    awaited = _option_awaiting(parser, before[-1])
    if awaited is not None:
        return _values(awaited, current, before)
    if current.startswith("-"):
        return _beginning(current, _options(parser))
    positionals = [action for action in parser._actions if not action.option_strings]
    return _values(positionals[0], current, before) if positionals else []


def _option_awaiting(parser: ArgumentParser, word: str) -> Action | None:
    """The option that this word is, if its value comes next."""
    found = parser._option_string_actions.get(word)
    return found if found is not None and found.nargs != 0 else None


def _options(parser: ArgumentParser) -> list[tuple[str, str]]:
    return [
        (option, action.help or "")
        for action in parser._actions
        for option in action.option_strings
    ]


def _values(action: Action, current: str, before: list[str]) -> list[tuple[str, str]]:
    if action.choices is not None:
        return _beginning(current, [(str(choice), "") for choice in action.choices])
    if action.metavar in _FILES:
        return [(":files", "")]
    if action.metavar == "NAME":
        parent = before[before.index("--parent") + 1] if "--parent" in before[:-1] else None
        names = [name for name in channel_names(parent) if name.isprintable()]
        return _beginning(current, [(name, "channel") for name in names])
    return []


def _beginning(current: str, found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [candidate for candidate in found if candidate[0].startswith(os.fspath(current))]
