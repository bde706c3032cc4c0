"""From the table of subcommands to a parser: of one of them, so that the others cost nothing."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Any, Final, NoReturn

from rchan.cli import exits
from rchan.cli.commands import COMMANDS, module_of, near
from rchan.cli.screen import complain

_WIDEST: Final = 79
USAGE: Final = "usage: rchan [-h] [--version] SUBCOMMAND ...\n"


class UsageError(SystemExit):
    """The arguments make no sense; it was said why."""


class HelpFormatter(RawDescriptionHelpFormatter):
    """Fills paragraphs to the terminal's width; blocks with indented lines stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        from textwrap import fill

        return "\n\n".join(
            block
            if is_verbatim(block)
            else fill(block, min(width, _WIDEST), break_on_hyphens=False, break_long_words=False)
            for block in blocks_of(text)
        )


def blocks_of(text: str) -> list[str]:
    """The parts of a description or epilog that blank lines separate."""
    return [block.strip("\n") for block in text.split("\n\n") if block.strip()]


def is_verbatim(block: str) -> bool:
    """Has it indented lines, such as examples?"""
    return any(line.startswith(" ") for line in block.splitlines())


class Parser(ArgumentParser):
    """An ArgumentParser that says what is wrong in one line, and where the help is."""

    def error(self, message: str) -> NoReturn:
        """Say it and leave."""
        complain(f"{message} (see '{self.prog} --help')", exits.USAGE)
        raise UsageError(exits.USAGE)


def parser_of(name: str) -> ArgumentParser:
    """`rchan`, knowing this subcommand only."""
    parser = Parser(prog="rchan", usage=USAGE.removeprefix("usage: "))
    # prog: argparse would load its formatter to find it out.
    subcommands = parser.add_subparsers(metavar="SUBCOMMAND", dest="subcommand", prog="rchan")
    module_of(name).add_to(subcommands)
    return parser


def parse(arguments: list[str]) -> Namespace:
    """A subcommand and its arguments. Leaves (SystemExit) after help, or words of what is wrong."""
    name = arguments[0]
    parser = parser_of(name)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        unknown = [word for word in unknown if word != "--"] or unknown
        known = [*_subparser(parser, name)._option_string_actions]
        hint = near(unknown[0], known)
        words = f"{unknown[0]!r} is not understood{hint} (see 'rchan {name} --help')"
        raise UsageError(complain(words, exits.USAGE))
    return options


def subparser_of(name: str) -> ArgumentParser:
    """The parser of the subcommand itself, for those who read its options."""
    return _subparser(parser_of(name), name)


def _subparser(parser: ArgumentParser, name: str) -> ArgumentParser:
    (action,) = (action for action in parser._actions if action.dest == "subcommand")
    choices: Any = action.choices
    found: ArgumentParser = choices[name]
    return found


def add_command(
    subcommands: Any, name: str, description: str, epilog: str, usage: str
) -> ArgumentParser:
    """A subcommand of the table: its description and epilog are printed as they are written."""
    parser: ArgumentParser = subcommands.add_parser(
        name,
        help=COMMANDS[name].about,
        usage=f"rchan {name} {usage}",
        description=description,
        epilog=epilog,
        formatter_class=HelpFormatter,
    )
    return parser
