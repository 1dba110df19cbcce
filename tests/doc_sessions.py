"""Commands of the documentation, and what they print.

A block `sh` of a page has commands, one in each line. In a block `console` a line that begins with `$ ` is a command,
and the lines below it are its output. `…` in the output stands for any text, and a time for any time. An id of 32
hexadecimal digits stands for the id in its place, here and in later commands; `ID` in a command for the last id that
was printed.
"""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
# 2026-11-30T09:12:01.418 in all forms.
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?"
_ID = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Step:
    """A command with the output that the page shows. `output` is empty: the page shows none."""

    line: str
    output: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line.replace("\\\n", " "), comments=True)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Return language and content of each block of code, without the indentation of a list."""
    return [
        (language, re.sub(f"(?m)^{indentation}", "", content))
        for indentation, language, content in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


def session_of(page: Path) -> list[Step]:
    """Return the commands of a page in their order."""
    return [step for language, content in blocks_of(page) for step in _steps(language, content)]


class Placeholders:
    """What the ids of a page are in this run."""

    def __init__(self) -> None:
        self._actual: dict[str, str] = {}
        self._last = ""

    def filled(self, text: str) -> str:
        """Return a command with the ids of this run."""
        for shown, actual in {**self._actual, r"ID": self._last}.items():
            text = re.sub(rf"\b{shown}\b", lambda _, actual=actual: actual, text) if actual else text  # type: ignore[misc]
        return text

    def matches(self, shown: str, printed: str) -> bool:
        """Return whether an output is the one that a page shows, and remember its ids."""
        new: list[str] = []

        def pattern(part: str) -> str:
            if part == "…":
                return ".*?"
            if re.fullmatch(_TIME, part):
                return _TIME
            if _ID.fullmatch(part) is None or part in self._actual:
                return re.escape(self._actual.get(part, part))
            new.append(part)
            return f"(?P<id{len(new) - 1}>[0-9a-f]{{32}})"

        parts = re.split(rf"(…|\b[0-9a-f]{{32}}\b|{_TIME})", shown.strip())
        expected = "".join(map(pattern, parts))
        found = re.fullmatch(expected, printed.strip(), re.DOTALL)
        if found is not None:
            self._actual |= {part: found[f"id{index}"] for index, part in enumerate(new)}
        return found is not None

    def remember(self, printed: str) -> None:
        """Let `ID` stand for the id in an output, if it has one."""
        for found in re.findall(r'"id": ?"([^"]+)"', printed)[:1]:
            self._last = found


def unknown_packages(words: list[str]) -> list[str]:
    """Return the words after `pip install` that are neither options, nor azemu, nor packages of pyproject.toml."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = (
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    )
    requirements = ["azemu", *(line for group in groups for line in group if isinstance(line, str))]
    known = {canonicalize_name(Requirement(line).name) for line in requirements}
    return [
        word for word in words if not word.startswith("-") and canonicalize_name(Requirement(word).name) not in known
    ]


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
    parser.add_argument("-f", action="store_true")
    parser.add_argument("--retry")
    parser.add_argument("--retry-connrefused", action="store_true")
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


def _steps(language: str, content: str) -> Iterator[Step]:
    if language == "sh":
        yield from (Step(line, "") for line in content.splitlines() if line.strip())
    elif language == "console":
        for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
            yield _step(part)


def _step(part: str) -> Step:
    """Divide a part of a session into the command, which may have several lines, and its output."""
    lines = part.splitlines(keepends=True)
    count = 1
    while not _is_complete("".join(lines[:count])):
        count += 1
    return Step("".join(lines[:count]).rstrip("\n"), "".join(lines[count:]))


def _is_complete(command: str) -> bool:
    if command.endswith("\\\n"):
        return False
    try:
        shlex.split(command, comments=True)
    except ValueError:  # A quote is open.
        return False
    return True
