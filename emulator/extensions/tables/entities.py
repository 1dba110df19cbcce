"""Entities as JSON: what a table input gives to a function, and what a table output takes from it.

Source: Extensions.Tables, JObject converters; docs/protocol/functions-host.md 8.5.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emulator.dotnet.json_reader import JsonReaderError, read_whole
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.dotnet.token_text import indented
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.storage.port import ANY_ETAG, Int64, Operation, Row, TableOperation, Value

# Members of an item by lower-case name; all others are properties.
_KEYS: Final = {name.lower(): name for name in ("PartitionKey", "RowKey", "ETag")}
# The service sets the time of a row itself and ignores one that is sent.
_TIMESTAMP: Final = "Timestamp"
_FORBIDDEN_IN_KEYS: Final = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
_INT64: Final = range(-(2**63), 2**63)


class InvalidEntity(EmulatorError):
    """An item of a table output is not an entity. The message begins with the extension's text."""


@dataclass(frozen=True, slots=True)
class DefaultKeys:
    """Keys of the binding, for items without their own; None: the binding has none."""

    partition_key: str | None
    row_key: str | None


def entities_text(rows: Sequence[Row]) -> str:
    """Return the JSON array of a table input: flat objects without ETag and Timestamp.

    Times have an offset and no trailing zeros, GUIDs and base64 of bytes are texts.
    """
    return newtonsoft_text(
        [
            {
                "PartitionKey": row.partition_key,
                "RowKey": row.row_key,
                **{name: _json_value(value) for name, value in row.properties.items()},
            }
            for row in rows
        ]
    )


def table_operation(item: str | bytes, keys: DefaultKeys) -> TableOperation:
    """Return the write of one item: an insert, or a replacement if it has an ETag.

    `item`: the text of a JSON object. Raises InvalidEntity.
    """
    special, properties = _members(item)
    row = Row(
        _key(special.get("PartitionKey"), keys.partition_key), _key(special.get("RowKey"), keys.row_key), properties
    )
    match special.get("ETag"):
        case None | "":
            return TableOperation(Operation.INSERT, row)
        case "*":
            return TableOperation(Operation.INSERT_OR_REPLACE, row)
        case str() as etag:
            return TableOperation(Operation.REPLACE, row, etag)
        case other:
            raise InvalidEntity(f'The ETag of a row must be a text, not {newtonsoft_text(other)}; "{ANY_ETAG}": any.')


def _members(item: str | bytes) -> tuple[Mapping[str, Any], Mapping[str, Value]]:
    """Return PartitionKey, RowKey and ETag of an item, and its properties."""
    try:
        text = item.decode() if isinstance(item, bytes) else item
        content = read_whole(text)
    except (JsonReaderError, UnicodeDecodeError) as error:
        raise InvalidEntity(f"{error} A table output needs the JSON object of a row, or an array of them.") from error
    if not isinstance(content, dict):
        kind = "JArray" if isinstance(content, list) else "JValue"
        raise InvalidEntity(
            f"Deserialized JSON type 'Newtonsoft.Json.Linq.{kind}' is not compatible with expected type "
            "'Newtonsoft.Json.Linq.JObject'. A table output needs the JSON object of a row, or an array of them."
        )
    special: dict[str, Any] = {}
    properties: dict[str, Value] = {}
    for name, value in content.items():
        if name.lower() in _KEYS:
            special[_KEYS[name.lower()]] = value
        elif value is not None and name != _TIMESTAMP:
            properties[name] = _table_value(name, value)
    return special, properties


def _key(value: Any, default: str | None) -> str:
    key = default if value is None else value
    if isinstance(key, str) and not _FORBIDDEN_IN_KEYS.search(key):
        return key
    if key is None or isinstance(key, str):
        advice = (
            "Set both in the row or in the binding."
            if key is None
            else "They cannot contain / \\ # ? or control characters."
        )
        raise InvalidEntity(
            f"'{key or ''}' is not a valid value for a partition key or row key. Ensure that the table entity contains "
            f"valid 'PartitionKey' and 'RowKey' values. {advice}"
        )
    raise InvalidEntity(
        f"Cannot return System.String type for a {_dotnet_type(key)} typed property. PartitionKey and RowKey must be "
        f"texts, but one is {newtonsoft_text(key)}."
    )


def _dotnet_type(value: Any) -> str:
    match value:
        case bool():
            return "System.Boolean"
        case int():
            return "System.Int64"
        case float():
            return "System.Double"
        case _:
            return "Newtonsoft.Json.Linq.JToken"


def _table_value(name: str, value: Any) -> Value:
    match value:
        # Before int, because a bool is an int in Python.
        case str() | bool() | float():
            return value
        case int():
            if value not in _INT64:
                raise InvalidEntity(f"The value of {name} does not fit into Int64: {value}. Store it as a text.")
            # JSON does not show the size of an integer, and the extension takes the larger type.
            return Int64(value)
        case _:
            # Nested values are stored as their JSON text, as the extension does (docs/protocol/functions-host.md 8.5).
            return indented(value, rewrite_dates=False)


def _json_value(value: Value) -> Any:
    match value:
        case Int64(number):
            return number
        case Instant():
            # As .NET writes a DateTimeOffset: functions on Azure get an offset and no Z.
            return f"{value.text.removesuffix('Z')}+00:00"
        case uuid.UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return value
