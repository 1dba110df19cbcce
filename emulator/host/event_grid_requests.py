"""Requests by which Event Grid delivers events to the webhooks of triggers: their bodies, and the validation handshake.

Source: Extensions.EventGrid, EventGridExtensionConfigProvider; Storage.Blobs, BlobTriggerEventGridHttpHandler;
docs/protocol/functions-host.md 8.4 and 8.6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from emulator import bound_json as json
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.errors import EmulatorError

EVENT_TYPE_HEADER: Final = "aeg-event-type"
"""Says what a request is: SubscriptionValidation, Notification or Unsubscribe, in any letter case."""

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""What a webhook accepts. Event Grid sends up to 1 MiB at once."""


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


def _json(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEvents(f"The body is not JSON: {error}") from error
