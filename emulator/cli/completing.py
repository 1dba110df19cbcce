"""Command `azemu completion`: scripts for shells, generated from the table of commands and their parsers."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emulator import exit_codes
from emulator.cli.commands import COMMANDS, GROUPS
from emulator.cli.completion_arguments import Completion
from emulator.cli.parsing import Parser, parser_of


def run_completion(command: Completion) -> int:
    """Print the script and return the exit code."""
    write = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script, "powershell": powershell_script}
    sys.stdout.write(write[command.shell](_contexts()))
    return exit_codes.OK


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that may follow, with its meaning; values need none.

    An option has more `spellings`, and `values` unless it is a flag: those that are known, perhaps none.
    """

    word: str
    meaning: str
    spellings: Sequence[str] = ()
    values: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What may follow the words of a command; or, directly, the word of a group (`is_group`), such as `durable`.

    With `options`: what may be the value of one of these options of the command.
    """

    words: tuple[str, ...]
    candidates: Sequence[Candidate]
    is_group: bool = False
    options: Sequence[str] = ()


def _contexts() -> list[Context]:
    """Return what may follow `azemu` and each command; other spellings of commands are left out."""
    commands = [command for command in COMMANDS if not command.is_alias]
    first = {command.words[0]: GROUPS.get(command.words[0], command.summary) for command in commands}
    first |= {"help": "show the options of a command", "version": "print the version"}
    top = [Candidate(word, meaning) for word, meaning in first.items()]
    contexts = [Context((), top, is_group=True), Context(("help",), top[:-2], is_group=True)]
    for group in dict.fromkeys(command.words[0] for command in commands if len(command.words) > 1):
        members = [command for command in commands if command.words[0] == group]
        second = [Candidate(command.words[1], command.summary) for command in members]
        contexts.append(Context((group,), second, is_group=True))
    for command in commands:
        candidates = list(_arguments(parser_of(command.parse_options)))
        contexts.append(Context(command.words, candidates))
        # Behind the command, because shells try the contexts from the last to the first.
        options: dict[tuple[str, ...], list[str]] = {}
        for candidate in candidates:
            if candidate.values is not None:
                options.setdefault(tuple(candidate.values), []).extend(candidate.spellings)
        for values, spellings in options.items():
            contexts.append(Context(command.words, [Candidate(value, "") for value in values], options=spellings))
    return contexts


def _arguments(parser: Parser) -> Iterator[Candidate]:
    # argparse has no public way to list the arguments of a parser.
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        meaning = " ".join((action.help or "").split())
        # The long spelling says more than the short one. Several long ones are the same option.
        names = [name for name in action.option_strings if name.startswith("--")] or action.option_strings
        suggested = [
            parser.suggested[name] for name in (*action.option_strings, action.dest) if name in parser.suggested
        ]
        values = [str(value) for value in (suggested[0] if suggested else action.choices or ())]
        if names:
            # An optional value cannot be told from the next option.
            takes_value = action.nargs not in (0, "?")
            yield Candidate(names[0], meaning, action.option_strings, values if takes_value else None)
        else:
            yield from (Candidate(value, "") for value in values)


# Where nothing fits, shells complete names of files: values of options such as --app, and @FILE.


def bash_script(contexts: Sequence[Context]) -> str:
    """Return the script for bash."""
    # The longest words come first, because shells take the first case that matches. Without words, they propose files.
    cases = "".join(
        f"    {_cases(context)}) words={_quoted(' '.join(each.word for each in context.candidates))} ;;\n"
        for context in contexts[::-1]
    )
    return f"""\
# Completion of azemu for bash.
_azemu() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
  case "${{COMP_WORDS[*]:1:COMP_CWORD-1}} " in
{cases}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _azemu azemu
"""


def zsh_script(contexts: Sequence[Context]) -> str:
    """Return the script for zsh."""
    cases = ""
    for context in contexts[::-1]:
        described = " ".join(
            _quoted(f"{candidate.word}:{candidate.meaning}".replace("\\", "\\\\")) for candidate in context.candidates
        )
        cases += f"    {_cases(context)}) candidates=({described}) ;;\n"
    return f"""\
#compdef azemu
# Completion of azemu for zsh.
_azemu() {{
  local -a candidates
  case "${{words[2,CURRENT-1]}} " in
{cases}  esac
  _describe azemu candidates || _files
}}
if [ "$funcstack[1]" = "_azemu" ]; then _azemu "$@"; else compdef _azemu azemu; fi
"""


def fish_script(contexts: Sequence[Context]) -> str:
    """Return the script for fish."""
    lines = [
        "# Completion of azemu for fish.",
        "function __azemu_follows",
        "  set -l words (commandline -opc)",
        "  set -e words[1]",
        "  set -l count (count $argv)",
        "  test (count $words) -ge $count; or return 1",
        '  test $count -eq 0; or test "$words[1..$count]" = "$argv"',
        "end",
        "function __azemu_is_at",
        "  __azemu_follows $argv; and test (count (commandline -opc)) -eq (math (count $argv) + 1)",
        "end",
    ]
    for context in contexts:
        if context.options:
            continue
        after = " ".join(context.words)
        for candidate in context.candidates:
            meaning = _quoted_for_fish(candidate.meaning)
            # Options may stand anywhere behind the command, other words only directly behind it.
            if candidate.word.startswith("--"):
                condition = f"__azemu_follows {after}"
                short = [f"-s {name[1:]}" for name in candidate.spellings if not name.startswith("--")]
                names = " ".join([f"-l {candidate.word[2:]}", *short])
                value = f" -x -a '{' '.join(candidate.values)}'" if candidate.values else ""
                # -r: a value follows, which fish takes for the name of a file.
                value = " -r" if candidate.values == [] else value
                lines.append(f"complete -c azemu -n '{condition}' {names}{value} -d {meaning}")
            else:
                condition = f"__azemu_is_at {after}".strip()
                lines.append(f"complete -c azemu -n '{condition}' -f -a {candidate.word} -d {meaning}")
    return "\n".join(lines) + "\n"


def powershell_script(contexts: Sequence[Context]) -> str:
    """Return the script for PowerShell."""
    cases = ""
    for context in contexts[::-1]:
        # Hash tables and no arrays: PowerShell takes an array with one array in it for the inner one.
        described = "\n".join(
            f"      @{{ word = {_quoted_for_powershell(candidate.word)}; "
            # PowerShell accepts no empty text as the meaning.
            f"meaning = {_quoted_for_powershell(candidate.meaning or candidate.word)} }}"
            for candidate in context.candidates
        )
        tests = " -or ".join(f'"$before " -like {_quoted_for_powershell(each)}' for each in _patterns(context))
        cases += f"    if ({tests}) {{ return @(\n{described}\n    ) }}\n"
    return f"""\
# Completion of azemu for PowerShell.
Register-ArgumentCompleter -Native -CommandName azemu -ScriptBlock {{
  param($current, $line, $position)
  function Find-Candidates($before) {{
{cases}  }}
  $words = @($line.CommandElements | Where-Object {{ $_.Extent.EndOffset -lt $position }} | Select-Object -Skip 1)
  Find-Candidates ($words -join ' ') | Where-Object {{ $_.word -like "$current*" }} | ForEach-Object {{
    [System.Management.Automation.CompletionResult]::new($_.word, $_.word, 'ParameterValue', $_.meaning)
  }}
}}
"""


def _patterns(context: Context) -> list[str]:
    """Return patterns with `*`, one of which the words before the cursor match, which end with a space."""
    before = " ".join((*context.words, "")) or " "
    if context.options:
        return [f"{before}{between}{option} " for option in context.options for between in ("", "* ")]
    return [before if context.is_group else f"{before}*"]


def _cases(context: Context) -> str:
    """Return the patterns for `case` of bash and zsh, where `*` must not be quoted."""
    return "|".join("*".join(_quoted(part) if part else "" for part in each.split("*")) for each in _patterns(context))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _quoted_for_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted_for_powershell(text: str) -> str:
    # These quotation marks end a text there, too.
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"
