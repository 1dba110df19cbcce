"""Values that output bindings have written, kept in memory for tests and the admin API.

Values for services that azemu does not call are kept instead of being sent; others are noted when they have been sent.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.host.port import BindingContext, Output
from emulator.worker.port import Datum

# A host may run for weeks with a function that writes an output every second, or large blobs. Tests look at the last
# few.
_MAX_KEPT: Final = 1000
_MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedOutput:
    """One value that a function has set for an output binding, or returned.

    `binding`: its name, "$return" for the return value; `type`: the binding type, such as "serviceBus". `properties`:
    the members of the binding, with settings and expressions resolved. `value`: text, bytes, a number, or what the
    JSON contains that the binding sends to its service. `captured_at`: UTC. `sent`: the service has got the value;
    otherwise azemu does not call the service.
    """

    function: str
    binding: str
    type: str
    properties: Mapping[str, object] = field(default_factory=dict)
    value: Any
    invocation_id: str
    captured_at: datetime
    sent: bool = False

    @classmethod
    def of(cls, context: BindingContext, datum: Datum, *, captured_at: datetime, sent: bool = False) -> Self:
        """Return the output of one binding of an invocation."""
        return cls(
            function=context.function.name,
            binding=context.binding.name,
            type=context.binding.type,
            properties=context.properties,
            value=plain_value(datum),
            invocation_id=context.invocation_id,
            captured_at=captured_at,
            sent=sent,
        )

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
            "sent": self.sent,
            "invocationId": self.invocation_id,
            "capturedAt": self.captured_at.isoformat().replace("+00:00", "Z"),
            "properties": dict(self.properties),
        }


class CapturedOutputs:
    """The last outputs of a host, oldest first: at most 1000, and 64 MiB. Used on the host's event loop only."""

    def __init__(self) -> None:
        self._outputs: deque[CapturedOutput] = deque()
        self._bytes = 0

    def add(self, output: CapturedOutput) -> None:
        """Keep an output; drop the oldest if there are too many."""
        self._outputs.append(output)
        self._bytes += _size(output)
        while len(self._outputs) > _MAX_KEPT or (self._bytes > _MAX_BYTES and len(self._outputs) > 1):
            self._bytes -= _size(self._outputs.popleft())

    def clear(self) -> None:
        """Drop all outputs."""
        self._outputs.clear()
        self._bytes = 0

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


def noting(output: Output, captured: CapturedOutputs, clock: Clock) -> Output:
    """Return the output of an extension, which also notes in `captured` each value that it has sent."""
    send = output.write
    # An HTTP response goes back to the trigger, and an output that captures notes its values itself.
    if send is None or output.is_captured:
        return output

    async def write(context: BindingContext, datum: Datum) -> None:
        await send(context, datum)
        captured.add(CapturedOutput.of(context, datum, captured_at=clock.now(), sent=True))

    return replace(output, write=write)


def _size(output: CapturedOutput) -> int:
    # Other values come from JSON, which no binding takes in such sizes.
    return len(output.value) if isinstance(output.value, str | bytes) else 0


def plain_value(datum: Datum | None) -> Any:
    """Return the value of a Datum as Python object: JSON is parsed, None stays None.

    JSON text that cannot be parsed is returned as text: it is what the function has set. None for a stream, which can
    be read only once.
    """
    if datum is None or datum.type == "stream":
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
