"""Events of triggers that azemu does not listen to, made of what the caller of a manual invocation sends.

Values and trigger metadata have the form in which the Functions host sends them to the Python worker. Facts that only
the service knows, such as a message id, get plausible values; the caller can choose others.
Source: docs/protocol/functions-host.md 6, 7.3 and 8.9; docs/protocol/python-worker.md 4.3 to 4.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from emulator.extensions.unsupported.event_source import EventSource, InvalidInput, parse_json
from emulator.extensions.unsupported.message_events import event_hub_event, kafka_event, service_bus_event
from emulator.host.port import TriggerEvent
from emulator.host.trigger_metadata import compact_json, json_datum
from emulator.worker.port import Datum


def event_for(source: EventSource) -> TriggerEvent:
    """Return the event of a manual invocation. Raises InvalidInput."""
    make = _EVENTS.get(source.binding.type.lower())
    return make(source) if make else source.event(source.datum(), {})


def _documents(source: EventSource) -> TriggerEvent:
    return source.event(json_datum(_rows(source, "a document, or an array of documents")), {})


def _changes(source: EventSource) -> TriggerEvent:
    def change(row: Any) -> Any:
        is_change = isinstance(row, dict) and {"Operation", "Item"} <= set(row)
        return row if is_change else {"Operation": 0, "Item": row}

    rows = _rows(
        source, "a row, an array of rows, or changes with the members Operation (0 insert, 1 update, 2 delete) and Item"
    )
    return source.event(Datum("string", compact_json([change(row) for row in rows])), {})


def _rows(source: EventSource, expected: str) -> list[Any]:
    """Return the input as a list of JSON objects. Raises InvalidInput."""
    content = parse_json(source.text)
    rows = content if isinstance(content, list) else [content]
    if not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(
            f"The input of function '{source.function.name}' ({source.binding.type}) must be JSON: {expected}. "
            f"It is: {source.text[:100] or 'empty'}"
        )
    return rows


def _mcp_call(name_property: str) -> Callable[[EventSource], TriggerEvent]:
    def make(source: EventSource) -> TriggerEvent:
        # A call is {"name": …, "arguments": {…}}. Users may send the arguments alone.
        content = parse_json(source.text or "{}")
        if isinstance(content, dict) and not isinstance(content.get("arguments"), dict):
            call = {"name": source.property(name_property) or source.function.name, "arguments": content}
            return source.event(Datum("string", compact_json(call)), {})
        return source.event(source.datum(), {})

    return make


def _mcp_resource(source: EventSource) -> TriggerEvent:
    if source.text:
        return source.event(source.datum(), {})
    return source.event(Datum("string", compact_json({"uri": source.property("uri")})), {})


# By trigger type in lower case. All other triggers (RabbitMQ, SignalR, Dapr, Redis, custom extensions) get the input
# itself.
_EVENTS: Final[Mapping[str, Callable[[EventSource], TriggerEvent]]] = {
    "servicebustrigger": service_bus_event,
    "eventhubtrigger": event_hub_event,
    "kafkatrigger": kafka_event,
    "cosmosdbtrigger": _documents,
    "sqltrigger": _changes,
    "mysqltrigger": _changes,
    "mcptooltrigger": _mcp_call("toolName"),
    "mcpprompttrigger": _mcp_call("promptName"),
    "mcpresourcetrigger": _mcp_resource,
}
