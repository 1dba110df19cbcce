"""Rows as the table service writes them in JSON (odata=minimalmetadata).

Facts: "Payload format for Table service operations" of the REST reference. A type that JSON shows by itself (Int32,
Boolean, String, Double with a fraction) has no annotation; the others have one before the value.
"""

from __future__ import annotations

import base64
import json
import math
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from emulator.instant import Instant
from emulator.storage.port import Int64, Row, Value

_ANNOTATION = "@odata.type"

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


class NotStorable(ValueError):
    """A value that no Edm type holds; the message names the property."""


def entity_json(row: Row, *, ascii_only: bool) -> bytes:
    """The body of an insert, update or merge. Raises NotStorable.

    `ascii_only`: see rest_xml.queue_message.
    """
    entity: dict[str, Any] = {"PartitionKey": row.partition_key, "RowKey": row.row_key}
    for name, value in row.properties.items():
        match value:
            case str() | bool():
                entity[name] = value
            case int():
                if value not in _INT32:
                    raise NotStorable(f"{name} is beyond Int32; pass it as Int64.")
                entity[name] = value
            case _:
                entity[name + _ANNOTATION], entity[name] = _annotated(name, value)
    return _encode(entity, ascii_only)


def _encode(entity: dict[str, Any], ascii_only: bool) -> bytes:
    text = json.dumps(entity, ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return json.dumps(entity, separators=(",", ":"), allow_nan=False).encode()


def _annotated(name: str, value: Int64 | float | Instant | uuid.UUID | bytes) -> tuple[str, Any]:
    match value:
        case Int64(number):
            if number not in _INT64:
                raise NotStorable(f"{name} is beyond Int64.")
            return "Edm.Int64", str(number)
        case float():
            return "Edm.Double", value if math.isfinite(value) else _not_finite(value)
        case Instant():
            return "Edm.DateTime", value.text7
        case uuid.UUID():
            return "Edm.Guid", str(value)
        case bytes():
            return "Edm.Binary", base64.b64encode(value).decode("ascii")
        case _:
            raise NotStorable(f"{name} is of the type {type(value).__name__}, which tables do not have.")


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


_READERS: dict[str, Callable[[Any], Value]] = {
    "Edm.Int64": lambda value: Int64(int(value)),
    "Edm.DateTime": Instant.parse,
    "Edm.Guid": uuid.UUID,
    "Edm.Binary": base64.b64decode,
    "Edm.Double": float,
    "Edm.String": str,
    "Edm.Int32": int,
    "Edm.Boolean": bool,
}


def row_of(entity: Mapping[str, Any]) -> Row:
    """A row as it was read. `entity`: one JSON object of an answer."""
    properties: dict[str, Value] = {}
    types: dict[str, str] = {}
    for name, value in entity.items():
        if name.endswith(_ANNOTATION):
            types[name.removesuffix(_ANNOTATION)] = value
        elif value is not None and not name.startswith("odata."):
            properties[name] = value
    stamp = properties.pop("Timestamp", None)
    types.pop("Timestamp", None)
    for name, edm_type in types.items():
        if name in properties:
            properties[name] = _READERS[edm_type](properties[name])
    partition_key, row_key = str(properties.pop("PartitionKey")), str(properties.pop("RowKey"))
    return Row(
        partition_key,
        row_key,
        properties,
        etag=entity.get("odata.etag"),
        timestamp=None if stamp is None else Instant.parse(str(stamp)),
    )
