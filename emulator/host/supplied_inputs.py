"""Values that tests and the admin API supply for input bindings whose service azemu does not read."""

from __future__ import annotations

from typing import Any

from emulator import bound_json as json
from emulator.worker.port import Datum


class SuppliedInputs:
    """Values by function and binding, names in any letter case. Used on the host's event loop only."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], Datum] = {}

    def get(self, function: str, binding: str) -> Datum | None:
        """Return the value for the input binding of a function; None if none is supplied."""
        return self._values.get((function.lower(), binding.lower()))

    def put(self, function: str, binding: str, value: Datum) -> None:
        """Supply a value for all further invocations of the function."""
        self._values[function.lower(), binding.lower()] = value

    def remove(self, function: str, binding: str) -> bool:
        """Take the value back. Return False if there was none."""
        return self._values.pop((function.lower(), binding.lower()), None) is not None


def supplied_value(value: Any) -> Datum:
    """Return the Datum of a value that a caller supplies: text and bytes as they are, anything else as JSON.

    Raises TypeError for an object that JSON cannot contain.
    """
    match value:
        case str():
            return Datum("string", value)
        case bytes():
            return Datum("bytes", value)
        case _:
            return Datum("json", json.dumps(value))
