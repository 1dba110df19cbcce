"""Completion scripts, and the data from which they are generated."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.cli.commands import COMMANDS
from emulator.cli.parsing import parser_of


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_help_of_each_command_has_examples_and_explains_every_option(
    command: object, capsys: pytest.CaptureFixture[str]
) -> None:
    [command] = [known for known in COMMANDS if known is command]
    assert main([*command.words, "--help"]) == 0
    out, err = capsys.readouterr()
    assert (err, "examples:" in out) == ("", True)
    assert [action.dest for action in parser_of(command.parse_options)._actions if not action.help] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_has_a_script_with_all_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in COMMANDS:
        assert command.is_alias or " ".join(command.words) in script


# What each shell proposes for the last word. Values and file names instead of options follow an option with a value.
PROPOSED = {
    "azemu dur": ["durable"],
    "azemu help dur": ["durable"],
    "azemu durable sho": ["show"],
    "azemu durable list --st": ["--status", "--storage"],
    "azemu durable list --status Te": ["Terminated"],
    "azemu durable list --runtime-status=Completed --task-hub-name X --status Fai": ["Failed"],
    "azemu completion f": ["fish"],
    "azemu start --no-": ["--no-color", "--no-reload"],
    "azemu start --app vers": [],
    "azemu start --chaos --no-": ["--no-color", "--no-reload"],
    "azemu init services/mail -t ord": ["order"],
    "azemu new fan": ["fan-out"],
    "azemu check --plan fl": ["flex"],
}


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The script for the shell in the test's parameter, in an empty folder."""
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    (tmp_path / shell).write_text(capsys.readouterr().out, encoding="utf-8")
    return tmp_path / shell


def proposals(script: Path, *command: str) -> list[list[str]]:
    """Run a command that prints a line of words for each line of PROPOSED."""
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=True)
    return [sorted(line.split()) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_completes_commands_options_and_values(script: Path) -> None:
    calls = "".join(
        f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _azemu; echo ${{COMPREPLY[@]}}\n"
        for line in PROPOSED
    )
    assert proposals(script, "bash", "-c", f"source ./bash\n{calls}") == list(PROPOSED.values())


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_completes_commands_options_and_values(script: Path) -> None:
    # In place of the functions of its completion system, which needs a terminal.
    begin = """compdef() { : }
_files() { print }
_describe() { local found=(${(M)candidates:#$words[CURRENT]*}); print -r -- ${found%%:*}; }
source ./zsh
"""
    calls = "".join(f"words=({line}); CURRENT=$#words; _azemu\n" for line in PROPOSED)
    assert proposals(script, "zsh", "-f", "-c", begin + calls) == list(PROPOSED.values())


@pytest.mark.parametrize("script", ["fish"], indirect=True)
def test_fish_completes_commands_options_and_values(script: Path) -> None:
    # Without the meanings, which follow a tab.
    calls = "".join(f"echo (complete -C '{line}' | string replace -r '\\t.*' '')\n" for line in PROPOSED)
    assert proposals(script, "fish", "--no-config", "-c", f"source ./fish\n{calls}") == list(PROPOSED.values())
