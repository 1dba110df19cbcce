"""Write docs/reference/cli.md, the help of all commands. A test checks that the file is current.

python -m release.cli_reference
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from emulator.cli.commands import COMMANDS, Command
from emulator.cli.parsing import parser_of

FILE: Final = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

_BEGIN: Final = """\
# Commands

`azemu --help` lists the commands, `azemu COMMAND --help` shows what is below. This page is written by
`python -m release.cli_reference`. The documents that `--json` prints are described in [json-output.md](json-output.md).

Exit codes: 0 after success, 1 after an error whose message was printed, 2 for a wrong command line, 130 after Ctrl-C.
"""


def reference() -> str:
    """Return the text of the page."""
    # Not argparse's own help: its format differs between versions of Python.
    return "\n".join([_BEGIN, *(_section(command) for command in COMMANDS if not command.is_alias), _spellings()])


def _section(command: Command) -> str:
    parser = parser_of(command.parse_options)
    positionals = [action for action in parser._actions if not action.option_strings]
    usage = " ".join(["azemu", *command.words, *map(_positional, positionals), "[options]"])
    description = " ".join((parser.description or "").split())
    rows = "\n".join(_rows(parser))
    examples = (parser.epilog or "").strip()
    return (
        f"## azemu {' '.join(command.words)}\n\n{description}\n\n`{usage}`\n\n| | |\n|---|---|\n{rows}\n\n"
        f"```text\n{examples}\n```\n"
    )


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return f"[{name}]" if action.nargs in ("?", "*") else name


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or action.dest == "help":
            continue
        # Options without a value have no name for it.
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        names = ", ".join(f"`{name}{value}`" for name in action.option_strings) or f"`{_positional(action)}`"
        meaning = (action.help or "").replace("%%", "%").replace("|", "\\|")
        yield f"| {names} | {' '.join(meaning.split())} |"


def _spellings() -> str:
    """Return the table of the other spellings of commands."""
    rows = "\n".join(
        f"| `azemu {' '.join(command.words)}` | {command.summary} |" for command in COMMANDS if command.is_alias
    )
    return (
        "## Other spellings\n\nThese words, most of them those of `func`, are understood, too, with the options of "
        f"`func`. For commands of `func` that azemu lacks, it says what to use instead.\n\n| | |\n|---|---|\n{rows}\n"
    )


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(reference(), encoding="utf-8", newline="\n")
