"""Rows as the built-in store keeps them, and the limits that Azure sets them.

Properties are one JSON text: strings, booleans, Int32 and Double are JSON's own, the other types a pair of a letter and
a value: ["l", 5] Int64, ["t", ticks] DateTime, ["g", "…"] Guid, ["b", "base64"] Binary, ["d", "inf"] a Double that JSON
has no number for.
Facts: REST reference, "Understanding the Table Service Data Model", "Table Service Error Codes".
"""

from __future__ import annotations

import base64
import json
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from emulator.instant import Instant
from emulator.storage.builtin.database import Refused
from emulator.storage.builtin.names import is_identifier
from emulator.storage.port import Int64, Row, Value

_BAD_KEY = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
_MAX_KEY_UNITS = 512
_MAX_PROPERTIES = 252  # 255 with PartitionKey, RowKey and Timestamp
_MAX_NAME = 255
_MAX_VALUE_BYTES = 64 * 1024
_MAX_ROW_BYTES = 1024 * 1024
_FIRST_INSTANT = Instant.parse("1601-01-01T00:00:00Z")
# What the service makes of these names itself.
_SYSTEM_NAMES = frozenset({"PartitionKey", "RowKey", "Timestamp"})

_NOT_TAKEN = "One of the request inputs is not valid: "


def check_keys(row: Row) -> None:
    """Raises Refused."""
    for name, key in (("PartitionKey", row.partition_key), ("RowKey", row.row_key)):
        if not isinstance(key, str):
            raise Refused(400, "PropertiesNeedValue", f"The {name} has no value.")
        if _units(key) > _MAX_KEY_UNITS:
            raise Refused(400, "InvalidInput", f"{_NOT_TAKEN}the {name} is longer than 1 KiB.")
        if _BAD_KEY.search(key):
            raise Refused(400, "InvalidInput", f"{_NOT_TAKEN}the {name} has a character that keys may not have.")


def check_properties(properties: Mapping[str, Value]) -> None:
    """Names, types and ranges of the values, and their sizes. Raises Refused."""
    if len(properties) > _MAX_PROPERTIES:
        raise Refused(400, "TooManyProperties", f"The row has more than {_MAX_PROPERTIES} properties.")
    for name, value in properties.items():
        if len(name) > _MAX_NAME:
            raise Refused(400, "PropertyNameTooLong", f"The property name {name[:40]}… is too long.")
        if not is_identifier(name):
            raise Refused(400, "PropertyNameInvalid", f"The property name {name!r} is invalid.")
        _check_value(name, value)


def stored(row: Row) -> str:
    """The JSON text of the row's properties. Raises Refused for a row that is too large as a whole."""
    properties = {name: value for name, value in row.properties.items() if name not in _SYSTEM_NAMES}
    try:
        text = _encode(properties)
    except ValueError:  # a Double that is not finite; written as Python does, SQLite's JSON functions would refuse it
        text = _encode({name: _finite(value) for name, value in properties.items()})
    # Azure counts at most four bytes for a character of this text: only a large one needs counting.
    if 4 * len(text) > _MAX_ROW_BYTES // 2 and _row_bytes(row) > _MAX_ROW_BYTES:
        raise Refused(400, "EntityTooLarge", "The entity is larger than the maximum allowed size (1MB).")
    return text


def loaded(text: str, select: Sequence[str] = ()) -> dict[str, Value]:
    """The properties of a JSON text; with `select` only those."""
    found: dict[str, Any] = json.loads(text)
    if select:
        found = {name: found[name] for name in select if name in found}
    for name, value in found.items():
        if isinstance(value, list):
            found[name] = _read(value)
    return found


def _default(value: object) -> list[Any]:
    match value:
        case Int64():
            return ["l", value.value]
        case Instant():
            return ["t", value.ticks]
        case uuid.UUID():
            return ["g", str(value)]
        case bytes():
            return ["b", base64.b64encode(value).decode()]
        case _:
            raise TypeError(f"not a table value: {value!r}")


_encode = json.JSONEncoder(separators=(",", ":"), default=_default, allow_nan=False).encode


def _finite(value: Value) -> Value | list[str]:
    return ["d", str(value)] if isinstance(value, float) and not math.isfinite(value) else value


def _read(pair: list[Any]) -> Value:
    kind, value = pair
    match kind:
        case "l":
            return Int64(value)
        case "t":
            return Instant(value)
        case "g":
            return uuid.UUID(value)
        case "d":
            return float(value)
        case _:
            return base64.b64decode(value)


def _check_value(name: str, value: Value) -> None:
    match value:
        case bool() | float() | uuid.UUID():
            return
        case str() | bytes():
            # Two bytes a UTF-16 unit; a Python character is one or two units.
            if len(value) > _MAX_VALUE_BYTES // 4 and _value_bytes(value) > _MAX_VALUE_BYTES:
                raise Refused(400, "PropertyValueTooLarge", f"The value of {name} is larger than 64 KiB.")
        case int() | Int64():
            bits = 31 if isinstance(value, int) else 63
            number = value if isinstance(value, int) else value.value
            if not -(1 << bits) <= number < 1 << bits:
                hint = "; pass it as Int64" if bits == 31 else ""
                raise Refused(400, "InvalidInput", f"{_NOT_TAKEN}{name} is beyond Int{bits + 1}{hint}.")
        case Instant():
            if value < _FIRST_INSTANT:
                raise Refused(400, "OutOfRangeInput", f"{_NOT_TAKEN}{name} is a DateTime before the year 1601.")
        case _:
            raise Refused(400, "InvalidInput", f"{_NOT_TAKEN}{name} has the type {type(value).__name__}.")


def _row_bytes(row: Row) -> int:
    """As Azure counts."""
    keys = 4 + 2 * (_units(row.partition_key) + _units(row.row_key))
    return keys + sum(8 + 2 * len(name) + _size(value) for name, value in row.properties.items())


def _value_bytes(value: str | bytes) -> int:
    return len(value) if isinstance(value, bytes) else 2 * _units(value)


def _units(text: str) -> int:
    """UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _size(value: Value) -> int:
    match value:
        case bool():
            return 1
        case int():
            return 4
        case str() | bytes():
            return 4 + _value_bytes(value)
        case uuid.UUID():
            return 16
        case _:
            return 8
