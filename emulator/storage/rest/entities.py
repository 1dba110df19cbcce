"""JSON of table rows, in the format odata=minimalmetadata.

A type that JSON shows (Int32, Boolean, String, Double with a fraction) has no annotation. The others have one in a
member "Name@odata.type" before the value.
Source: "Payload format for Table service operations" of the Azure Storage REST reference.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from emulator import bound_json as json
from emulator.instant import Instant
from emulator.storage.port import Int64, Row, Value

_ANNOTATION = "@odata.type"

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


class UnsupportedValue(ValueError):
    """A value that no Edm type can hold. The message names the property."""


def entity_json(row: Row, *, ascii_only: bool) -> bytes:
    """Return the body of an insert, update or merge. Raises UnsupportedValue.

    `ascii_only`: escape all other characters, for the reason in `xml.queue_message`.
    """
    entity: dict[str, Any] = {"PartitionKey": row.partition_key, "RowKey": row.row_key}
    for name, value in row.properties.items():
        match value:
            # Before int, which bool is a subclass of.
            case str() | bool():
                entity[name] = value
            case int():
                # The service would store a larger number as a Double and lose digits.
                if value not in _INT32:
                    raise UnsupportedValue(f"The value of {name} does not fit into Int32; pass it as Int64.")
                entity[name] = value
            case _:
                entity[name + _ANNOTATION], entity[name] = _annotated(name, value)
    text = json.dumps(entity, ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8, but it can be escaped.
        return json.dumps(entity, separators=(",", ":"), allow_nan=False).encode()


def _annotated(name: str, value: Int64 | float | Instant | uuid.UUID | bytes) -> tuple[str, Any]:
    """Return type annotation and JSON value."""
    match value:
        case Int64(number):
            if number not in _INT64:
                raise UnsupportedValue(f"The value of {name} does not fit into Int64.")
            # As text: JSON numbers are doubles for many readers, which have 53 bits.
            return "Edm.Int64", str(number)
        case float():
            if math.isfinite(value):
                return "Edm.Double", value
            return "Edm.Double", "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Instant():
            return "Edm.DateTime", value.text7
        case uuid.UUID():
            return "Edm.Guid", str(value)
        case bytes():
            return "Edm.Binary", base64.b64encode(value).decode("ascii")
        case _:
            raise UnsupportedValue(f"{name} has the type {type(value).__name__}, which tables cannot store.")


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
    """Return the row of an entity. `entity`: a JSON object of a response."""
    properties: dict[str, Value] = {}
    types: dict[str, str] = {}
    for name, value in entity.items():
        if name.endswith(_ANNOTATION):
            types[name.removesuffix(_ANNOTATION)] = value
        elif value is not None and not name.startswith("odata."):
            properties[name] = value
    # Before the types are applied: it is a DateTime for the service, but no property for callers.
    stamp = properties.pop("Timestamp", None)
    types.pop("Timestamp", None)
    for name, edm_type in types.items():
        # A null has a type, too, but is not among the properties.
        if name in properties:
            try:
                properties[name] = _READERS[edm_type](properties[name])
            except (KeyError, ValueError, TypeError, OverflowError):
                # Emulators store values without a check. One of them must not make all rows of a page unreadable, so it
                # stays as the service returned it.
                continue
    partition_key, row_key = str(properties.pop("PartitionKey")), str(properties.pop("RowKey"))
    return Row(
        partition_key,
        row_key,
        properties,
        etag=entity.get("odata.etag"),
        timestamp=None if stamp is None else Instant.parse(str(stamp)),
    )
