"""JSON as Newtonsoft.Json reads it: comments, trailing commas and a byte order mark are fine."""

from __future__ import annotations

import json
import re
from typing import Any

# A string is matched first, so that what looks like a comment inside one stays.
_STRING = r'"(?:\\.|[^"\\\n])*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])")


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises json.JSONDecodeError whose line and column are those of the file."""
    text = text.removeprefix("\ufeff")
    try:
        return json.loads(_TRAILING_COMMA.sub(_blank_after_value, _COMMENT.sub(_blank, text)))
    except RecursionError:
        raise json.JSONDecodeError("Objects and arrays are nested too deeply", text, 0) from None


def _blank(match: re.Match[str]) -> str:
    """Spaces in place of what goes, line breaks kept, so that positions stay true."""
    if match.group(1) is not None:
        return match.group(1)
    return re.sub(r"[^\n]", " ", match.group(0))


def _blank_after_value(match: re.Match[str]) -> str:
    """A comma without a value before it, as in `{,}`, is an error and stays one."""
    before = match.string[: match.start()].rstrip()[-1:]
    return match.group(0) if before in ("", "{", "[", ",", ":") else _blank(match)
