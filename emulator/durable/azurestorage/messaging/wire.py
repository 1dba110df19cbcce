"""JSON text of a task hub's queue messages: .NET's MessageData, as Newtonsoft.Json writes it.

    {"$type":"DurableTask.AzureStorage.MessageData","ActivityId":…,"TaskMessage":{…,"Event":{"$type":…}},"Sender":{…}}

Written byte for byte as by .NET (TypeNameHandling.Objects): same member order, `$type` first in every object except
`Sender`, nulls included, times with `Z`. Reading is as tolerant as .NET and accepts only the types named here.
Source: docs/protocol/task-hub-storage.md chapter 2 (durabletask: MessageData.cs, MessageManager.cs, TaskMessage.cs,
History/*.cs).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator import bound_json as json
from emulator.dotnet.json_values import converted_int32, converted_int64, converted_string
from emulator.dotnet.json_writer import json_text
from emulator.durable.core.event_objects import READERS, object_writers
from emulator.durable.core.event_schema import EVENTS, Kind, Member
from emulator.durable.core.events import HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.errors import EmulatorError
from emulator.instant import MIN_INSTANT, Instant

CLIENT = OrchestrationInstance("", "")
"""`Sender` of the messages that clients send. The .NET reader fails on an EventRaised whose sender is null."""

_EMPTY_GUID = "00000000-0000-0000-0000-000000000000"


class UnreadableMessage(EmulatorError):
    """A queue message that is not a MessageData of a known event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageData:
    """Envelope of a task message.

    `activity_id` is a GUID (8-4-4-4-12) per message; `sequence_number` counts the messages of a process. `episode` is
    the sender's episode, None for clients. `sender` is the sending execution as its work item began. `blob_name` is
    the blob that contains the message if it was too large for a queue; `message` is None then.
    """

    activity_id: str
    message: TaskMessage | None
    sequence_number: int
    sender: OrchestrationInstance | None = CLIENT
    episode: int | None = None
    blob_name: str | None = None
    trace_context: str | None = None

    @classmethod
    def reference(cls, blob_name: str) -> MessageData:
        """Return the queue message for a message that is stored in a blob."""
        return cls(activity_id=_EMPTY_GUID, message=None, sequence_number=0, sender=None, blob_name=blob_name)


# Envelope ----------------------------------------------------------------------------------------------------


def encode(data: MessageData) -> str:
    """Return the JSON text, without white space."""
    sender = data.sender
    envelope: dict[str, Any] = {
        "$type": "DurableTask.AzureStorage.MessageData",
        "ActivityId": data.activity_id,
        "TaskMessage": _task_message(data.message) if data.message else None,
        "CompressedBlobName": data.blob_name,
        "SequenceNumber": data.sequence_number,
    }
    # Episode is the only member that .NET leaves out when it is null.
    if data.episode is not None:
        envelope["Episode"] = data.episode
    # Sender is the only object without `$type`; a null one is written, although .NET declares it as optional.
    envelope["Sender"] = sender and {"InstanceId": sender.instance_id, "ExecutionId": sender.execution_id}
    envelope["SerializableTraceContext"] = data.trace_context
    return json_text(envelope)


def decode(text: str, *, received_at: Instant = MIN_INSTANT) -> MessageData:
    """Read a message from JSON or base64 text. Raises UnreadableMessage.

    `received_at` replaces a missing event timestamp; .NET uses the current time.
    """
    try:
        json_or_base64 = text.lstrip("\ufeff \r\n\t")
        # Extension 2.x always writes base64, 3.x plain JSON unless configured otherwise. One hub can contain both.
        if not json_or_base64.startswith("{"):
            json_or_base64 = base64.b64decode(json_or_base64, validate=True).decode("utf-8-sig")
        envelope = json.loads(json_or_base64)
        task_message = envelope.get("TaskMessage")
        return MessageData(
            activity_id=converted_string(envelope.get("ActivityId")) or _EMPTY_GUID,
            message=_read_task_message(task_message, received_at) if task_message else None,
            sequence_number=converted_int64(envelope.get("SequenceNumber")) or 0,
            sender=_read_instance(envelope.get("Sender")),
            episode=converted_int32(envelope.get("Episode")),
            blob_name=converted_string(envelope.get("CompressedBlobName")) or None,
            trace_context=converted_string(envelope.get("SerializableTraceContext")),
        )
    # Raised for messages of another shape by base64, json and the readers. RecursionError is among them because anyone
    # with access to the queue can send deeply nested JSON, which must not stop the host.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # Not the `repr` of the error: that of a UnicodeDecodeError has all bytes, which may be 64 MiB.
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise UnreadableMessage(f"This is not a Durable Task message ({reason}): {text[:200]}") from error


def _task_message(message: TaskMessage) -> dict[str, Any]:
    context = None
    if message.context_tags is not None:
        tags = _WRITERS[Kind.STRING_MAP](message.context_tags)
        context = {"$type": "DurableTask.Core.OrchestrationExecutionContext", "OrchestrationTags": tags}
    return {
        "$type": "DurableTask.Core.TaskMessage",
        "Event": event_members(message.event),
        # .NET counts in the envelope only.
        "SequenceNumber": 0,
        "OrchestrationInstance": _write_instance(message.target),
        "OrchestrationExecutionContext": context,
    }


def _read_task_message(members: Mapping[str, Any], received_at: Instant) -> TaskMessage:
    target = _read_instance(members["OrchestrationInstance"])
    if target is None:
        raise ValueError("a task message without OrchestrationInstance")
    context = members.get("OrchestrationExecutionContext")
    tags = READERS[Kind.STRING_MAP](context.get("OrchestrationTags")) or {} if context else None
    return TaskMessage(read_event(members["Event"], received_at), target, tags)


# Values by kind -----------------------------------------------------------------------------------------


def _time_text(instant: Instant | None) -> str | None:
    if instant is None:
        return None
    # DateTime.MinValue has no time zone, so Newtonsoft writes it without Z.
    return instant.text if instant.ticks else instant.text.removesuffix("Z")


def _read_time(value: object) -> Instant | None:
    text = converted_string(value)
    return None if text is None else Instant.parse(text)


def _read_status(value: int | str) -> RuntimeStatus:
    # Newtonsoft reads an enum from its number, its name, or a string with the number.
    if isinstance(value, str):
        return RuntimeStatus.from_wire_name(value) or RuntimeStatus(int(value))
    return RuntimeStatus(value)


_Writer = Callable[[Any], object]
_Reader = Callable[[Any], Any]

_WRITERS: Mapping[Kind, _Writer] = {
    Kind.DATE_TIME: _time_text,
    Kind.STATUS: int,  # Newtonsoft writes enums as numbers.
    **object_writers(type_names=True),
}
_READERS: Mapping[Kind, _Reader] = {**READERS, Kind.DATE_TIME: _read_time, Kind.STATUS: _read_status}

_write_instance = _WRITERS[Kind.INSTANCE]
_read_instance = READERS[Kind.INSTANCE]


# Events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """Name, attribute and writer of the members before and after `EventType`, and the readers of all members."""

    number: int
    class_name: str
    fields: Sequence[tuple[str, str, _Writer | None]]
    properties: Sequence[tuple[str, str, _Writer | None]]
    readers: Sequence[tuple[str, str, _Reader, object]]

    @classmethod
    def of(cls, event_type: type[HistoryEvent]) -> _Layout:
        def writers(members: Sequence[Member]) -> Sequence[tuple[str, str, _Writer | None]]:
            return [(member.name, member.field, _WRITERS.get(member.kind)) for member in members]

        schema, name = EVENTS[event_type], event_type.__name__
        return cls(
            number=schema.number,
            # The classes are called like the enum members with the suffix "Event". GenericEvent is called so in both.
            class_name="DurableTask.Core.History." + (name if name.endswith("Event") else f"{name}Event"),
            fields=writers(schema.fields),
            properties=writers(schema.properties),
            readers=[
                (member.name, member.field, _READERS[member.kind], member.default)
                for member in (*schema.fields, *schema.properties)
            ],
        )


# Computed once, so that writing and reading an event need not interpret the schema.
_LAYOUTS = {event_type: _Layout.of(event_type) for event_type in EVENTS}
_TYPES_BY_CLASS = {layout.class_name: event_type for event_type, layout in _LAYOUTS.items()}

CLASS_NAMES = {layout.number: layout.class_name for layout in _LAYOUTS.values()}
"""The `$type` of an event by the number of its EventType."""


def event_members(event: HistoryEvent) -> dict[str, Any]:
    """Return the JSON members of an event, as a message has them."""
    layout = _LAYOUTS[type(event)]
    members: dict[str, Any] = {"$type": layout.class_name}
    for name, field, write in layout.fields:
        value = getattr(event, field)
        members[name] = value if write is None else write(value)
    members["EventType"] = layout.number
    for name, field, write in layout.properties:
        value = getattr(event, field)
        members[name] = value if write is None else write(value)
    # The members of the base class HistoryEvent come last, in Newtonsoft's order.
    members["EventId"] = event.event_id
    members["IsPlayed"] = event.is_played
    members["Timestamp"] = _time_text(event.timestamp)
    return members


def read_event(members: Mapping[str, Any], received_at: Instant) -> HistoryEvent:
    """Read a message's `Event`. Raises ValueError, KeyError, TypeError or AttributeError if it is invalid.

    The class named by `$type` decides; `EventType` is ignored, as .NET does.
    """
    # "DurableTask.Core.History.TaskCompletedEvent, DurableTask.Core" names the same class as without the assembly.
    class_name = str(members["$type"]).partition(",")[0]
    # Only the classes of the schema are accepted. .NET loads the class that the message names, so that a writer to
    # the queue can choose it.
    event_type = _TYPES_BY_CLASS.get(class_name)
    if event_type is None:
        raise ValueError(f"unknown event type {class_name}")
    # .NET reads a missing EventId as -1, too, or as 0 for events whose class has a single constructor.
    event_id = converted_int32(members.get("EventId"))
    values: dict[str, Any] = {
        "event_id": -1 if event_id is None else event_id,
        "is_played": bool(members.get("IsPlayed")),
        "timestamp": _read_time(members.get("Timestamp")) or received_at,
    }
    for name, field, read, default in _LAYOUTS[event_type].readers:
        value = members.get(name)
        values[field] = default if value is None else read(value)
    return event_type(**values)
