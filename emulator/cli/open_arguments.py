"""Arguments of `azemu open`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.cli.parsing import Parser

_EXAMPLES: Final = """\
examples:
  azemu open
  azemu open --no-browser                 only print the URL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Options of `azemu open`. `browser`: open the URL, besides printing it."""

    app: Path
    port: int | None
    key: str | None
    browser: bool
    json: bool


def parse_open(words: Sequence[str]) -> Open:
    """Parse the arguments of `azemu open`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser(
        "azemu open",
        description="Open the dashboard of the running host in the browser, and print its URL.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    parser.add_host_options()
    add("--no-browser", dest="browser", action="store_false", help="only print the URL")
    parser.add_json_option()
    options = parser.parse(words)
    return Open(
        app=options.app,
        port=parser.port_of(options.port, lowest=1),
        key=options.key,
        browser=options.browser,
        json=options.json,
    )
