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


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_and_choices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "azemu.bash").write_text(capsys.readouterr().out, encoding="utf-8")
    lines = {
        "azemu dur": ["durable"],
        "azemu durable sho": ["show"],
        "azemu durable list --st": ["--status", "--storage"],
        "azemu completion f": ["fish"],
        "azemu start --no-": ["--no-color", "--no-reload"],
    }
    calls = "".join(
        f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _azemu; echo ${{COMPREPLY[@]}}\n"
        for line in lines
    )
    done = subprocess.run(
        ["bash", "-c", f"source ./azemu.bash\n{calls}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [sorted(line.split()) for line in done.stdout.splitlines()] == list(lines.values())
