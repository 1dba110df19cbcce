"""JSON files with comments, trailing commas and byte order marks, as Newtonsoft.Json and .NET read them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator import bound_json as json
from emulator.regular_files import read_regular

# Both patterns match a string first (and keep it), so that `//` or `,]` inside a string is not removed.
_STRING = r'"(?:\\.|[^"\\\n])*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])")

_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class NotText(Exception):
    """File in an encoding that cannot be read."""


@dataclass(frozen=True, slots=True)
class JsonFile:
    """Content of a JSON file, and warnings for the user."""

    value: Any
    warnings: Sequence[str]


def read_json(path: Path) -> JsonFile:
    """Read a JSON file.

    Raises OSError, NotText, and json.JSONDecodeError, whose line and column are those of the file.
    """
    content = read_regular(path)
    # .NET detects the encoding by the byte order mark. PowerShell 5 and some Windows editors write UTF-16.
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    try:
        text = content[len(mark) :].decode(_BYTE_ORDER_MARKS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        position = error.start + len(mark) + 1
        raise NotText(f"The file is not UTF-8 text (byte {position}). Save it as UTF-8.") from None
    # JSON text contains none. Windows editors write UTF-16 without a byte order mark, too.
    if "\0" in text:
        raise NotText("The file contains NUL characters; it is probably UTF-16. Save it as UTF-8.")
    repeated: list[str] = []

    def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.extend(name for name in members if names.count(name) > 1)
        return members

    plain = _COMMENT.sub(_blank, text)
    plain = _TRAILING_COMMA.sub(_blank, plain)
    try:
        value = json.loads(plain, object_pairs_hook=build_object)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise json.JSONDecodeError("Objects and arrays are nested too deeply", plain, 0) from None
    except ValueError:
        # JSONDecodeError is a ValueError, too, and is handled above. What is left is Python's limit of 4300 digits.
        raise json.JSONDecodeError("A number has too many digits", plain, 0) from None
    return JsonFile(
        value,
        [f"'{path}' contains \"{name}\" twice in one object; the last value is used." for name in repeated],
    )


def _blank(match: re.Match[str]) -> str:
    """Replace a comment or a trailing comma by spaces of the same length, so that error positions stay correct."""
    removed = match.group(0)
    if match.group(1) is not None:
        return removed  # A string.
    # A comma without a value before it, as in `{,}` or `[1,,]`, is an error in Newtonsoft.Json, too.
    before = match.string[: match.start()].rstrip()[-1:]
    if removed == "," and before in ("", "{", "[", ",", ":"):
        return removed
    return re.sub(r"[^\n]", " ", removed)
