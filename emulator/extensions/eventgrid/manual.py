"""Manual invocation of an Event Grid function with the JSON of one event.

Source: docs/protocol/functions-host.md 6.
"""

from __future__ import annotations

from dataclasses import replace

from emulator.dotnet.json_writer import newtonsoft_text
from emulator.errors import EmulatorError
from emulator.extensions.eventgrid.requests import trigger_event
from emulator.host.event_grid_requests import InvalidEvents, events_in
from emulator.host.port import Function, ManualInput, TriggerEvent
from emulator.host.trigger_metadata import metadata_datum
from emulator.worker.port import Binding


class InvalidInput(EmulatorError):
    """The input of a manual invocation is not the JSON object of an event."""

    def __init__(self, text: str) -> None:
        super().__init__(
            # The first sentence is the Functions host's.
            f"Unable to parse {text} to Newtonsoft.Json.Linq.JObject. The input must be the JSON object of one event, "
            'such as {"id": "1", "eventType": "created", "subject": "s", "data": {}}.'
        )


async def manual_event(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
    """Return the event of a manual invocation; the caller's metadata wins. Raises InvalidInput."""
    text = given.text or ""
    try:
        events = events_in(text.encode())
    except InvalidEvents:
        raise InvalidInput(text) from None
    if len(events) != 1:
        raise InvalidInput(text)
    event = trigger_event(events[0])
    return replace(
        event,
        metadata={
            **event.metadata,
            **{name: metadata_datum(value, newtonsoft_text) for name, value in given.metadata.items()},
        },
        binding_data={**event.binding_data, **given.metadata},
    )
