"""The tables' rows: history events, the sentinel, and the status row of an instance.

Columns, their EDM types and their order are .NET's; null columns are left out, since a table drops them anyway.
Reading takes a missing column and the text `null` for the same.
Source: docs/protocol/task-hub-storage.md chapters 3 and 4 (durabletask: Tracking/TableEntityConverter.cs,
AzureTableTrackingStore.cs, AzureTableInstanceStore).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.durable.azurestorage.names import SENTINEL
from emulator.durable.core import events
from emulator.durable.core.event_types import EVENT_TYPES
from emulator.durable.core.events import ExecutionStarted, FailureDetails, HistoryEvent, Tags, TraceContext
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.json_text import json_text
from emulator.errors import EmulatorError
from emulator.instant import MIN_INSTANT, Instant
from emulator.storage.port import Row, Value

Columns = dict[str, Value]

LARGE_COLUMNS = ("Name", "Input", "Result", "Output", "Reason", "Details", "Correlation", "FailureDetails", "Tags")
"""The columns that may move to a blob, in the order in which .NET looks at them."""

NULL_TEXT = "null"
"""How a null object (not a null string) stands in a column."""


class UnreadableRow(EmulatorError):
    """A table row that is not what the protocol says."""


# Objects in columns: JSON without type names -----------------------------------------------------------------


def _object(write: Callable[[Any], object]) -> Callable[[Any], str]:
    return lambda value: NULL_TEXT if value is None else json_text(write(value))


def _read_object(read: Callable[[Any], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        found = json.loads(text) if text else None
        return None if found is None else read(found)

    return parse


def _instance(instance: OrchestrationInstance) -> dict[str, Any]:
    return {"InstanceId": instance.instance_id, "ExecutionId": instance.execution_id}


def _read_instance(found: Mapping[str, Any]) -> OrchestrationInstance:
    return OrchestrationInstance(found.get("InstanceId") or "", found.get("ExecutionId"))


def _parent(parent: ParentInstance) -> dict[str, Any]:
    return {
        "Name": parent.name,
        "OrchestrationInstance": _instance(parent.instance),
        "TaskScheduleId": parent.task_schedule_id,
        "Version": parent.version,
    }


def _read_parent(found: Mapping[str, Any]) -> ParentInstance:
    instance = _read_instance(found.get("OrchestrationInstance") or {})
    return ParentInstance(found.get("Name") or "", instance, found.get("TaskScheduleId") or 0, found.get("Version"))


def _read_tags(found: Mapping[str, Any]) -> Tags:
    return {key: value for key, value in found.items() if key != "$type"}


def _failure(failure: FailureDetails) -> dict[str, Any]:
    return {
        "ErrorType": failure.error_type,
        "ErrorMessage": failure.error_message,
        "StackTrace": failure.stack_trace,
        "InnerFailure": failure.inner_failure and _failure(failure.inner_failure),
        "IsNonRetriable": failure.is_non_retriable,
        "Properties": failure.properties,
    }


def _read_failure(found: Mapping[str, Any]) -> FailureDetails:
    inner = found.get("InnerFailure")
    return FailureDetails(
        error_type=found.get("ErrorType") or "",
        error_message=found.get("ErrorMessage") or "",
        stack_trace=found.get("StackTrace"),
        inner_failure=_read_failure(inner) if inner else None,
        is_non_retriable=bool(found.get("IsNonRetriable")),
        properties=found.get("Properties"),
    )


_TRACE_MEMBERS = ("TraceParent", "TraceState", "Id", "SpanId", "ActivityStartTime")


def _trace(context: TraceContext) -> dict[str, Any]:
    values = (context.trace_parent, context.trace_state, context.id, context.span_id, context.activity_start_time)
    return dict(zip(_TRACE_MEMBERS, values, strict=True))


def _read_trace(found: Mapping[str, Any]) -> TraceContext:
    return TraceContext(*(found.get(member) for member in _TRACE_MEMBERS))


def _read_status(name: str) -> RuntimeStatus:
    status = RuntimeStatus.from_wire_name(name)
    if status is None:
        raise ValueError(f"unknown OrchestrationStatus {name!r}")
    return status


# History rows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """`missing`: what a missing column reads as."""

    name: str
    field: str
    write: Callable[[Any], Value | None] = lambda value: value
    read: Callable[[Any], object] = lambda value: value
    missing: object = None


_NAME = _Column("Name", "name", missing="")
_VERSION = _Column("Version", "version")
_INPUT = _Column("Input", "input")
_REASON = _Column("Reason", "reason")
_RESULT = _Column("Result", "result")
_TAGS = _Column("Tags", "tags", _object(dict), _read_object(_read_tags))
_FAILURE = _Column("FailureDetails", "failure", _object(_failure), _read_object(_read_failure))
_TRACE = _Column("ParentTraceContext", "parent_trace_context", _object(_trace), _read_object(_read_trace))
_TASK_ID = _Column("TaskScheduledId", "task_scheduled_id", missing=0)
_FIRE_AT = _Column("FireAt", "fire_at", missing=MIN_INSTANT)
_STATUS = _Column(
    "OrchestrationStatus", "status", lambda status: status.wire_name, _read_status, missing=RuntimeStatus.RUNNING
)
_INSTANCE = _Column(
    "OrchestrationInstance",
    "instance",
    _object(_instance),
    _read_object(_read_instance),
    missing=OrchestrationInstance("", None),
)
_FAILED = (_TASK_ID, _REASON, _Column("Details", "details"), _FAILURE)

_COLUMNS: Mapping[type[HistoryEvent], Sequence[_Column]] = {
    events.ExecutionStarted: (
        _Column("ParentInstance", "parent", _object(_parent), _read_object(_read_parent)),
        _NAME,
        _VERSION,
        _INPUT,
        _TAGS,
        _Column("Correlation", "correlation"),
        _TRACE,
        _Column("ScheduledStartTime", "scheduled_start_time"),
        _Column("Generation", "generation"),
        _Column("GenerateNewTrace", "generate_new_trace", missing=False),
        _INSTANCE,
    ),
    events.ExecutionCompleted: (_STATUS, _RESULT, _FAILURE),
    events.ContinueAsNew: (
        _Column("OrchestrationStatus", "", lambda _: RuntimeStatus.CONTINUED_AS_NEW.wire_name),
        _RESULT,
    ),
    events.ExecutionTerminated: (_INPUT,),
    events.ExecutionSuspended: (_REASON,),
    events.ExecutionResumed: (_REASON,),
    events.ExecutionRewound: (
        _REASON,
        _Column("ParentExecutionId", "parent_execution_id"),
        _Column("InstanceId", "instance_id"),
        _TRACE,
    ),
    events.TaskScheduled: (_NAME, _VERSION, _INPUT, _TRACE, _TAGS),
    events.TaskCompleted: (_TASK_ID, _RESULT),
    events.TaskFailed: _FAILED,
    events.SubOrchestrationInstanceCreated: (
        _NAME,
        _VERSION,
        _Column("InstanceId", "instance_id", missing=""),
        _INPUT,
        _Column("ClientSpanId", "client_span_id"),
        _TAGS,
    ),
    events.SubOrchestrationInstanceCompleted: (_TASK_ID, _RESULT),
    events.SubOrchestrationInstanceFailed: _FAILED,
    events.TimerCreated: (_FIRE_AT,),
    events.TimerFired: (_Column("TimerId", "timer_id", missing=0), _FIRE_AT),
    events.OrchestratorStarted: (),
    events.OrchestratorCompleted: (),
    events.EventSent: (_Column("InstanceId", "instance_id", missing=""), _Column("Name", "name"), _INPUT),
    events.EventRaised: (_NAME, _INPUT, _TRACE),
    events.GenericEvent: (_Column("Data", "data"),),
    events.HistoryState: (_Column("State", "state"),),
}
_KINDS = {EVENT_TYPES[kind].name: kind for kind in _COLUMNS}


def event_columns(event: HistoryEvent, execution_id: str) -> Columns:
    """The columns of an event's row, in the order in which .NET sends them."""
    found: Columns = {}
    for column in _COLUMNS[type(event)]:
        value = column.write(getattr(event, column.field, None))
        if value is not None:
            found[column.name] = value
    found["EventId"] = event.event_id
    found["IsPlayed"] = event.is_played
    found["_Timestamp"] = event.timestamp
    found["EventType"] = EVENT_TYPES[type(event)].name
    found["ExecutionId"] = execution_id
    return found


def read_event(row: Row) -> HistoryEvent:
    """The event of a history row whose large columns are back in place.

    A row that a rewind neutralised reads as the GenericEvent that it says it is. Raises UnreadableRow.
    """
    columns = row.properties
    name = str(columns.get("EventType"))
    kind = _KINDS.get(name)
    if kind is None:
        raise UnreadableRow(_unreadable(row, f"has the unknown EventType {name!r}"))
    fields: dict[str, Any] = {
        "event_id": columns.get("EventId", 0),
        "is_played": columns.get("IsPlayed", False),
        "timestamp": columns.get("_Timestamp", MIN_INSTANT),
    }
    try:
        for column in _COLUMNS[kind]:
            if column.field:
                fields[column.field] = _read(column, columns.get(column.name))
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableRow(_unreadable(row, f"({name}) cannot be read: {error}")) from error
    return kind(**fields)


def _read(column: _Column, found: Value | None) -> object:
    value = None if found is None else column.read(found)
    return column.missing if value is None else value


def _unreadable(row: Row, problem: str) -> str:
    return f"History row {row.row_key} of {row.partition_key} {problem}."


def sentinel_columns(execution_id: str, completed_at: Instant | None) -> Columns:
    """`completed_at` None: more of the same checkpoint follows."""
    columns: Columns = {"ExecutionId": execution_id, "IsCheckpointComplete": completed_at is not None}
    if completed_at is not None:
        columns["CheckpointCompletedTimestamp"] = completed_at
    return columns


def is_sentinel(row: Row) -> bool:
    return row.row_key == SENTINEL


# Status rows -------------------------------------------------------------------------------------------------


def pending_columns(started: ExecutionStarted, *, hub: str, now: Instant, status_input: str | None) -> Columns:
    """The row that a client's start writes. `status_input`: the input, or the URL of a blob that has it."""
    return _present(
        {
            "Input": status_input,
            "CreatedTime": started.timestamp,
            "Name": started.name,
            "Version": started.version,
            "RuntimeStatus": RuntimeStatus.PENDING.wire_name,
            "LastUpdatedTime": now,
            "TaskHubName": hub,
            "ScheduledStartTime": started.scheduled_start_time,
            "ExecutionId": started.instance.execution_id,
            "Generation": started.generation,
            "Tags": tags_text(started.tags),
        }
    )


def checkpoint_columns(
    new_events: Sequence[tuple[HistoryEvent, str | None]],
    *,
    execution_id: str,
    hub: str,
    now: Instant,
    custom_status: str | None,
) -> Columns:
    """What an episode merges into the status row.

    `new_events` come with the URL of the blob that their Input, Result or Reason moved to, if it did.
    """
    columns: dict[str, Value | None] = {
        "CustomStatus": NULL_TEXT if custom_status is None else custom_status,
        "ExecutionId": execution_id,
        "LastUpdatedTime": new_events[-1][0].timestamp if new_events else now,
        "TaskHubName": hub,
    }
    for event, url in new_events:
        columns |= _implied(event, url, now)
    return _present(columns)


def _implied(event: HistoryEvent, url: str | None, now: Instant) -> dict[str, Value | None]:
    """The status columns that one new event sets."""
    match event:
        case ExecutionStarted():
            started: dict[str, Value | None] = {
                "Name": event.name,
                "Version": event.version,
                "CreatedTime": event.timestamp,
                "RuntimeStatus": RuntimeStatus.RUNNING.wire_name,
                "Tags": tags_text(event.tags),
                "Generation": event.generation,
            }
            if event.scheduled_start_time is not None:
                started["ScheduledStartTime"] = event.scheduled_start_time
            return started | {"Input": url or event.input}
        case events.ExecutionCompleted():
            return _ended(event.status, now, output_text(event, url))
        case events.ExecutionTerminated():
            return _ended(RuntimeStatus.TERMINATED, now, url or event.input)
        case events.ExecutionSuspended():
            return {"RuntimeStatus": RuntimeStatus.SUSPENDED.wire_name, "Output": url or event.reason}
        case events.ExecutionResumed():
            return {"RuntimeStatus": RuntimeStatus.RUNNING.wire_name, "Output": url or event.reason}
        case _:
            return {}


def _ended(status: RuntimeStatus, now: Instant, output: str | None) -> dict[str, Value | None]:
    return {"RuntimeStatus": status.wire_name, "CompletedTime": now, "Output": output}


def output_text(event: events.ExecutionCompleted, url: str | None = None) -> str | None:
    if event.failure is not None:
        return f"{event.failure.error_type}: {event.failure.error_message}"
    return url or event.result


def terminated_columns(reason: str | None, *, updated_at: Instant, now: Instant) -> Columns:
    """A termination that came before the instance ever ran."""
    return _present(
        {
            "RuntimeStatus": RuntimeStatus.TERMINATED.wire_name,
            "LastUpdatedTime": updated_at,
            "CompletedTime": now,
            "Output": reason,
        }
    )


def repair_columns(
    started: ExecutionStarted,
    ended: events.ExecutionCompleted | None,
    *,
    status: RuntimeStatus,
    updated_at: Instant,
    hub: str,
    output: str | None,
) -> Columns:
    """What an execution's status row must say, from its history."""
    return _present(
        {
            "Name": started.name,
            "Version": started.version,
            "CreatedTime": started.timestamp,
            "ExecutionId": started.instance.execution_id,
            "LastUpdatedTime": updated_at,
            "RuntimeStatus": status.wire_name,
            "CompletedTime": ended.timestamp if ended else None,
            "Tags": tags_text(started.tags),
            "TaskHubName": hub,
            "ScheduledStartTime": started.scheduled_start_time,
            "Generation": started.generation,
            "Output": output,
        }
    )


def rewound_columns(now: Instant) -> Columns:
    return {"RuntimeStatus": RuntimeStatus.PENDING.wire_name, "LastUpdatedTime": now}


def tags_text(tags: Tags | None) -> str:
    return NULL_TEXT if tags is None else json_text(dict(tags))


def read_tags_text(text: Value | None) -> Tags | None:
    if not isinstance(text, str) or not text:
        return None
    found = json.loads(text)
    return None if found is None else _read_tags(found)


def _present(columns: Mapping[str, Value | None]) -> Columns:
    return {name: value for name, value in columns.items() if value is not None}
