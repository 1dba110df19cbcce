"""Schema of history events: the members of every event in .NET's order, and of the JSON objects inside them.

Four formats store or show the same events. One module per format contains its encoding: queue messages
(`messaging/wire.py`), table rows (`tracking/rows.py`), the history that a Python orchestrator receives
(`protocol/history.py`) and the history in a status payload (`management/history_view.py`). They take names, order and
defaults from this schema and add a writer per Kind of value.
Source: docs/protocol/task-hub-storage.md chapters 2.2, 3.4 and appendix A (durabletask: DurableTask.Core/History/*.cs).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emulator.durable.core import events
from emulator.durable.core.events import FailureDetails, HistoryEvent, TraceContext
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.instant import MIN_INSTANT


class Kind(enum.Enum):
    """Type of a member's value. A format has one encoding per kind."""

    STRING = enum.auto()
    INTEGER = enum.auto()
    BOOLEAN = enum.auto()
    DATE_TIME = enum.auto()
    STATUS = enum.auto()
    INSTANCE = enum.auto()
    PARENT = enum.auto()
    FAILURE = enum.auto()
    TRACE_CONTEXT = enum.auto()
    STRING_MAP = enum.auto()
    """Dictionary<string, string>"""
    OBJECT_MAP = enum.auto()
    """IDictionary<string, object>: JSON values of any type"""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an event or object.

    `name` is the name on the wire, `field` the attribute of the Python class. `default` is read for a member that is
    absent or null.
    """

    name: str
    field: str
    kind: Kind = Kind.STRING
    default: object = None


@dataclass(frozen=True, slots=True)
class ObjectSchema:
    """A .NET class that occurs inside events. `type_name` is its `$type` in queue messages."""

    type_name: str
    record: type
    members: Sequence[Member]


OBJECTS: Mapping[Kind, ObjectSchema] = {
    Kind.INSTANCE: ObjectSchema(
        "DurableTask.Core.OrchestrationInstance",
        OrchestrationInstance,
        (Member("InstanceId", "instance_id", default=""), Member("ExecutionId", "execution_id")),
    ),
    Kind.PARENT: ObjectSchema(
        "DurableTask.Core.ParentInstance",
        ParentInstance,
        (
            Member("Name", "name", default=""),
            Member("OrchestrationInstance", "instance", Kind.INSTANCE, OrchestrationInstance("", None)),
            # Not "TaskScheduledId", as in events.
            Member("TaskScheduleId", "task_schedule_id", Kind.INTEGER, 0),
            Member("Version", "version"),
        ),
    ),
    Kind.FAILURE: ObjectSchema(
        "DurableTask.Core.FailureDetails",
        FailureDetails,
        (
            Member("ErrorType", "error_type", default=""),
            Member("ErrorMessage", "error_message", default=""),
            Member("StackTrace", "stack_trace"),
            Member("InnerFailure", "inner_failure", Kind.FAILURE),
            Member("IsNonRetriable", "is_non_retriable", Kind.BOOLEAN, False),
            Member("Properties", "properties", Kind.OBJECT_MAP),
        ),
    ),
    Kind.TRACE_CONTEXT: ObjectSchema(
        "DurableTask.Core.Tracing.DistributedTraceContext",
        TraceContext,
        (
            Member("TraceParent", "trace_parent"),
            Member("TraceState", "trace_state"),
            Member("Id", "id"),
            Member("SpanId", "span_id"),
            Member("ActivityStartTime", "activity_start_time"),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class EventSchema:
    """Members of an event besides those of all events (`EventId`, `IsPlayed`, `Timestamp`).

    `number`: value of the EventType enum, whose member name is the name of the Python class. `fields`: what .NET
    declares as public fields. Newtonsoft writes fields, then `EventType`, then properties, then the members of the
    base class; the table converter writes the fields behind the properties.
    """

    number: int
    properties: Sequence[Member] = ()
    fields: Sequence[Member] = ()


# Members that several events share. A default is set where the Python class does not allow None.
_NAME = Member("Name", "name", default="")
_VERSION = Member("Version", "version")
_INPUT = Member("Input", "input")
_REASON = Member("Reason", "reason")
_RESULT = Member("Result", "result")
_TAGS = Member("Tags", "tags", Kind.STRING_MAP)
_FAILURE = Member("FailureDetails", "failure", Kind.FAILURE)
_TRACE = Member("ParentTraceContext", "parent_trace_context", Kind.TRACE_CONTEXT)
_STATUS = Member("OrchestrationStatus", "status", Kind.STATUS, RuntimeStatus.RUNNING)
_INSTANCE_ID = Member("InstanceId", "instance_id", default="")
_TASK_ID = Member("TaskScheduledId", "task_scheduled_id", Kind.INTEGER, 0)
_FIRE_AT = Member("FireAt", "fire_at", Kind.DATE_TIME, MIN_INSTANT)

_COMPLETED = (_STATUS, _RESULT, _FAILURE)
_TASK_COMPLETED = (_TASK_ID, _RESULT)
_TASK_FAILED = (_TASK_ID, _REASON, Member("Details", "details"), _FAILURE)

EVENTS: Mapping[type[HistoryEvent], EventSchema] = {
    events.ExecutionStarted: EventSchema(
        0,
        # The order of declaration in ExecutionStartedEvent.cs.
        properties=(
            Member("ParentInstance", "parent", Kind.PARENT),
            _NAME,
            _VERSION,
            _INPUT,
            _TAGS,
            Member("Correlation", "correlation"),
            _TRACE,
            Member("ScheduledStartTime", "scheduled_start_time", Kind.DATE_TIME),
            Member("Generation", "generation", Kind.INTEGER),
            Member("GenerateNewTrace", "generate_new_trace", Kind.BOOLEAN, False),
        ),
        # A public field in .NET, unlike the other members. The same is true of GenericEvent.Data.
        fields=(Member("OrchestrationInstance", "instance", Kind.INSTANCE, OrchestrationInstance("", None)),),
    ),
    events.ExecutionCompleted: EventSchema(1, _COMPLETED),
    # Number 2, ExecutionFailed, exists in the enum only; no class has it.
    events.ExecutionTerminated: EventSchema(3, (_INPUT,)),
    events.TaskScheduled: EventSchema(4, (_NAME, _VERSION, _INPUT, _TRACE, _TAGS)),
    events.TaskCompleted: EventSchema(5, _TASK_COMPLETED),
    events.TaskFailed: EventSchema(6, _TASK_FAILED),
    events.SubOrchestrationInstanceCreated: EventSchema(
        7, (_NAME, _VERSION, _INSTANCE_ID, _INPUT, Member("ClientSpanId", "client_span_id"), _TAGS)
    ),
    events.SubOrchestrationInstanceCompleted: EventSchema(8, _TASK_COMPLETED),
    events.SubOrchestrationInstanceFailed: EventSchema(9, _TASK_FAILED),
    events.TimerCreated: EventSchema(10, (_FIRE_AT,)),
    events.TimerFired: EventSchema(11, (Member("TimerId", "timer_id", Kind.INTEGER, 0), _FIRE_AT)),
    events.OrchestratorStarted: EventSchema(12),
    events.OrchestratorCompleted: EventSchema(13),
    # Unlike in the other events, the name may be null here.
    events.EventSent: EventSchema(14, (_INSTANCE_ID, Member("Name", "name"), _INPUT)),
    events.EventRaised: EventSchema(15, (_NAME, _INPUT, _TRACE)),
    # .NET derives ContinueAsNewEvent from ExecutionCompletedEvent.
    events.ContinueAsNew: EventSchema(16, _COMPLETED),
    events.GenericEvent: EventSchema(17, fields=(Member("Data", "data"),)),
    # Unused in current releases.
    events.HistoryState: EventSchema(18, (Member("State", "state"),)),
    events.ExecutionSuspended: EventSchema(19, (_REASON,)),
    events.ExecutionResumed: EventSchema(20, (_REASON,)),
    # Unlike in the events before, the instance id may be null here.
    events.ExecutionRewound: EventSchema(
        21,
        (
            _REASON,
            Member("ParentExecutionId", "parent_execution_id"),
            Member("InstanceId", "instance_id"),
            _TRACE,
        ),
    ),
}
