"""What events are made of: the function, its trigger binding, and what the caller of a manual invocation sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.host.context import ExtensionContext
from emulator.host.port import Function, ManualInput, TriggerEvent
from emulator.host.trigger_metadata import compact_json, metadata_datum
from emulator.ids import hyphenated
from emulator.worker.port import Binding, Datum


class InvalidInput(EmulatorError):
    """The input of a manual invocation is nothing that the trigger could receive."""


@dataclass(frozen=True, slots=True)
class EventSource:
    """A manual invocation of a function. `binding`: its trigger, `%settings%` resolved."""

    function: Function
    binding: Binding
    given: ManualInput
    context: ExtensionContext

    @property
    def now(self) -> datetime:
        """The host's time, UTC."""
        return self.context.clock.now()

    @property
    def text(self) -> str:
        """The input as text; a missing one is an empty text."""
        return self.given.text or ""

    def new_id(self) -> str:
        """Create an id in groups of 8-4-4-4-12 digits."""
        return hyphenated(self.context.new_id())

    def property(self, name: str) -> str:
        """Return a member of the binding as text; "" if it has none."""
        return str(self.binding.properties.get(name) or "")

    def is_many(self) -> bool:
        """Return whether the function takes a list of events (cardinality many)."""
        return self.property("cardinality").lower() == "many"

    def wants_bytes(self, *, by_default: bool) -> bool:
        """Return whether the value is bytes: by the binding's dataType, or else the parameter's annotation.

        `by_default`: for a binding with neither. The host knows only dataType. The annotation is considered because
        text for a `bytes` parameter would fail here for a reason that the service does not cause: it sends bytes.
        """
        match (self.binding.data_type or "").upper():
            case "BINARY":
                return True
            case "STRING":
                return False
        annotation = self.function.metadata.parameter_types.get(self.binding.name)
        return annotation is bytes or (annotation is not str and (by_default or isinstance(self.given.data, bytes)))

    def datum(self, *, bytes_by_default: bool = False) -> Datum:
        """Return the whole input as one value, bytes or text."""
        if self.wants_bytes(by_default=bytes_by_default):
            return Datum("bytes", as_bytes(self.given.data or b""))
        return Datum("string", self.text)

    def items(self) -> Sequence[str | bytes]:
        """Return the events of a batch: the elements of a JSON array, or the whole input as a single one."""
        if isinstance(self.given.data, str):
            content = parse_json(self.given.data)
            if isinstance(content, list):
                return [item if isinstance(item, str) else compact_json(item) for item in content]
        return [self.given.data or ""]

    def event(self, value: Datum, metadata: Mapping[str, Datum]) -> TriggerEvent:
        """Return the event with this value. `metadata`: what the service would send; the caller's choices win."""
        spelled = {name.lower(): name for name in metadata}
        merged = dict(metadata)
        for name, chosen in self.given.metadata.items():
            # Facts of single messages are in arrays already; under their own name the library would misread them.
            if self.is_many() and not name.endswith("Array") and f"{name}Array" in merged:
                continue
            # The spelling of the host stays, because the library's converters look for exactly that.
            known = spelled.get(name.lower(), name)
            kind = merged[known].type if known in merged else "json"
            if kind.startswith("collection_") and isinstance(chosen, list):
                merged[known] = Datum(kind, chosen)
            else:
                merged[known] = metadata_datum(chosen)
        binding_data = {
            name: parse_json(datum.value) if datum.type == "json" else datum.value for name, datum in merged.items()
        }
        return TriggerEvent(value=value, metadata=merged, binding_data=binding_data)


def as_bytes(data: str | bytes) -> bytes:
    """Return text as UTF-8; bytes as they are."""
    return data.encode() if isinstance(data, str) else data


def parse_json(text: str) -> Any:
    """Return what JSON text contains; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
