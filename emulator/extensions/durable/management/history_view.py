"""The history as a status payload shows it: results joined with what scheduled them, bookkeeping left out.

Source: durable-extension, ContextImplementations/DurableClient.cs; docs/protocol/durable-client-http.md chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator.durable.core.events import (
    ContinueAsNew,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    FailureDetails,
    GenericEvent,
    HistoryEvent,
    HistoryState,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskResult,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TraceContext,
)
from emulator.durable.core.identity import RuntimeStatus
from emulator.extensions.newtonsoft import lenient

Scheduled = TaskScheduled | SubOrchestrationInstanceCreated
Members = dict[str, Any]


def history_view(events: Sequence[HistoryEvent], *, show_input: bool, show_output: bool) -> list[Members]:
    """The `historyEvents` member. Results are values, inputs stay texts."""
    partners = _partners(events)
    finished = {id(scheduled) for scheduled in partners.values()}
    shown = []
    for event in events:
        if isinstance(event, OrchestratorStarted | OrchestratorCompleted) or id(event) in finished:
            continue
        members = _members(event)
        if isinstance(event, ExecutionStarted):
            members["FunctionName"] = event.name
        if scheduled := partners.get(id(event)):
            members |= _scheduling(scheduled)
        shown.append(_without(members, show_input=show_input, show_output=show_output))
    return shown


def _partners(events: Sequence[HistoryEvent]) -> dict[int, Scheduled]:
    """By the identity of a result: what scheduled it, which is the latest event with its id before it.

    Ids can repeat, for example after a non-determinism; .NET then refuses to show the history.
    """
    latest: dict[int, Scheduled] = {}
    partners = {}
    for event in events:
        if isinstance(event, Scheduled):
            latest[event.event_id] = event
        elif isinstance(event, TaskResult) and event.task_scheduled_id in latest:
            partners[id(event)] = latest[event.task_scheduled_id]
    return partners


def _scheduling(scheduled: Scheduled) -> Members:
    # .NET shows a local time here, everything else in UTC with a Z.
    members = {
        "ScheduledTime": scheduled.timestamp.text.removesuffix("Z") + "+00:00",
        "FunctionName": scheduled.name,
    }
    if isinstance(scheduled, SubOrchestrationInstanceCreated):
        members["InstanceId"] = scheduled.instance_id
    return members | {"Input": scheduled.input}


def _without(members: Members, *, show_input: bool, show_output: bool) -> Members:
    hides_input = not show_input and members["EventType"] in _HAVE_FUNCTION_INPUT
    hidden = {"Input"} if hides_input else set()
    if not show_output and members["EventType"] != "ContinueAsNew":
        hidden.add("Result")
    return {name: value for name, value in members.items() if name not in hidden}


_HAVE_FUNCTION_INPUT = {
    each.__name__
    for each in (
        ExecutionStarted,
        TaskScheduled,
        TaskCompleted,
        TaskFailed,
        SubOrchestrationInstanceCreated,
        SubOrchestrationInstanceCompleted,
        SubOrchestrationInstanceFailed,
    )
}


def _members(event: HistoryEvent) -> Members:
    own, kind = _own_members(event), {"EventType": type(event).__name__}
    # The extension shows a GenericEvent's own member first, that of all others behind the type.
    members = own | kind if isinstance(event, GenericEvent) else kind | own
    return members | {"Timestamp": event.timestamp.text}


def _own_members(event: HistoryEvent) -> Members:  # noqa: C901, PLR0911 - one clause per kind of event
    match event:
        case ExecutionStarted():
            return {
                "Input": event.input,
                "Correlation": event.correlation,
                "ParentTraceContext": _trace(event.parent_trace_context),
                "ScheduledStartTime": event.scheduled_start_time.text if event.scheduled_start_time else None,
                "Generation": event.generation,
                "GenerateNewTrace": event.generate_new_trace,
            }
        case TaskScheduled():
            return {
                "Name": event.name,
                "Input": event.input,
                "ParentTraceContext": _trace(event.parent_trace_context),
                "Tags": _tags(event.tags),
            }
        case SubOrchestrationInstanceCreated():
            return {
                "Name": event.name,
                "InstanceId": event.instance_id,
                "Input": event.input,
                "ClientSpanId": event.client_span_id,
                "Tags": _tags(event.tags),
            }
        case TaskCompleted() | SubOrchestrationInstanceCompleted():
            return {"Result": lenient(event.result)}
        case TaskFailed() | SubOrchestrationInstanceFailed():
            failure = _failure(event.failure)
            return {"Reason": event.reason, "Details": event.details, "FailureDetails": failure}
        case TimerCreated() | TimerFired():
            return {"FireAt": event.fire_at.text}
        case EventRaised():
            trace = _trace(event.parent_trace_context)
            return {"Name": event.name, "Input": event.input, "ParentTraceContext": trace}
        case EventSent():
            return {"InstanceId": event.instance_id, "Name": event.name, "Input": event.input}
        case ExecutionCompleted():
            return {
                "OrchestrationStatus": event.status.wire_name,
                "Result": lenient(event.result),
                "FailureDetails": _failure(event.failure),
            }
        case ContinueAsNew():
            return {"OrchestrationStatus": int(RuntimeStatus.CONTINUED_AS_NEW), "Result": event.result}
        case ExecutionTerminated():
            return {"Input": event.input}
        case ExecutionSuspended() | ExecutionResumed() | ExecutionRewound():
            return {"Reason": event.reason}
        case GenericEvent():
            return {"Data": event.data}
        case HistoryState():
            return {"State": lenient(event.state)}
    return {}


def _tags(tags: Any) -> Any:
    return None if tags is None else dict(tags)


def _trace(trace: TraceContext | None) -> Members | None:
    if trace is None:
        return None
    return {
        "TraceParent": trace.trace_parent,
        "TraceState": trace.trace_state,
        "Id": trace.id,
        "SpanId": trace.span_id,
        "ActivityStartTime": trace.activity_start_time,
    }


def _failure(failure: FailureDetails | None) -> Members | None:
    if failure is None:
        return None
    return {
        "ErrorType": failure.error_type,
        "ErrorMessage": failure.error_message,
        "StackTrace": failure.stack_trace,
        "InnerFailure": _failure(failure.inner_failure),
        "IsNonRetriable": failure.is_non_retriable,
        "Properties": dict(failure.properties) if failure.properties is not None else None,
    }
