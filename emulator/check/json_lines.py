"""Lines of the members of a JSON file with comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from emulator.regular_files import read_regular_text

_TOKEN: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/|[{}\[\],:]', re.DOTALL)


def line_of_member(path: Path, member: Sequence[str]) -> int:
    """Return the line of a member of nested objects, in any letter case; 1 if the file does not have it."""
    try:
        text = read_regular_text(path, errors="replace")
    except OSError:
        return 1
    return member_lines(text).get(tuple(name.lower() for name in member), 1)


def member_lines(text: str) -> Mapping[tuple[str, ...], int]:
    """Return the first line of each member by its path in lower case. The text need not be valid JSON."""
    found: dict[tuple[str, ...], int] = {}
    # One entry for each open object or array: the key of the member that is being read in it.
    keys: list[str] = []
    name, line, position = "", 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", position, token.start())
        position = token.start()
        match token.group()[0]:
            case '"':
                # Escapes in names of members are rare enough to be left as they are.
                name = token.group()[1:-1]
            case ":" if keys:
                keys[-1] = name.lower()
                found.setdefault(tuple(keys), line)
            case "{" | "[":
                keys.append("")
            case "}" | "]" if keys:
                keys.pop()
    return found
