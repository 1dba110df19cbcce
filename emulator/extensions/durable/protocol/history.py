"""History events as a Python orchestrator is shown them: indented JSON, members in .NET's order.

A long history is written anew in every episode. So each kind of event has a template into which the members' texts
are put, which is twice as fast as `json.dumps(…, indent=2)` and the same byte for byte.
Source: recordings of durable-extension 3.15.2; docs/protocol/durable-orchestration.md 2.4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

from emulator.durable.core import events
from emulator.durable.core.event_types import EVENT_TYPES
from emulator.durable.core.events import FailureDetails, HistoryEvent, TraceContext
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance
from emulator.instant import Instant

_INDENT = " " * 4
_MEMBER_INDENT = " " * 6


def text(value: str | None) -> str:
    """The JSON text of a string."""
    return "null" if value is None else encode_basestring(value)


def boolean(value: bool) -> str:
    return "true" if value else "false"


def nested(value: object, indent: str) -> str:
    """The JSON text of any value whose first line stands behind `indent`."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", f"\n{indent}")


def event_text(event: HistoryEvent) -> str:
    """One element of the context's `history`."""
    template, members = _TEMPLATES[type(event)]
    return template % tuple([write(getattr(event, field)) for field, write in members])


def _number(value: int | None) -> str:
    return "null" if value is None else str(int(value))


def _time(instant: Instant | None) -> str:
    return "null" if instant is None else f'"{instant.text}"'


def _object(members: Mapping[str, Any] | None) -> str:
    return "null" if members is None else nested(members, _MEMBER_INDENT)


def _instance(instance: OrchestrationInstance) -> str:
    return _object(_instance_members(instance))


def _instance_members(instance: OrchestrationInstance) -> Mapping[str, Any]:
    return {"InstanceId": instance.instance_id, "ExecutionId": instance.execution_id}


def _parent(parent: ParentInstance | None) -> str:
    if parent is None:
        return "null"
    return _object(
        {
            "Name": parent.name,
            "OrchestrationInstance": _instance_members(parent.instance),
            "TaskScheduleId": parent.task_schedule_id,
            "Version": parent.version,
        }
    )


def _failure(failure: FailureDetails | None) -> str:
    return _object(_failure_members(failure))


def _failure_members(failure: FailureDetails | None) -> Mapping[str, Any] | None:
    if failure is None:
        return None
    return {
        "ErrorType": failure.error_type,
        "ErrorMessage": failure.error_message,
        "StackTrace": failure.stack_trace,
        "InnerFailure": _failure_members(failure.inner_failure),
        "IsNonRetriable": failure.is_non_retriable,
        "Properties": failure.properties,
    }


def _trace(context: TraceContext | None) -> str:
    if context is None:
        return "null"
    return _object(
        {
            "TraceParent": context.trace_parent,
            "TraceState": context.trace_state,
            "Id": context.id,
            "SpanId": context.span_id,
            "ActivityStartTime": context.activity_start_time,
        }
    )


_Member = tuple[str, str, Callable[[Any], str]]

_TYPE = "EventType"
_INPUT: _Member = ("Input", "input", text)
_NAME: _Member = ("Name", "name", text)
_REASON: _Member = ("Reason", "reason", text)
_RESULT: _Member = ("Result", "result", text)
_VERSION: _Member = ("Version", "version", text)
_TAGS: _Member = ("Tags", "tags", _object)
_TRACE: _Member = ("ParentTraceContext", "parent_trace_context", _trace)
_TASK_ID: _Member = ("TaskScheduledId", "task_scheduled_id", _number)
_FIRE_AT: _Member = ("FireAt", "fire_at", _time)
_FAILURE: _Member = ("FailureDetails", "failure", _failure)
_FAILED = (_TYPE, _TASK_ID, _REASON, ("Details", "details", text), _FAILURE)

_SHAPES: Mapping[type[HistoryEvent], Sequence[_Member | str]] = {
    events.ExecutionStarted: (
        ("OrchestrationInstance", "instance", _instance),
        _TYPE,
        ("ParentInstance", "parent", _parent),
        _NAME,
        _VERSION,
        _INPUT,
        _TAGS,
        ("Correlation", "correlation", text),
        _TRACE,
        ("ScheduledStartTime", "scheduled_start_time", _time),
        ("Generation", "generation", _number),
        ("GenerateNewTrace", "generate_new_trace", boolean),
    ),
    events.ExecutionCompleted: (
        _TYPE,
        ("OrchestrationStatus", "status", _number),
        _RESULT,
        _FAILURE,
    ),
    events.ContinueAsNew: (_TYPE, _RESULT),
    events.ExecutionTerminated: (_TYPE, _INPUT),
    events.ExecutionSuspended: (_TYPE, _REASON),
    events.ExecutionResumed: (_TYPE, _REASON),
    events.ExecutionRewound: (
        _TYPE,
        _REASON,
        ("ParentExecutionId", "parent_execution_id", text),
        ("InstanceId", "instance_id", text),
        _TRACE,
    ),
    events.TaskScheduled: (_TYPE, _NAME, _VERSION, _INPUT, _TRACE, _TAGS),
    events.TaskCompleted: (_TYPE, _TASK_ID, _RESULT),
    events.TaskFailed: _FAILED,
    events.SubOrchestrationInstanceCreated: (
        _TYPE,
        _NAME,
        _VERSION,
        ("InstanceId", "instance_id", text),
        _INPUT,
        ("ClientSpanId", "client_span_id", text),
        _TAGS,
    ),
    events.SubOrchestrationInstanceCompleted: (_TYPE, _TASK_ID, _RESULT),
    events.SubOrchestrationInstanceFailed: _FAILED,
    events.TimerCreated: (_TYPE, _FIRE_AT),
    events.TimerFired: (_TYPE, ("TimerId", "timer_id", _number), _FIRE_AT),
    events.OrchestratorStarted: (_TYPE,),
    events.OrchestratorCompleted: (_TYPE,),
    events.EventSent: (_TYPE, ("InstanceId", "instance_id", text), _NAME, _INPUT),
    events.EventRaised: (_TYPE, _NAME, _INPUT, _TRACE),
    events.GenericEvent: (("Data", "data", text), _TYPE),
    events.HistoryState: (_TYPE, ("State", "state", text)),
}

_COMMON: Sequence[_Member] = (
    ("EventId", "event_id", _number),
    ("IsPlayed", "is_played", boolean),
    ("Timestamp", "timestamp", _time),
)


def _template(kind: type[HistoryEvent]) -> tuple[str, Sequence[tuple[str, Callable[[Any], str]]]]:
    """The text of such an event with a place for each member, and what goes there."""
    shape = [*_SHAPES[kind], *_COMMON]
    lines = [
        f'"{_TYPE}": {EVENT_TYPES[kind].number}' if isinstance(member, str) else f'"{member[0]}": %s'
        for member in shape
    ]
    body = f",\n{_MEMBER_INDENT}".join(lines)
    members = [(member[1], member[2]) for member in shape if not isinstance(member, str)]
    return f"{_INDENT}{{\n{_MEMBER_INDENT}{body}\n{_INDENT}}}", members


_TEMPLATES = {kind: _template(kind) for kind in _SHAPES}
