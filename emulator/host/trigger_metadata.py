"""Members of trigger metadata, as the Functions host sends them to a worker.

Source: docs/protocol/python-worker.md 4.1 and 4.5.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from emulator import bound_json as json
from emulator.worker.port import Datum


def compact_json(value: Any) -> str:
    """Return JSON text without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_datum(value: Any) -> Datum:
    """Return a value as a JSON Datum."""
    return Datum("json", compact_json(value))


def metadata_datum(value: Any, to_json: Callable[[Any], str] = compact_json) -> Datum:
    """Return a member of trigger metadata: text as a string, anything else, numbers and times included, as JSON.

    Numbers are never sent as such: the official worker cannot read them.
    """
    match value:
        case str():
            return Datum("string", value)
        case datetime():
            return Datum("json", to_json(value.isoformat()))
        case _:
            return Datum("json", to_json(value))
