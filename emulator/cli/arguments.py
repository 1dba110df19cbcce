"""Command line of `azemu`: find the command of the arguments and parse its options. Nothing is run here."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emulator import __version__, exit_codes
from emulator.cli.commands import COMMANDS, GROUPS, Command, find_command
from emulator.cli.func_commands import advice_for

_OVERVIEW: Final = """\
azemu {version}: run Azure Functions and Durable Functions on your machine

Usage: azemu <command> [options]

Commands:
{commands}

Examples:
  azemu start                                  serve the app on http://localhost:7071
  azemu start --port 8080 --app path/to/app    use another port and another folder
  azemu start --storage builtin                keep storage in a file of the app folder; needs no Azurite or Node.js
  azemu start --functions greet orders         run only these two functions
  azemu start --no-reload                      run in one process, for a debugger
  azemu invoke consume "message text"          run the function consume as if this message had arrived
  azemu durable list --status Failed           list the orchestrations that have failed
  azemu open                                   look at all of it in the browser

`azemu <command> --help` shows all options of a command.
"""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command and its options, as its own function has parsed them."""

    command: Command
    options: Any


def parse(words: Sequence[str]) -> CommandLine | int:
    """Parse the arguments after `azemu`. Return an exit code if the help or an error message was printed instead."""
    rest = list(words)
    if not rest or rest[0] in ("-h", "--help") or rest in (["help"], ["help", "help"]):
        sys.stdout.write(_OVERVIEW.format(version=__version__, commands=_overview_of_commands()))
        return exit_codes.OK
    # As in Core Tools, -v is the version and not --verbose.
    if rest[0] in ("--version", "-v", "-V", "version"):
        sys.stdout.write(f"azemu {__version__}\n")
        return exit_codes.OK
    # `azemu help start` is `azemu start --help`.
    if rest[0] == "help":
        rest = [*rest[1:], "--help"]
    if rest[0].startswith("-"):
        # Either a misspelt option of azemu itself, or the word `start` was forgotten.
        near = difflib.get_close_matches(rest[0], ("--version", "--help"), n=1)
        suggestion = f"azemu {near[0]}" if near else f"azemu start {shlex.join(rest)}"
        sys.stderr.write(f"azemu: expected a command, not '{rest[0]}'. Did you mean '{suggestion}'?\n")
        return exit_codes.USAGE
    # By the words alone: only the chosen command is imported.
    command = find_command(rest)
    if command is not None:
        try:
            return CommandLine(command, command.parse_options(rest[len(command.words) :]))
        except SystemExit as end:
            # argparse ends the process after --help and after an error. Callers in this process need the code instead.
            return end.code if isinstance(end.code, int) else exit_codes.USAGE
    return _unknown_command(rest)


def _overview_of_commands() -> str:
    # A group is one line here. `azemu GROUP` lists its commands.
    summaries = {command.words[0]: GROUPS.get(command.words[0], command.summary) for command in COMMANDS}
    shown = {command.words[0] for command in COMMANDS if not command.is_alias}
    lines = {f"{word} …" if word in GROUPS else word: summaries[word] for word in summaries if word in shown}
    lines |= {"help [command]": "show the options of a command"}
    width = max(map(len, lines))
    return "\n".join(f"  {name:{width}}  {summary}" for name, summary in lines.items())


def _unknown_command(words: Sequence[str]) -> int:
    group = words[0] if words[0] in GROUPS else ""
    prefix = f"azemu {group}".strip()
    others = words[1:] if group else words
    if group and (not others or others[0] in ("-h", "--help")):
        # `azemu storage` alone is an error for scripts (exit code 2), but a person gets the list of commands.
        stream = sys.stdout if others else sys.stderr
        if not others:
            stream.write(f"azemu: '{prefix}' needs one more word. ")
        commands = [command for command in COMMANDS if command.words[0] == group and len(command.words) > 1]
        # A group whose commands are all other spellings is shown nevertheless: the user has asked for it.
        commands = [command for command in commands if not command.is_alias] or commands
        width = max(len(command.words[1]) for command in commands) + 2
        lines = "".join(f"  {prefix} {command.words[1]:{width}}{command.summary}\n" for command in commands)
        first = " ".join(commands[0].words)
        stream.write(f"Commands:\n{lines}`azemu {first} --help` shows the options of a command.\n")
        return exit_codes.OK if others else exit_codes.USAGE
    if not group and (lacking := advice_for(words, Path(sys.argv[0]))) is not None:
        sys.stderr.write(f"azemu: there is no command '{lacking[0]}'. {lacking[1]}\n")
        return exit_codes.USAGE
    if group:
        known = [command.words[1] for command in COMMANDS if command.words[0] == group and len(command.words) > 1]
    else:
        known = list(dict.fromkeys([*(command.words[0] for command in COMMANDS), "help", "version"]))
    near = difflib.get_close_matches(others[0], known, n=1)
    if near:
        advice = f"Did you mean '{prefix} {near[0]}'?"
    else:
        advice = f"Known commands: {', '.join(known)}." if group else "`azemu --help` lists the commands."
    sys.stderr.write(f"azemu: unknown command '{f'{group} {others[0]}'.strip()}'. {advice}\n")
    return exit_codes.USAGE
