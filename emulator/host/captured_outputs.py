"""Values of output bindings whose service azemu does not call: kept in memory for tests and the admin API."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from emulator import bound_json as json
from emulator.worker.port import Datum

# A host may run for weeks with a function that writes an output every second. Tests look at the last few.
_MAX_KEPT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedOutput:
    """One value that a function has set for an output binding, or returned.

    `binding`: its name, "$return" for the return value; `type`: the binding type, such as "serviceBus". `properties`:
    the members of the binding, with settings and expressions resolved. `value`: text, bytes, a number, or what the
    JSON contains that the binding sends to its service. `captured_at`: UTC.
    """

    function: str
    binding: str
    type: str
    properties: Mapping[str, object] = field(default_factory=dict)
    value: Any
    invocation_id: str
    captured_at: datetime

    def json_members(self) -> dict[str, Any]:
        """Return the members of the admin API's JSON object; bytes that are not UTF-8 are `valueBase64`."""
        return {
            "function": self.function,
            "binding": self.binding,
            "type": self.type,
            "dataType": "string"
            if isinstance(self.value, str)
            else "bytes"
            if isinstance(self.value, bytes)
            else "json",
            **json_value(self.value),
            "invocationId": self.invocation_id,
            "capturedAt": self.captured_at.isoformat().replace("+00:00", "Z"),
            "properties": dict(self.properties),
        }


class CapturedOutputs:
    """The last 1000 captured outputs of a host, oldest first. Used on the host's event loop only."""

    def __init__(self) -> None:
        self._outputs: deque[CapturedOutput] = deque(maxlen=_MAX_KEPT)

    def add(self, output: CapturedOutput) -> None:
        """Keep an output; drop the oldest if there are too many."""
        self._outputs.append(output)

    def clear(self) -> None:
        """Drop all outputs."""
        self._outputs.clear()

    def of(
        self, function: str | None = None, binding: str | None = None, *, invocation_id: str | None = None
    ) -> Sequence[CapturedOutput]:
        """Return the outputs of a function and a binding, names in any letter case; None: of all."""
        return [
            output
            for output in self._outputs
            if (function is None or output.function.lower() == function.lower())
            and (binding is None or output.binding.lower() == binding.lower())
            and (invocation_id is None or output.invocation_id == invocation_id)
        ]


def plain_value(datum: Datum | None) -> Any:
    """Return the value of a Datum as Python object: JSON is parsed, None stays None.

    JSON text that cannot be parsed is returned as text: it is what the function has set.
    """
    if datum is None:
        return None
    if datum.type != "json":
        return datum.value
    try:
        return json.loads(datum.value)
    except (ValueError, RecursionError):
        return datum.value


def json_value(value: Any, name: str = "value") -> dict[str, Any]:
    """Return the JSON member of a plain value: `{name: value}`, or `{nameBase64: text}` for bytes that are not UTF-8.

    Bytes that are UTF-8 are shown as text, as most bytes that functions write are text.
    """
    if isinstance(value, bytes):
        try:
            return {name: value.decode()}
        except UnicodeDecodeError:
            return {f"{name}Base64": base64.b64encode(value).decode("ascii")}
    return {name: value}
