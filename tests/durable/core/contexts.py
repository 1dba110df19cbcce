"""Read the JSON that a Python orchestrator is given back into history events: the inverse of what the product writes.

The product never reads it; the fixtures and recordings do not exist in another form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emulator.durable.core import events
from emulator.durable.core.events import HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.instant import Instant

Json = Mapping[str, Any]


def history(context: Json) -> Sequence[HistoryEvent]:
    return [event(found) for found in context["history"]]


def event(found: Json) -> HistoryEvent:
    kind, members = _EVENTS[found["EventType"]]
    fields = {field: read(found[name]) for field, (name, read) in members.items()}
    return kind(
        event_id=found["EventId"], is_played=found["IsPlayed"], timestamp=Instant.parse(found["Timestamp"]), **fields
    )


def episode(of: Sequence[HistoryEvent]) -> tuple[Sequence[HistoryEvent], Sequence[HistoryEvent]]:
    """What was stored before the last episode, and that episode's events."""
    began = max(number for number, each in enumerate(of) if isinstance(each, events.OrchestratorStarted))
    return of[:began], of[began:]


def _same(value: Any) -> Any:
    return value


def _nothing(value: Any) -> None:
    assert value is None, "no recording has one"


def _instance(found: Json) -> OrchestrationInstance:
    return OrchestrationInstance(found["InstanceId"], found["ExecutionId"])


def _parent(found: Json | None) -> ParentInstance | None:
    if found is None:
        return None
    return ParentInstance(
        found["Name"], _instance(found["OrchestrationInstance"]), found["TaskScheduleId"], found["Version"]
    )


def _optional_time(text: str | None) -> Instant | None:
    return None if text is None else Instant.parse(text)


_Members = Mapping[str, tuple[str, Callable[[Any], Any]]]
_RESULT: _Members = {"task_scheduled_id": ("TaskScheduledId", _same), "result": ("Result", _same)}
_FAILED: _Members = {
    "task_scheduled_id": ("TaskScheduledId", _same),
    "reason": ("Reason", _same),
    "details": ("Details", _same),
    "failure": ("FailureDetails", _nothing),
}
_REASON: _Members = {"reason": ("Reason", _same)}
_EVENTS: Mapping[int, tuple[Callable[..., HistoryEvent], _Members]] = {
    0: (
        events.ExecutionStarted,
        {
            "instance": ("OrchestrationInstance", _instance),
            "parent": ("ParentInstance", _parent),
            "name": ("Name", _same),
            "version": ("Version", _same),
            "input": ("Input", _same),
            "tags": ("Tags", _same),
            "correlation": ("Correlation", _nothing),
            "parent_trace_context": ("ParentTraceContext", _nothing),
            "scheduled_start_time": ("ScheduledStartTime", _optional_time),
            "generation": ("Generation", _same),
            "generate_new_trace": ("GenerateNewTrace", _same),
        },
    ),
    1: (
        events.ExecutionCompleted,
        {
            "status": ("OrchestrationStatus", RuntimeStatus),
            "result": ("Result", _same),
            "failure": ("FailureDetails", _nothing),
        },
    ),
    3: (events.ExecutionTerminated, {"input": ("Input", _same)}),
    4: (
        events.TaskScheduled,
        {
            "name": ("Name", _same),
            "version": ("Version", _same),
            "input": ("Input", _same),
            "parent_trace_context": ("ParentTraceContext", _nothing),
            "tags": ("Tags", _nothing),
        },
    ),
    5: (events.TaskCompleted, _RESULT),
    6: (events.TaskFailed, _FAILED),
    7: (
        events.SubOrchestrationInstanceCreated,
        {
            "name": ("Name", _same),
            "version": ("Version", _same),
            "instance_id": ("InstanceId", _same),
            "input": ("Input", _same),
            "client_span_id": ("ClientSpanId", _same),
            "tags": ("Tags", _nothing),
        },
    ),
    8: (events.SubOrchestrationInstanceCompleted, _RESULT),
    9: (events.SubOrchestrationInstanceFailed, _FAILED),
    10: (events.TimerCreated, {"fire_at": ("FireAt", Instant.parse)}),
    11: (events.TimerFired, {"timer_id": ("TimerId", _same), "fire_at": ("FireAt", Instant.parse)}),
    12: (events.OrchestratorStarted, {}),
    13: (events.OrchestratorCompleted, {}),
    14: (
        events.EventSent,
        {"instance_id": ("InstanceId", _same), "name": ("Name", _same), "input": ("Input", _same)},
    ),
    15: (
        events.EventRaised,
        {
            "name": ("Name", _same),
            "input": ("Input", _same),
            "parent_trace_context": ("ParentTraceContext", _nothing),
        },
    ),
    17: (events.GenericEvent, {"data": ("Data", _same)}),
    19: (events.ExecutionSuspended, _REASON),
    20: (events.ExecutionResumed, _REASON),
}
