"""Values of table columns as the API shows them."""

from __future__ import annotations

import base64
from math import isfinite
from typing import Any
from uuid import UUID

from emulator.instant import Instant
from emulator.storage.port import Int64, Value


def json_value(value: Value, *, longest: int | None = None) -> Any:
    """Return a value for JSON. `longest`: cut longer texts to so many characters, and say so."""
    match value:
        case Int64():
            # JavaScript rounds numbers of more than 53 bits.
            return value.value if abs(value.value) < 2**53 else str(value.value)
        case Instant():
            # All seven digits of the fraction, as they are stored.
            return value.text
        case bytes():
            return base64.b64encode(value).decode()
        case UUID():
            return str(value)
        case float() if not isfinite(value):
            # JSON has no such numbers.
            return str(value)
        case str() if longest is not None and len(value) > longest:
            return f"{value[:longest]}… ({len(value)} characters)"
        case _:
            return value
