"""Argument parser of all commands: errors suggest the nearest option and end with exit code 2."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from emulator import exit_codes

_PARSER_ONLY: Final = ("\0",)
"""Words for which `Parser.parse` parses nothing. No command line can contain them."""


MOST: Final = 10**9
"""Highest value of options that are whole numbers without a limit of their own. As seconds it is 31 years."""


class _ParserFound(Exception):
    def __init__(self, parser: Parser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(parse_options: Callable[[Sequence[str]], object]) -> Parser:
    """Return the parser that a command's parse function creates, for completion and the reference."""
    try:
        parse_options(_PARSER_ONLY)
    except _ParserFound as found:
        return found.parser
    raise AssertionError(f"{parse_options} does not use Parser.parse")


def whole_number(text: str, lowest: int, highest: int) -> int | None:
    """Return the number that a text is; None if it is none, or outside of the limits."""
    # Python also takes digits of other scripts, and refuses to convert thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(highest))):
        return None
    return int(text) if lowest <= int(text) <= highest else None


class Parser(argparse.ArgumentParser):
    """Argument parser that suggests the nearest option. Errors end the process with exit code 2.

    `epilog`: examples, printed as they are.
    """

    def __init__(self, prog: str, *, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # An abbreviation that works today would become ambiguous with the next new option.
            allow_abbrev=False,
        )
        # By an option, or the `dest` of a positional argument.
        self.suggested: dict[str, Sequence[str]] = {}

    def suggest(self, argument: str, values: Iterable[str]) -> None:
        """Let shells complete these values of an option, or of a positional argument, which accepts others, too."""
        self.suggested[argument] = tuple(values)

    def add_app_option(self, *spellings: str, group: argparse._ArgumentGroup | None = None) -> None:
        """Add --app. `spellings`: other names, those of `func`. `group`: where the help lists it."""
        (group or self).add_argument(
            *("--app", *spellings),
            type=Path,
            default=Path(),
            metavar="DIR",
            help="folder of the app (default: the current folder)",
        )

    def add_host_options(self, group: argparse._ArgumentGroup | None = None) -> None:
        """Add --app, --port and --key: what `finding_hosts.find_host` needs. `group`: where the help lists them."""
        self.add_app_option(group=group)
        add = (group or self).add_argument
        add("-p", "--port", metavar="N", help="port of the host (default: that of the host of this folder)")
        add("--key", metavar="KEY", help="master key, if the host checks keys (default: the one in the app folder)")

    def add_json_option(self) -> None:
        """Add --json."""
        self.add_argument("--json", action="store_true", help="print one JSON document (docs/reference/json-output.md)")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the command."""
        # Parse functions create their parser and use it at once, so this is the only place to get at it.
        if tuple(words) == _PARSER_ONLY:
            raise _ParserFound(self)
        namespace, unknown = self.parse_known_args(words)
        if unknown:
            options = [
                option
                for action in self._actions
                if action.help != argparse.SUPPRESS
                for option in action.option_strings
            ]
            near = difflib.get_close_matches(unknown[0].split("=")[0], options, n=1)
            advice = f" Did you mean '{near[0]}'?" if near else ""
            if not advice and not unknown[0].startswith("-"):
                positional = [action for action in self._actions if not action.option_strings]
                names = "".join(f"\n  {action.metavar or action.dest:12} {action.help}" for action in positional)
                advice = f" The command takes these, each in quotation marks if it has spaces:{names}" if names else ""
            self.error(f"unknown argument '{unknown[0]}'.{advice}")
        return namespace

    def port_of(self, text: str | None, *, lowest: int) -> int | None:
        """Return the number of the option --port; None if it is not given."""
        if text is None:
            return None
        # Checked here and not by argparse, whose messages do not say which values are possible.
        if (port := whole_number(text, lowest, 65535)) is None:
            meaning = "" if lowest else " (0: any free port)"
            self.error(f"--port: '{text}' is not a port number. Use {lowest} to 65535{meaning}.")
        return port

    def number_of(self, option: str, text: str, *, lowest: int = 0, highest: int = MOST) -> int:
        """Return the value of an option that is a whole number."""
        if (number := whole_number(text, lowest, highest)) is None:
            self.error(f"{option}: '{text}' is not a whole number from {lowest} to {highest}.")
        return number

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"azemu: {message}\nTry '{self.prog} --help'.\n")
        raise SystemExit(exit_codes.USAGE)
