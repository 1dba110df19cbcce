"""Stored form of table rows in the built-in store, and Azure's limits for rows.

The properties are one JSON text. Strings, booleans, Int32 and Double are JSON values, the other types a pair of a
letter and a value: ["l", 5] Int64, ["t", ticks] DateTime, ["g", "…"] Guid, ["b", "base64"] Binary, ["d", "inf"] a
Double that is not a JSON number.
Source: Azure Storage REST reference, "Understanding the Table Service Data Model", "Table Service Error Codes".
"""

from __future__ import annotations

import base64
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from emulator import bound_json as json
from emulator.instant import Instant
from emulator.storage.builtin.database import Refused
from emulator.storage.builtin.names import is_identifier
from emulator.storage.port import FIRST_ROW_INSTANT, Int64, Row, Value

_BAD_KEY = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
# 1 KiB of UTF-16.
_MAX_KEY_UNITS = 512
_MAX_PROPERTIES = 252  # 255 with PartitionKey, RowKey and Timestamp
_MAX_NAME = 255
_MAX_VALUE_BYTES = 64 * 1024
_MAX_ROW_BYTES = 1024 * 1024
# The service ignores properties of these names and sets its own.
_SYSTEM_NAMES = frozenset({"PartitionKey", "RowKey", "Timestamp"})

_INVALID_INPUT = "One of the request inputs is not valid: "


def check_keys(row: Row) -> None:
    """Check type, length and characters of the keys. Raises Refused."""
    for name, key in (("PartitionKey", row.partition_key), ("RowKey", row.row_key)):
        if not isinstance(key, str):
            raise Refused(400, "PropertiesNeedValue", f"The {name} has no value.")
        if _units(key) > _MAX_KEY_UNITS:
            raise Refused(400, "InvalidInput", f"{_INVALID_INPUT}the {name} is longer than 1 KiB.")
        if _BAD_KEY.search(key):
            raise Refused(400, "InvalidInput", f"{_INVALID_INPUT}the {name} has a character that keys may not have.")


def check_properties(properties: Mapping[str, Value]) -> None:
    """Check names, types, ranges and sizes of the properties. Raises Refused."""
    if len(properties) > _MAX_PROPERTIES:
        raise Refused(400, "TooManyProperties", f"The row has more than {_MAX_PROPERTIES} properties.")
    for name, value in properties.items():
        if len(name) > _MAX_NAME:
            raise Refused(400, "PropertyNameTooLong", f"The property name {name[:40]}… is too long.")
        if not is_identifier(name):
            raise Refused(400, "PropertyNameInvalid", f"The property name {name!r} is invalid.")
        _check_value(name, value)


def encode_properties(row: Row) -> str:
    """Return the JSON text of a row's properties. Raises Refused if the row as a whole is too large."""
    properties = {name: value for name, value in row.properties.items() if name not in _SYSTEM_NAMES}
    try:
        text = _encode(properties)
    except ValueError:
        # A Double that is not finite. Python would write NaN, which SQLite's JSON functions refuse.
        text = _encode(
            {
                name: ["d", str(value)] if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in properties.items()
            }
        )
    # Azure counts at most four bytes per character of this text, so only the size of a long one is computed.
    if 4 * len(text) > _MAX_ROW_BYTES // 2:
        keys = 4 + 2 * (_units(row.partition_key) + _units(row.row_key))
        size = keys + sum(8 + 2 * len(name) + _size(value) for name, value in row.properties.items())
        if size > _MAX_ROW_BYTES:
            raise Refused(400, "EntityTooLarge", "The entity is larger than the maximum allowed size (1MB).")
    return text


def decode_properties(text: str, select: Sequence[str] = ()) -> dict[str, Value]:
    """Return the properties in a JSON text; with `select` only those."""
    properties: dict[str, Any] = json.loads(text)
    if select:
        properties = {name: properties[name] for name in select if name in properties}
    for name, value in properties.items():
        # Most values are JSON values and stay as they are.
        if isinstance(value, list):
            properties[name] = _from_pair(value)
    return properties


def _to_pair(value: object) -> list[Any]:
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


# One encoder for all rows: json.dumps with these arguments would make one per call. allow_nan: see `encode_properties`.
_encode = json.JSONEncoder(separators=(",", ":"), default=_to_pair, allow_nan=False).encode


def _from_pair(pair: list[Any]) -> Value:
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
        # bool before int, which it is a subclass of.
        case bool() | float() | uuid.UUID():
            return
        case str() | bytes():
            # A UTF-16 unit has two bytes, a Python character has one or two units. Only long values are measured.
            if len(value) > _MAX_VALUE_BYTES // 4 and _value_bytes(value) > _MAX_VALUE_BYTES:
                raise Refused(400, "PropertyValueTooLarge", f"The value of {name} is larger than 64 KiB.")
        case int() | Int64():
            # Without the sign.
            bits = 31 if isinstance(value, int) else 63
            number = value if isinstance(value, int) else value.value
            if not -(1 << bits) <= number < 1 << bits:
                hint = "; pass it as Int64" if bits == 31 else ""
                raise Refused(
                    400, "InvalidInput", f"{_INVALID_INPUT}the value of {name} does not fit into Int{bits + 1}{hint}."
                )
        case Instant():
            if value < FIRST_ROW_INSTANT:
                raise Refused(400, "OutOfRangeInput", f"{_INVALID_INPUT}{name} is a DateTime before the year 1601.")
        case _:
            raise Refused(
                400,
                "InvalidInput",
                f"{_INVALID_INPUT}{name} has the type {type(value).__name__}, which tables cannot store.",
            )


def _value_bytes(value: str | bytes) -> int:
    return len(value) if isinstance(value, bytes) else 2 * _units(value)


def _units(text: str) -> int:
    """Count the UTF-16 code units of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _size(value: Value) -> int:
    match value:
        case bool():
            return 1
        case int():
            return 4
        case str() | bytes():
            # Four bytes for the length.
            return 4 + _value_bytes(value)
        case uuid.UUID():
            return 16
        case _:
            return 8
