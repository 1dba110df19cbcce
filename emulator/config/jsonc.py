"""JSON files as .NET and Newtonsoft.Json read them: comments, trailing commas and byte order marks are fine."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A string is matched first, so that what looks like a comment inside one stays.
_STRING = r'"(?:\\.|[^"\\\n])*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])")

_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class NotText(Exception):
    """The file is not in an encoding that we read."""


@dataclass(frozen=True, slots=True)
class JsonFile:
    """What a file holds, and warnings for the user."""

    value: Any
    warnings: Sequence[str]


def read_json(path: Path) -> JsonFile:
    """Raises OSError, NotText, and json.JSONDecodeError whose line and column are those of the file."""
    value, twice = _parsed(_text(path.read_bytes()))
    return JsonFile(value, [f"'{path}' has \"{name}\" twice in one object; the last one counts." for name in twice])


def _text(content: bytes) -> str:
    """As .NET decodes a file. Editors and shells of Windows write UTF-16, with a mark."""
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    try:
        return content[len(mark) :].decode(_BYTE_ORDER_MARKS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        raise NotText(f"It is not UTF-8 text (byte {error.start + len(mark) + 1}). Save it as UTF-8.") from None


def _parsed(text: str) -> tuple[Any, list[str]]:
    """The value, and the names that stand more than once in one object."""
    twice: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) < len(pairs):
            given = [name for name, _ in pairs]
            twice.extend(name for name in names if given.count(name) > 1)
        return names

    plain = _TRAILING_COMMA.sub(_blank_after_value, _COMMENT.sub(_blank, text))
    try:
        return json.loads(plain, object_pairs_hook=members), twice
    except json.JSONDecodeError:  # a ValueError, too
        raise
    except RecursionError:
        raise json.JSONDecodeError("Objects and arrays are nested too deeply", plain, 0) from None
    except ValueError:  # Python reads no number of more than 4300 digits.
        raise json.JSONDecodeError("A number has too many digits", plain, 0) from None


def _blank(match: re.Match[str]) -> str:
    """Spaces in place of what goes, line breaks kept, so that positions stay true."""
    if match.group(1) is not None:
        return match.group(1)
    return re.sub(r"[^\n]", " ", match.group(0))


def _blank_after_value(match: re.Match[str]) -> str:
    """A comma without a value before it, as in `{,}`, is an error and stays one."""
    before = match.string[: match.start()].rstrip()[-1:]
    return match.group(0) if before in ("", "{", "[", ",", ":") else _blank(match)
