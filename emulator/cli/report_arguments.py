"""Arguments of `azemu report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.cli.parsing import Parser

_EXAMPLES: Final = """\
examples:
  azemu report
  azemu report --memory 512
  azemu report --json

The running host counts its storage requests and executions from its start on. The prices are estimates (docs/costs.md).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Options of `azemu report`. `memory`: of an execution on Azure, in MB; None: the default."""

    app: Path
    port: int | None
    key: str | None
    memory: int | None
    json: bool


def parse_report(words: Sequence[str]) -> Report:
    """Parse the arguments of `azemu report`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser(
        "azemu report",
        description="Show the storage requests and executions of the running host, and what they may cost on Azure.",
        epilog=_EXAMPLES,
    )
    parser.add_host_options()
    parser.add_argument("--memory", metavar="MB", help="assumed memory of an execution on Azure (default: 256)")
    parser.add_json_option()
    options = parser.parse(words)
    memory = options.memory
    return Report(
        app=options.app,
        port=parser.port_of(options.port, lowest=1),
        key=options.key,
        memory=None if memory is None else parser.number_of("--memory", memory, lowest=1, highest=16384),
        json=options.json,
    )
