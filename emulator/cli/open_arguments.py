"""Arguments of `azemu open`."""

from __future__ import annotations

import argparse
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
        prog="azemu open",
        description="Open the dashboard of the running host in the browser, and print its URL.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--app", type=Path, default=Path(), metavar="DIR", help="folder of the app (default: the current folder)")
    add("-p", "--port", metavar="N", help="port of the host (default: that of the host of this folder)")
    add("--key", metavar="KEY", help="master key, if the host checks keys (default: the one in the app folder)")
    add("--no-browser", dest="browser", action="store_false", help="only print the URL")
    add("--json", action="store_true", help="print one JSON document (docs/reference/json-output.md)")
    options = parser.parse(words)
    return Open(
        app=options.app,
        port=parser.port_of(options.port, lowest=1),
        key=options.key,
        browser=options.browser,
        json=options.json,
    )
