"""Events of message brokers: Service Bus, Event Hubs and Kafka, one message or a list of them (cardinality many).

The library recognises a list by the metadata, not by the binding: names with the ending `Array`.
Source: docs/protocol/python-worker.md 4.3, 4.4; docs/protocol/functions-host.md 8.9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from emulator.extensions.unsupported.event_source import EventSource, as_bytes, parse_json
from emulator.host.port import TriggerEvent
from emulator.host.trigger_metadata import compact_json, json_datum, metadata_datum
from emulator.worker.port import Datum

# Defaults of a queue in Azure.
_LOCK_DURATION: Final = timedelta(minutes=1)
_TIME_TO_LIVE: Final = timedelta(days=14)

Facts = Callable[[int], Mapping[str, Any]]
"""Returns the metadata of the message with that number; None as a value: the service sends no such member."""


def service_bus_event(source: EventSource) -> TriggerEvent:
    """Return one Service Bus message, or a list of them."""
    given = source.given.metadata
    # The service sends the same content under both names.
    properties = given.get("ApplicationProperties", given.get("UserProperties", {}))

    def facts(number: int) -> Mapping[str, Any]:
        return {
            "MessageId": source.context.new_id(),
            "DeliveryCount": 1,
            "SequenceNumber": number + 1,
            "EnqueuedSequenceNumber": number + 1,
            "EnqueuedTimeUtc": source.now.isoformat(),
            "ExpiresAtUtc": (source.now + _TIME_TO_LIVE).isoformat(),
            "LockedUntil": (source.now + _LOCK_DURATION).isoformat(),
            "LockToken": source.new_id(),
            "State": 0,
            "ApplicationProperties": properties,
            "UserProperties": properties,
        }

    return _messages(source, facts)


def event_hub_event(source: EventSource) -> TriggerEvent:
    """Return one event of an event hub or IoT hub, or a list of them."""
    # The library reads the facts of an IoT hub from the system properties.
    iot_hub = {name: value for name, value in source.given.metadata.items() if name.startswith("iothub-")}
    partition = {
        "EventHubName": source.property("eventHubName"),
        "ConsumerGroup": source.property("consumerGroup") or "$Default",
        "PartitionId": "0",
    }

    def facts(number: int) -> Mapping[str, Any]:
        system = {
            "SequenceNumber": number,
            "Offset": str(number),
            "PartitionKey": source.given.metadata.get("PartitionKey"),
            "EnqueuedTimeUtc": source.now.isoformat(),
        }
        return {**system, "Properties": {}, "SystemProperties": {**system, **iot_hub}}

    return _messages(source, facts, {"PartitionContext": json_datum(partition)}, bytes_by_default=True)


def kafka_event(source: EventSource) -> TriggerEvent:
    """Return one record of a Kafka topic, or a list of them.

    As text, a record is the JSON that the Kafka extension sends to other languages than .NET: an object with the
    members Value, Key, Offset, Partition, Topic, Timestamp and Headers. An input of that form is sent as it is.
    """

    def facts(number: int) -> Mapping[str, Any]:
        own = {
            "Offset": number,
            "Partition": 0,
            "Topic": source.property("topic"),
            "Timestamp": source.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "Key": None,
            "Headers": [],
        }
        return {name: source.given.metadata.get(name, value) for name, value in own.items()}

    def record(item: str | bytes, number: int) -> str:
        text = _as_text(item)
        content = parse_json(text)
        is_record = isinstance(content, dict) and {"Value", "Topic"} <= set(content)
        return text if is_record else compact_json({**facts(number), "Value": text})

    return _messages(source, facts, record=record)


def _messages(
    source: EventSource,
    facts: Facts,
    shared: Mapping[str, Datum] | None = None,
    *,
    bytes_by_default: bool = False,
    record: Callable[[str | bytes, int], str] | None = None,
) -> TriggerEvent:
    """Return the event of one message, or of all items of the input, with their metadata in arrays.

    `shared`: metadata that all messages have in common. `record`: returns the text of a message, if it is not the item
    itself.
    """
    as_text = record or (lambda item, number: _as_text(item))
    wants_bytes = source.wants_bytes(by_default=bytes_by_default)
    shared = shared or {}
    if not source.is_many():
        item = source.given.data or ""
        value = Datum("bytes", as_bytes(item)) if wants_bytes else Datum("string", as_text(item, 0))
        # The host leaves out members that are null.
        present = {name: metadata_datum(fact) for name, fact in facts(0).items() if fact is not None}
        return source.event(value, {**shared, **present})
    items = source.items()
    if wants_bytes:
        value = Datum("collection_bytes", [as_bytes(item) for item in items])
    else:
        value = Datum("collection_string", [as_text(item, number) for number, item in enumerate(items)])
    # What the caller chooses for a message holds for all of them.
    chosen = {name: fact for name, fact in source.given.metadata.items() if not name.endswith("Array")}
    messages = [{**facts(number), **chosen} for number in range(len(items))]
    names = {**facts(0), **chosen}
    arrays = {f"{name}Array": _array(f"{name}Array", [message[name] for message in messages]) for name in names}
    return source.event(value, {**shared, **arrays})


def _array(name: str, values: list[Any]) -> Datum:
    # The library reads these two, of Kafka, from collections; all other arrays may be JSON.
    match name:
        case "OffsetArray" if all(isinstance(value, int) for value in values):
            return Datum("collection_sint64", values)
        case "TopicArray":
            return Datum("collection_string", values)
        case _:
            return json_datum(values)


def _as_text(item: str | bytes) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else item
