"""History events: one frozen dataclass per Durable Task event.

Payloads (`input`, `result`, …) are JSON texts exactly as stored. `event_id` is the action id of a decision of the
orchestrator, and -1 for other events. `event_schema` has the names and the order of the members in the wire formats.
Source: DurableTask.Core, src/DurableTask.Core/History/*.cs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.instant import Instant

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TraceContext:
    """DistributedTraceContext. It is stored and passed on, but not interpreted."""

    trace_parent: str | None
    trace_state: str | None = None
    id: str | None = None
    span_id: str | None = None
    activity_start_time: str | None = None


@dataclass(frozen=True, slots=True)
class FailureDetails:
    error_type: str
    error_message: str
    stack_trace: str | None = None
    inner_failure: FailureDetails | None = None
    is_non_retriable: bool = False
    properties: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """Members of all events. `timestamp` is the time at which the event was created, not handled."""

    timestamp: Instant
    event_id: int = -1
    is_played: bool = False

    @property
    def type_name(self) -> str:
        """The event's name in the EventType enum: in table rows, blob names and log lines."""
        return type(self).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted(HistoryEvent):
    instance: OrchestrationInstance
    name: str
    input: str | None = None
    # Only sub-orchestrations have a parent.
    parent: ParentInstance | None = None
    version: str | None = None
    tags: Tags | None = None
    correlation: str | None = None
    parent_trace_context: TraceContext | None = None
    scheduled_start_time: Instant | None = None
    # 0 for a new instance id, and one more each time that a client uses the id again. None for sub-orchestrations and
    # after continue-as-new.
    generation: int | None = None
    generate_new_trace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted(HistoryEvent):
    status: RuntimeStatus
    result: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueAsNew(HistoryEvent):
    """Never stored: the next generation replaces the history within the same work item."""

    status: RuntimeStatus = RuntimeStatus.CONTINUED_AS_NEW
    result: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTerminated(HistoryEvent):
    """Request to end the execution. `input` is the reason, as plain text."""

    input: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSuspended(HistoryEvent):
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResumed(HistoryEvent):
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRewound(HistoryEvent):
    """Rewind in other storage providers. Azure Storage hubs never contain it."""

    reason: str | None = None
    parent_execution_id: str | None = None
    instance_id: str | None = None
    parent_trace_context: TraceContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScheduled(HistoryEvent):
    """The message always has the `input`, the history only with storeInputsInOrchestrationHistory."""

    name: str
    # .NET writes an empty version for activities, but null for sub-orchestrations.
    version: str | None = ""
    input: str | None = None
    parent_trace_context: TraceContext | None = None
    tags: Tags | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(HistoryEvent):
    task_scheduled_id: int
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(HistoryEvent):
    """Failure of an activity. `reason` is the message, `details` a serialized exception of .NET."""

    task_scheduled_id: int
    reason: str | None = None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCreated(HistoryEvent):
    name: str
    instance_id: str
    version: str | None = None
    input: str | None = None
    client_span_id: str | None = None
    tags: Tags | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCompleted(HistoryEvent):
    task_scheduled_id: int
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceFailed(HistoryEvent):
    task_scheduled_id: int
    reason: str | None = None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerCreated(HistoryEvent):
    fire_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(HistoryEvent):
    """End of a timer. Its message is created together with the timer, so `timestamp` is not the time of firing."""

    timer_id: int
    fire_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorStarted(HistoryEvent):
    """Start of an episode. Its timestamp is the orchestrator's current time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorCompleted(HistoryEvent):
    """End of an episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSent(HistoryEvent):
    instance_id: str
    name: str | None
    input: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRaised(HistoryEvent):
    name: str
    input: str | None = None
    parent_trace_context: TraceContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericEvent(HistoryEvent):
    """The message that wakes a rewound instance (`data` is the reason), or a failure that was rewound (None)."""

    data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryState(HistoryEvent):
    """Not used by the current library. `state` is kept as JSON text."""

    state: str | None = None


TaskResult = TaskCompleted | TaskFailed | SubOrchestrationInstanceCompleted | SubOrchestrationInstanceFailed
