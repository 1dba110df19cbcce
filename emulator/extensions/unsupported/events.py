"""Events of triggers that azemu does not listen to, made of what the caller of a manual invocation sends.

Values and trigger metadata have the form in which the Functions host sends them to the Python worker. Facts that only
the service knows, such as a message id, get plausible values; the caller can choose others.
Source: docs/protocol/functions-host.md 6, 7.3 and 8.9; docs/protocol/python-worker.md 4.3 to 4.5; for MCP
azure-functions-mcp-extension, Trigger/Mcp*TriggerBinding.cs.
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


def _mcp_call(name_property: str, arguments_name: str) -> Callable[[EventSource], TriggerEvent]:
    """Return the maker of calls of a tool or prompt. `arguments_name`: the arguments in the trigger's binding data."""

    def make(source: EventSource) -> TriggerEvent:
        # A call is {"name": …, "arguments": {…}}. Users may send the arguments alone.
        call = parse_json(source.text or "{}")
        if not isinstance(call, dict):
            return source.event(source.datum(), {})
        value = source.datum()
        if not isinstance(call.get("arguments"), dict):
            call = {"name": source.property(name_property) or source.function.name, "arguments": call}
            value = Datum("string", compact_json(call))
        # For paths such as snippets/{mcptoolargs.name}.json.
        arguments = {name: _argument_text(argument) for name, argument in call["arguments"].items()}
        return source.event(value, {arguments_name: json_datum(arguments)})

    return make


def _argument_text(value: Any) -> str:
    """Return an argument of a tool as text, as `JsonElement.ToString()` of .NET does."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return str(value)
        case _:
            return compact_json(value)


def _mcp_resource(source: EventSource) -> TriggerEvent:
    value = source.datum() if source.text else Datum("string", compact_json({"uri": source.property("uri")}))
    request = parse_json(source.text)
    uri = request.get("uri") if isinstance(request, dict) else None
    return source.event(value, {"mcpresourceuri": Datum("string", str(uri or source.property("uri")))})


# By trigger type in lower case. All other triggers (RabbitMQ, SignalR, Dapr, Redis, custom extensions) get the input
# itself.
_EVENTS: Final[Mapping[str, Callable[[EventSource], TriggerEvent]]] = {
    "servicebustrigger": service_bus_event,
    "eventhubtrigger": event_hub_event,
    "kafkatrigger": kafka_event,
    "cosmosdbtrigger": lambda source: source.event(
        json_datum(_rows(source, "a document, or an array of documents")), {}
    ),
    "sqltrigger": _changes,
    "mysqltrigger": _changes,
    "mcptooltrigger": _mcp_call("toolName", "mcptoolargs"),
    "mcpprompttrigger": _mcp_call("promptName", "mcppromptargs"),
    "mcpresourcetrigger": _mcp_resource,
}
