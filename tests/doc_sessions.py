"""Commands of the documentation, and what they print.

In a block ```` ```console ```` of a page a line that begins with `$ ` is a command, and the lines below it are its
output. `…` in the output stands for any text.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A command with the output that the page shows. `output` is empty: the page shows none."""

    words: list[str]
    output: str


def session_of(page: Path) -> list[Step]:
    """Return the commands of a page in their order."""
    return [step for block in _BLOCK.findall(page.read_text(encoding="utf-8")) for step in _steps(block)]


def matches(shown: str, printed: str) -> bool:
    """Return whether an output is the one that a page shows."""
    pattern = ".*?".join(map(re.escape, shown.strip().split("…")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@dataclass(frozen=True)
class Curl:
    """A request of the command `curl`. `target`: path and query. `shows_head`: the option -i."""

    method: str
    target: str
    headers: dict[str, str]
    body: str | None
    shows_head: bool


def curl_of(words: list[str]) -> Curl:
    """Return the request of the words after `curl`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-X")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("url")
    options = parser.parse_args(words)
    found = re.fullmatch(r"(?:http://)?localhost:7071(/.*)", options.url)
    assert found is not None, f"{options.url} is not the address of a local host"
    method = options.X or ("GET" if options.d is None else "POST")
    headers = dict(header.split(": ", 1) for header in options.H)
    return Curl(method, found[1], headers, options.d, options.i)


def _steps(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield Step(shlex.split(command, comments=True), output)
