"""History of an instance as a status payload shows it (`historyEvents`).

A result is shown together with the event that scheduled it, and internal events and members are left out.
Source: durable-extension, ContextImplementations/DurableClient.cs; docs/protocol/durable-client-http.md chapter 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emulator.dotnet.json_reader import lenient_value
from emulator.durable.core.event_objects import object_writers
from emulator.durable.core.event_schema import EVENTS, Kind, Member
from emulator.durable.core.events import (
    ContinueAsNew,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskResult,
    TaskScheduled,
)

Scheduled = TaskScheduled | SubOrchestrationInstanceCreated
Members = dict[str, Any]


def history_view(events: Sequence[HistoryEvent], *, show_input: bool, show_output: bool) -> list[Members]:
    """Return the `historyEvents` member. Results are JSON values, inputs remain texts."""
    scheduling_events = _scheduling_events(events)
    shown_with_result = {id(scheduled) for scheduled in scheduling_events.values()}
    shown = []
    for event in events:
        # A completed task is shown once, at the position of its result.
        if isinstance(event, OrchestratorStarted | OrchestratorCompleted) or id(event) in shown_with_result:
            continue
        fields, properties = _SHOWN[type(event)]
        members: Members = {name: write(getattr(event, field)) for name, field, write in fields}
        members["EventType"] = event.type_name
        members |= {name: write(getattr(event, field)) for name, field, write in properties}
        members["Timestamp"] = event.timestamp.text
        if isinstance(event, ExecutionStarted):
            members["FunctionName"] = event.name
        if scheduled := scheduling_events.get(id(event)):
            # .NET shows this time as local time with an offset and all others as UTC with a Z. This is the text of a
            # host in UTC. The order is the one in which the extension adds the members.
            members["ScheduledTime"] = scheduled.timestamp.text.removesuffix("Z") + "+00:00"
            members["FunctionName"] = scheduled.name
            if isinstance(scheduled, SubOrchestrationInstanceCreated):
                members["InstanceId"] = scheduled.instance_id
            members["Input"] = scheduled.input
        hidden = set()
        if not show_input and isinstance(event, _HAVE_FUNCTION_INPUT):
            hidden.add("Input")
        if not show_output and not isinstance(event, ContinueAsNew):
            hidden.add("Result")
        shown.append({name: value for name, value in members.items() if name not in hidden})
    return shown


def _scheduling_events(events: Sequence[HistoryEvent]) -> dict[int, Scheduled]:
    """Return the scheduling events of results, by the identity of the result object."""
    # Ids can repeat, for example after a non-determinism. The latest event before the result is used then, where .NET
    # responds with an error.
    latest: dict[int, Scheduled] = {}
    scheduling_events = {}
    for event in events:
        if isinstance(event, Scheduled):
            latest[event.event_id] = event
        elif isinstance(event, TaskResult) and event.task_scheduled_id in latest:
            scheduling_events[id(event)] = latest[event.task_scheduled_id]
    return scheduling_events


# Events whose Input is the input of a function, so that `showInput=false` hides it.
_HAVE_FUNCTION_INPUT = (
    ExecutionStarted,
    TaskScheduled,
    TaskCompleted,
    TaskFailed,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
)


# Members of an event ----------------------------------------------------------------------------------------

_WRITERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DATE_TIME: lambda instant: None if instant is None else instant.text,
    Kind.STATUS: lambda status: status.wire_name,
    **object_writers(type_names=False),
}

_LEFT_OUT = {"OrchestrationInstance", "ParentInstance", "Version", "TaskScheduledId", "TimerId"}
_LEFT_OUT_OF_EXECUTION_STARTED = {"Name", "Tags"}


def _shown(event_type: type[HistoryEvent], members: Sequence[Member]) -> list[tuple[str, str, Callable[[Any], Any]]]:
    """Return name, attribute and writer of the members that are shown."""
    left_out = _LEFT_OUT | _LEFT_OUT_OF_EXECUTION_STARTED if event_type is ExecutionStarted else _LEFT_OUT
    writers = _WRITERS
    if event_type is ContinueAsNew:
        # The extension does not know this event and shows it as Newtonsoft writes it.
        writers = {**_WRITERS, Kind.STATUS: int}
    elif any(member.name in ("Result", "State") for member in members):
        # These two are parsed, so that they are JSON values in the payload. Their events have no other strings.
        writers = {**_WRITERS, Kind.STRING: lenient_value}
    return [
        (member.name, member.field, writers.get(member.kind, lambda value: value))
        for member in members
        if member.name not in left_out
    ]


# The members before and after `EventType`.
_SHOWN = {
    event_type: (_shown(event_type, schema.fields), _shown(event_type, schema.properties))
    for event_type, schema in EVENTS.items()
}
