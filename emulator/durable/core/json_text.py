"""JSON as Newtonsoft.Json writes it (no white space, non-ASCII characters as they are but for a few), and readers.

The readers take a missing value (None) for an empty one, and raise ValueError for one of another type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")

# Newtonsoft escapes the first three inside strings; the others cannot stand in the XML that carries a message.
_ESCAPED = re.compile("[\u0085\u2028\u2029\ufffe\uffff\ud800-\udfff]")


def json_text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if text.isascii():
        return text
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read_object(text: str | bytes) -> Mapping[str, Any]:
    """The members of the JSON object that this text is."""
    try:
        return json_object(json.loads(text))
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def lenient_object(text: str | bytes) -> Mapping[str, Any]:
    """The same, for texts of others that may be damaged: anything else has no members."""
    try:
        return read_object(text)
    except ValueError:
        return {}


def json_object(value: object) -> Mapping[str, Any]:
    return _typed(value, dict, "object") or {}


def json_list(value: object) -> Sequence[Any]:
    return _typed(value, list, "array") or []


def json_string(value: object) -> str | None:
    return _typed(value, str, "string")


def json_int(value: object) -> int:
    return _typed(value, int, "whole number") or 0


def _typed(value: object, kind: type[_T], name: str) -> _T | None:
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"not a JSON {name}: {str(value)[:100]}")
    return value
