"""The reference of the commands in docs/reference."""

from __future__ import annotations

import re

from emulator.cli.commands import COMMANDS
from emulator.cli.parsing import parser_of
from release.cli_reference import FILE, reference


def test_reference_shows_the_help_of_all_commands() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "write it again: python -m release.cli_reference"


def test_every_json_document_is_described() -> None:
    described = set(re.findall(r"`(azemu [^`]+)`", FILE.with_name("json-output.md").read_text(encoding="utf-8")))
    with_json = {
        f"azemu {' '.join(command.words)}"
        for command in COMMANDS
        if not command.is_alias and "--json" in parser_of(command.parse_options)._option_string_actions
    }
    assert with_json - described == set()
