"""Events that a function publishes, in the form in which a topic gets them: Event Grid schema or CloudEvents 1.0.

Source: Azure.Messaging.EventGrid, EventGridEvent and CloudEvent; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emulator.dotnet.json_reader import JsonReaderError, read_whole
from emulator.errors import EmulatorError
from emulator.instant import Instant

_EVENT_GRID_NEEDS: Final = {"id": "Id", "subject": "Subject", "eventType": "EventType", "dataVersion": "DataVersion"}
_CLOUD_NEEDS: Final = ("source", "type", "id")
_CLOUD_ORDER: Final = (
    "id",
    "source",
    "type",
    "data",
    "data_base64",
    "time",
    "specversion",
    "dataschema",
    "datacontenttype",
    "subject",
)
_FORMS: Final = (
    'An event of the Event Grid schema has "id", "subject", "eventType", "eventTime", "dataVersion" and "data", a '
    'CloudEvent has "specversion": "1.0", "id", "source", "type" and "data".'
)


class InvalidEvent(EmulatorError):
    """An item of an Event Grid output is not an event. The message begins with the text of the Azure SDK."""


class Schema(enum.Enum):
    """Schema of the events of a request; the value is its Content-Type."""

    EVENT_GRID = "application/json"
    CLOUD_EVENTS = "application/cloudevents-batch+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one request, all of one schema."""

    schema: Schema
    events: Sequence[Mapping[str, Any]]


def batch_of(items: Sequence[str | bytes]) -> Batch:
    """Return the events of an output value; the first one decides the schema. Raises InvalidEvent.

    `items`: JSON texts, at least one. Members that the Event Grid schema does not have are left out.
    """
    contents = [_content(item) for item in items]
    schema = Schema.EVENT_GRID if "eventType" in contents[0] else Schema.CLOUD_EVENTS
    read = _event_grid_event if schema is Schema.EVENT_GRID else _cloud_event
    return Batch(schema, [read(content) for content in contents])


def _content(item: str | bytes) -> Mapping[str, Any]:
    try:
        content = read_whole(item.decode() if isinstance(item, bytes) else item)
    except (JsonReaderError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"{error} An Event Grid output needs JSON. {_FORMS}") from error
    if not isinstance(content, dict):
        raise InvalidEvent(f"An item of an Event Grid output must be the JSON object of one event. {_FORMS}")
    return content


def _event_grid_event(content: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, parameter in _EVENT_GRID_NEEDS.items():
        if content.get(name) is None:
            raise InvalidEvent(
                f"Value cannot be null. (Parameter '{parameter}') The event has no '{name}'. All events of a run must "
                f"have the schema of the first one. {_FORMS}"
            )
    topic = {} if content.get("topic") is None else {"topic": content["topic"]}
    return {
        "id": content["id"],
        **topic,
        "subject": content["subject"],
        "data": content.get("data"),
        "eventType": content["eventType"],
        "eventTime": _instant(content, "eventTime").text7,
        "dataVersion": content["dataVersion"],
    }


def _cloud_event(content: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in _CLOUD_NEEDS:
        if content.get(name) is None:
            raise InvalidEvent(f"The {name} property must be specified in each CloudEvent. {_FORMS}")
    known = {name: content[name] for name in _CLOUD_ORDER if content.get(name) is not None}
    if "time" in known:
        known["time"] = _offset_time(content)
    extensions = {name: value for name, value in content.items() if name not in _CLOUD_ORDER}
    return {**known, "specversion": content.get("specversion", "1.0"), **extensions}


def _instant(content: Mapping[str, Any], name: str) -> Instant:
    try:
        return Instant.parse(content[name])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InvalidEvent(
            f"The '{name}' of the event is {content.get(name)!r}; allowed: a time such as 2026-01-31T08:00:00Z. "
            f"{_FORMS}"
        ) from None


def _offset_time(content: Mapping[str, Any]) -> str:
    """Return the time of a CloudEvent as System.Text.Json writes it: with an offset, without trailing zeros."""
    utc = _instant(content, "time").text.removesuffix("Z")
    text = str(content["time"])
    offset = text[-6:] if text[-6:-5] in ("+", "-") and text[-3] == ":" else "+00:00"
    if offset == "+00:00":
        return f"{utc}+00:00"
    whole, _, rest = text[:-6].partition(".")
    fraction = rest[:7].rstrip("0")
    return f"{whole}.{fraction}{offset}" if fraction else f"{whole}{offset}"
