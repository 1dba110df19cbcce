"""The text of a queue message: .NET's MessageData, as Newtonsoft.Json writes it with TypeNameHandling.Objects.

{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":…,"TaskMessage":{…,"Event":{"$type":…}},"Sender":{…}}

Writing is exact: member order, `$type` first in every object but `Sender`, nulls written, times with `Z`. Reading is
tolerant where .NET is, and takes only the types named here: a message cannot choose a class to be loaded.
Source: docs/protocol/task-hub-storage.md chapter 2 (durabletask: MessageData.cs, MessageManager.cs, TaskMessage.cs,
History/*.cs).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.durable.core import events
from emulator.durable.core.event_types import EVENT_TYPES
from emulator.durable.core.events import FailureDetails, HistoryEvent, Tags, TraceContext
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.json_text import json_text
from emulator.durable.core.messages import TaskMessage
from emulator.errors import EmulatorError
from emulator.instant import MIN_INSTANT, Instant

CLIENT = OrchestrationInstance("", "")
"""The `Sender` of everything that a client sends. .NET cannot do without a sender when an event is raised."""

_MESSAGE_DATA = "DurableTask.AzureStorage.MessageData"
_TASK_MESSAGE = "DurableTask.Core.TaskMessage"
_INSTANCE = "DurableTask.Core.OrchestrationInstance"
_PARENT = "DurableTask.Core.ParentInstance"
_CONTEXT = "DurableTask.Core.OrchestrationExecutionContext"
_FAILURE = "DurableTask.Core.FailureDetails"
_TRACE = "DurableTask.Core.Tracing.DistributedTraceContext"
_STRING_MAP = (
    "System.Collections.Generic.Dictionary`2[[System.String, System.Private.CoreLib],"
    "[System.String, System.Private.CoreLib]]"
)
_NO_ACTIVITY = "00000000-0000-0000-0000-000000000000"


class UnreadableMessage(EmulatorError):
    """A queue message that is not a MessageData we know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageData:
    """The envelope of a task message.

    `activity_id`: a GUID per message, 8-4-4-4-12. `sequence_number` counts the messages of a process. `episode`: that
    of the sender when it sent; None from clients. `sender` as it was when its work item began. `blob_name`: set, and
    `message` None, when the message proper lies in a blob.
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
        """What travels instead of a message that is too large for a queue."""
        return cls(activity_id=_NO_ACTIVITY, message=None, sequence_number=0, sender=None, blob_name=blob_name)


# Whole messages ----------------------------------------------------------------------------------------------


def encode(data: MessageData) -> str:
    """The JSON text, without white space."""
    envelope: dict[str, Any] = {
        "$type": _MESSAGE_DATA,
        "ActivityId": data.activity_id,
        "TaskMessage": _task_message(data.message) if data.message else None,
        "CompressedBlobName": data.blob_name,
        "SequenceNumber": data.sequence_number,
    }
    if data.episode is not None:
        envelope["Episode"] = data.episode
    sender = data.sender
    envelope["Sender"] = sender and {"InstanceId": sender.instance_id, "ExecutionId": sender.execution_id}
    envelope["SerializableTraceContext"] = data.trace_context
    return json_text(envelope)


def decode(text: str, *, received_at: Instant = MIN_INSTANT) -> MessageData:
    """Read plain or base64 text. `received_at` stands in for a missing event timestamp, like "now" in .NET.

    Raises UnreadableMessage.
    """
    try:
        envelope = json.loads(_plain(text))
        task_message = envelope.get("TaskMessage")
        return MessageData(
            activity_id=_read_text(envelope.get("ActivityId")) or _NO_ACTIVITY,
            message=_read_task_message(task_message, received_at) if task_message else None,
            sequence_number=_read_number(envelope.get("SequenceNumber")) or 0,
            sender=_read_instance(envelope.get("Sender")),
            episode=_read_number(envelope.get("Episode")),
            blob_name=_read_text(envelope.get("CompressedBlobName")) or None,
            trace_context=_read_text(envelope.get("SerializableTraceContext")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableMessage(f"This is not a Durable Task message ({error!r}): {text[:200]}") from error


def _plain(text: str) -> str:
    text = text.lstrip("\ufeff \r\n\t")
    if text.startswith("{"):
        return text
    try:
        return base64.b64decode(text, validate=True).decode("utf-8-sig")
    except binascii.Error as error:
        raise ValueError("neither JSON nor base64") from error


def _read_text(found: object) -> str | None:
    """Newtonsoft takes a number or a truth value for a text, too."""
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, int | float):
        return json.dumps(found)
    raise TypeError(f"{type(found).__name__} instead of a text")


def _read_number(found: object) -> int | None:
    """Newtonsoft takes a text of digits for a number, too."""
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    if isinstance(found, str):
        return int(found)
    raise TypeError(f"{type(found).__name__} instead of a whole number")


# Parts -------------------------------------------------------------------------------------------------------


def _task_message(message: TaskMessage) -> dict[str, Any]:
    return {
        "$type": _TASK_MESSAGE,
        "Event": _event(message.event),
        "SequenceNumber": 0,
        "OrchestrationInstance": _instance(message.target),
        "OrchestrationExecutionContext": None
        if message.context_tags is None
        else {"$type": _CONTEXT, "OrchestrationTags": _tags(message.context_tags)},
    }


def _read_task_message(found: Mapping[str, Any], received_at: Instant) -> TaskMessage:
    target = _read_instance(found["OrchestrationInstance"])
    if target is None:
        raise ValueError("a task message without OrchestrationInstance")
    context = found.get("OrchestrationExecutionContext")
    tags = _read_tags(context.get("OrchestrationTags")) or {} if context else None
    return TaskMessage(read_event(found["Event"], received_at), target, tags)


def _instance(instance: OrchestrationInstance | None) -> dict[str, Any] | None:
    if instance is None:
        return None
    return {"$type": _INSTANCE, "InstanceId": instance.instance_id, "ExecutionId": instance.execution_id}


def _read_instance(found: Mapping[str, Any] | None) -> OrchestrationInstance | None:
    if found is None:
        return None
    return OrchestrationInstance(_read_text(found.get("InstanceId")) or "", _read_text(found.get("ExecutionId")))


def _parent(parent: ParentInstance | None) -> dict[str, Any] | None:
    if parent is None:
        return None
    return {
        "$type": _PARENT,
        "Name": parent.name,
        "OrchestrationInstance": _instance(parent.instance),
        "TaskScheduleId": parent.task_schedule_id,
        "Version": parent.version,
    }


def _read_parent(found: Mapping[str, Any] | None) -> ParentInstance | None:
    instance = _read_instance(found.get("OrchestrationInstance")) if found else None
    if found is None or instance is None:
        return None
    return ParentInstance(
        _read_text(found.get("Name")) or "",
        instance,
        _read_number(found.get("TaskScheduleId")) or 0,
        _read_text(found.get("Version")),
    )


def _tags(tags: Tags | None) -> dict[str, str] | None:
    return None if tags is None else {"$type": _STRING_MAP, **tags}


def _read_tags(found: Mapping[str, Any] | None) -> Tags | None:
    members = _untyped(found)
    return None if members is None else {key: _read_text(value) or "" for key, value in members.items()}


def _untyped(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {key: value for key, value in found.items() if key != "$type"}


def _failure(failure: FailureDetails | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "$type": _FAILURE,
        "ErrorType": failure.error_type,
        "ErrorMessage": failure.error_message,
        "StackTrace": failure.stack_trace,
        "InnerFailure": _failure(failure.inner_failure),
        "IsNonRetriable": failure.is_non_retriable,
        # Without $type: the declared type is enough for .NET, and a wrong one would make the message unreadable.
        "Properties": failure.properties,
    }


def _read_failure(found: Mapping[str, Any] | None) -> FailureDetails | None:
    if found is None:
        return None
    return FailureDetails(
        error_type=_read_text(found.get("ErrorType")) or "",
        error_message=_read_text(found.get("ErrorMessage")) or "",
        stack_trace=_read_text(found.get("StackTrace")),
        inner_failure=_read_failure(found.get("InnerFailure")),
        is_non_retriable=bool(found.get("IsNonRetriable")),
        properties=_untyped(found.get("Properties")),
    )


def _trace(context: TraceContext | None) -> dict[str, Any] | None:
    if context is None:
        return None
    return {
        "$type": _TRACE,
        "TraceParent": context.trace_parent,
        "TraceState": context.trace_state,
        "Id": context.id,
        "SpanId": context.span_id,
        "ActivityStartTime": context.activity_start_time,
    }


def _read_trace(found: Mapping[str, Any] | None) -> TraceContext | None:
    if found is None:
        return None
    members = ("TraceParent", "TraceState", "Id", "SpanId", "ActivityStartTime")
    return TraceContext(*(_read_text(found.get(member)) for member in members))


def _time(instant: Instant | None) -> str | None:
    # DateTime.MinValue has no kind, and so no Z.
    return None if instant is None else instant.text.removesuffix("Z") if instant == MIN_INSTANT else instant.text


def _read_time(found: object) -> Instant | None:
    text = _read_text(found)
    return None if text is None else Instant.parse(text)


def _read_status(found: int | str | None) -> RuntimeStatus:
    if isinstance(found, str):
        return RuntimeStatus.from_wire_name(found) or RuntimeStatus(int(found))
    return RuntimeStatus(found or 0)


# Events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Member:
    """`missing`: what to read when the member is absent or null and our field cannot be None."""

    name: str
    field: str
    write: Callable[[Any], object] = lambda value: value
    read: Callable[[Any], object] = lambda value: value
    missing: object = None


def _text(name: str, field: str, missing: str | None = None) -> _Member:
    return _Member(name, field, read=_read_text, missing=missing)


def _number(name: str, field: str, missing: int | None = None) -> _Member:
    return _Member(name, field, read=_read_number, missing=missing)


_NAME = _text("Name", "name", "")
_VERSION = _text("Version", "version")
_INPUT = _text("Input", "input")
_REASON = _text("Reason", "reason")
_RESULT = _text("Result", "result")
_TAGS = _Member("Tags", "tags", _tags, _read_tags)
_FAILURE_DETAILS = _Member("FailureDetails", "failure", _failure, _read_failure)
_TRACE_PARENT = _Member("ParentTraceContext", "parent_trace_context", _trace, _read_trace)
_TASK_ID = _number("TaskScheduledId", "task_scheduled_id", 0)
_FIRE_AT = _Member("FireAt", "fire_at", _time, _read_time, missing=MIN_INSTANT)
_STATUS = _Member("OrchestrationStatus", "status", int, _read_status, missing=RuntimeStatus.RUNNING)
_EVENT_TYPE = _Member("EventType", "")
"""Holds the place of the number that is written and never read: `$type` decides."""

_FAILED = (_EVENT_TYPE, _TASK_ID, _REASON, _text("Details", "details"), _FAILURE_DETAILS)
_MEMBERS: Mapping[type[HistoryEvent], Sequence[_Member]] = {
    events.ExecutionStarted: (
        _Member("OrchestrationInstance", "instance", _instance, _read_instance, OrchestrationInstance("", None)),
        _EVENT_TYPE,
        _Member("ParentInstance", "parent", _parent, _read_parent),
        _NAME,
        _VERSION,
        _INPUT,
        _TAGS,
        _text("Correlation", "correlation"),
        _TRACE_PARENT,
        _Member("ScheduledStartTime", "scheduled_start_time", _time, _read_time),
        _number("Generation", "generation"),
        _Member("GenerateNewTrace", "generate_new_trace", read=bool, missing=False),
    ),
    events.ExecutionCompleted: (_EVENT_TYPE, _STATUS, _RESULT, _FAILURE_DETAILS),
    events.ContinueAsNew: (_EVENT_TYPE, _RESULT),
    events.ExecutionTerminated: (_EVENT_TYPE, _INPUT),
    events.ExecutionSuspended: (_EVENT_TYPE, _REASON),
    events.ExecutionResumed: (_EVENT_TYPE, _REASON),
    events.ExecutionRewound: (
        _EVENT_TYPE,
        _REASON,
        _text("ParentExecutionId", "parent_execution_id"),
        _text("InstanceId", "instance_id"),
        _TRACE_PARENT,
    ),
    events.TaskScheduled: (_EVENT_TYPE, _NAME, _VERSION, _INPUT, _TRACE_PARENT, _TAGS),
    events.TaskCompleted: (_EVENT_TYPE, _TASK_ID, _RESULT),
    events.TaskFailed: _FAILED,
    events.SubOrchestrationInstanceCreated: (
        _EVENT_TYPE,
        _NAME,
        _VERSION,
        _text("InstanceId", "instance_id", ""),
        _INPUT,
        _text("ClientSpanId", "client_span_id"),
        _TAGS,
    ),
    events.SubOrchestrationInstanceCompleted: (_EVENT_TYPE, _TASK_ID, _RESULT),
    events.SubOrchestrationInstanceFailed: _FAILED,
    events.TimerCreated: (_EVENT_TYPE, _FIRE_AT),
    events.TimerFired: (_EVENT_TYPE, _number("TimerId", "timer_id", 0), _FIRE_AT),
    events.OrchestratorStarted: (_EVENT_TYPE,),
    events.OrchestratorCompleted: (_EVENT_TYPE,),
    events.EventSent: (_EVENT_TYPE, _text("InstanceId", "instance_id", ""), _text("Name", "name"), _INPUT),
    events.EventRaised: (_EVENT_TYPE, _NAME, _INPUT, _TRACE_PARENT),
    events.GenericEvent: (_text("Data", "data"), _EVENT_TYPE),
    events.HistoryState: (_EVENT_TYPE, _text("State", "state")),
}

_NO_ID = -1
_NAMESPACE = "DurableTask.Core.History."
_CLASS_NAMES = {kind: _NAMESPACE + EVENT_TYPES[kind].class_name for kind in _MEMBERS}
_KINDS = {name: kind for kind, name in _CLASS_NAMES.items()}


def _event(event: HistoryEvent) -> dict[str, Any]:
    kind = type(event)
    found: dict[str, Any] = {"$type": _CLASS_NAMES[kind]}
    for member in _MEMBERS[kind]:
        if member is _EVENT_TYPE:
            found["EventType"] = EVENT_TYPES[kind].number
        else:
            found[member.name] = member.write(getattr(event, member.field))
    found["EventId"] = event.event_id
    found["IsPlayed"] = event.is_played
    found["Timestamp"] = _time(event.timestamp)
    return found


def read_event(found: Mapping[str, Any], received_at: Instant) -> HistoryEvent:
    """The event of a message's `Event` member. Raises ValueError, KeyError, TypeError for what is none."""
    # "DurableTask.Core.History.TaskCompletedEvent, DurableTask.Core" names the same class as without the assembly.
    class_name = str(found["$type"]).partition(",")[0]
    kind = _KINDS.get(class_name)
    if kind is None:
        raise ValueError(f"unknown event type {class_name}")
    fields: dict[str, Any] = {
        "event_id": _NO_ID if (event_id := _read_number(found.get("EventId"))) is None else event_id,
        "is_played": bool(found.get("IsPlayed")),
        "timestamp": _read_time(found.get("Timestamp")) or received_at,
    }
    for member in _MEMBERS[kind]:
        if member is not _EVENT_TYPE:
            value = found.get(member.name)
            fields[member.field] = member.missing if value is None else member.read(value)
    return kind(**fields)
