"""Requests of Event Grid to the webhook: events in a body, the answers to the two handshakes.

Source: Extensions.EventGrid, EventGridExtensionConfigProvider; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from emulator import bound_json as json
from emulator.dotnet.format_strings import format_date
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.errors import EmulatorError
from emulator.host.port import TriggerEvent
from emulator.worker.port import Datum

EVENT_TYPE_HEADER: Final = "aeg-event-type"
"""Says what a request is: SubscriptionValidation, Notification or Unsubscribe, in any letter case."""

# The senders of the clouds. Extensions before 3.4.3 know only the first.
_ORIGINS: Final = ("eventgrid.azure.net", "eventgrid.azure.us", "eventgrid.azure.cn")


class InvalidEvents(EmulatorError):
    """The body of a request has no events, or no validation code. The Functions host answers 500 then."""


def events_in(body: bytes) -> Sequence[Mapping[str, Any]]:
    """Return the events of a notification: the elements of an array, or the only object. Raises InvalidEvents."""
    content = _json(body)
    events = content if isinstance(content, list) else [content]
    if not all(isinstance(event, dict) for event in events):
        raise InvalidEvents("The body must be the JSON object of an event, or an array of such objects.")
    return events


def validation_response(body: bytes) -> str:
    """Return the answer to a SubscriptionValidation request. Raises InvalidEvents."""
    events = events_in(body)
    data = events[0].get("data") if events else None
    # Event Grid Viewer and some proxies send the data of a single event as JSON text.
    if isinstance(data, str):
        data = _json(data)
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str):
        raise InvalidEvents("The validation event has no data.validationCode.")
    return newtonsoft_text({"validationResponse": code})


def allowed_origin(requested: str | None) -> str:
    """Return the answer to the handshake of CloudEvents: the origin that asks, if it is one of Event Grid's."""
    return requested.lower() if requested and requested.lower() in _ORIGINS else _ORIGINS[0]


def trigger_event(event: Mapping[str, Any], fired_at: datetime | None = None) -> TriggerEvent:
    """Return the event of a trigger. Its only binding data is `data`; dates in it stay as they are.

    `fired_at`: UTC; None for a manual invocation.
    """
    data = event.get("data")
    made = TriggerEvent(
        value=Datum("json", newtonsoft_text(event)),
        metadata={} if data is None else {"data": metadata_datum(data)},
        binding_data={"data": data},
    )
    if fired_at is None:
        return made
    local_time = format_date(fired_at.astimezone(), "yyyy-MM-ddTHH:mm:ss.fffffffzzz")
    return replace(made, reason=f"EventGrid trigger fired at {local_time}")


def metadata_datum(value: Any) -> Datum:
    """Return a member of trigger metadata as the host sends it: text as it is, anything else as JSON."""
    return Datum("string", value) if isinstance(value, str) else Datum("json", newtonsoft_text(value))


def _json(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEvents(f"The body is not JSON: {error}") from error
