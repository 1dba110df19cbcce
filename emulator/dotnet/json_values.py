"""Typed access to the members of parsed JSON.

None, a missing value, is read as an empty object or array, 0 or None. The `json_` readers raise ValueError for a value
of another type; the `converted_` readers convert between strings and numbers as Newtonsoft.Json does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from emulator import bound_json as json

_T = TypeVar("_T")

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


def read_object(text: str | bytes) -> Mapping[str, Any]:
    """Return the members of a text that is a JSON object."""
    try:
        return json_object(json.loads(text))
    # Anyone who can write to the storage account can write deeply nested JSON, which must not stop the host.
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def lenient_object(text: str | bytes) -> Mapping[str, Any]:
    """Return the members of a text from another program; none if it is not a JSON object."""
    try:
        return read_object(text)
    except ValueError:
        return {}


def lenient_string(value: object) -> str | None:
    """Return a string of another program's JSON; None for a value of another type."""
    return value if isinstance(value, str) else None


def json_object(value: object) -> Mapping[str, Any]:
    return _typed(value, dict, "object") or {}


def json_list(value: object) -> Sequence[Any]:
    return _typed(value, list, "array") or []


def json_string(value: object) -> str | None:
    return _typed(value, str, "string")


def json_int(value: object) -> int:
    return _typed(value, int, "integer") or 0


def converted_string(value: object) -> str | None:
    """Return a string as Newtonsoft reads it into a string member: numbers and booleans are converted."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return json.dumps(value)
    raise ValueError(f"not a JSON string: {str(value)[:100]}")


def converted_int64(value: object) -> int | None:
    """Return an integer as Newtonsoft reads it into an Int64: strings of digits are converted."""
    return _converted_integer(value, _INT64, "Int64")


def converted_int32(value: object) -> int | None:
    """Return an integer as Newtonsoft reads it into an Int32: strings of digits are converted."""
    return _converted_integer(value, _INT32, "Int32")


def _converted_integer(value: object, numbers: range, kind: str) -> int | None:
    if value is None:
        return None
    # bool is a subclass of int in Python, but true and false are not integers in JSON.
    number = int(value) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or number not in numbers:
        raise ValueError(f"not a JSON integer that fits into {kind}: {str(value)[:100]}")
    return number


def _typed(value: object, kind: type[_T], name: str) -> _T | None:
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"not a JSON {name}: {str(value)[:100]}")
    return value
