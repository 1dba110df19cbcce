"""End of an orchestration episode: the function's decisions become history events and outgoing messages.

Source: DurableTask.Core, src/DurableTask.Core/TaskOrchestrationDispatcher.cs, Process…Decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import assert_never

from emulator.durable.core.decisions import (
    Complete,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    Tags,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus, derived_id
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.state import FIRE_AND_FORGET, RuntimeState
from emulator.durable.core.traces import context_of, task_trace
from emulator.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeOutcome:
    """Events and messages that a work item has to store and send; after continue-as-new, those of the last generation.

    `instance` is the execution of `new_events`, and `past_count` the number of its events that are stored already (0
    for a new execution). `custom_status` is JSON text or None. The messages of all generations
    are included. They are sent in this order: activities, then control (starts, events, results of sub-orchestrations),
    then timers.
    """

    instance: OrchestrationInstance
    past_count: int
    new_events: Sequence[HistoryEvent]
    custom_status: str | None = None
    activities: Sequence[TaskMessage] = ()
    control: Sequence[TaskMessage] = ()
    timers: Sequence[TaskMessage] = ()


@dataclass(slots=True)
class Outbox:
    """Outgoing messages of a work item, filled by all its generations."""

    activities: list[TaskMessage] = field(default_factory=list)
    control: list[TaskMessage] = field(default_factory=list)
    timers: list[TaskMessage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AppliedDecisions:
    """State after the decisions. `continues`: it is the state of the next generation, whose episode has yet to run."""

    state: RuntimeState
    continues: bool


def apply_decisions(
    state: RuntimeState,
    decisions: Sequence[Decision],
    outbox: Outbox,
    *,
    played: int,
    now: Instant,
    store_inputs: bool = False,
) -> AppliedDecisions:
    """Record the decisions in order and put their messages into `outbox`.

    The messages depend on the state and the decisions alone, not on `now`: an episode that is repeated after a crash
    sends the same ones. `played` is the number of the state's new events that the replay has processed; they are marked
    as played. `store_inputs`: keep the inputs of activities and sub-orchestrations in the history.
    """
    recorder = _DecisionRecorder(state, outbox, now=now, store_inputs=store_inputs)
    next_started: ExecutionStarted | None = None
    carried: Sequence[EventRaised] = ()
    for decision in decisions:
        if isinstance(decision, StartNextGeneration):
            carried = decision.carried
            next_started = replace(
                state.started,
                timestamp=state.clock + _GENERATION,
                is_played=False,
                instance=OrchestrationInstance(
                    state.instance.instance_id, derived_id("next", state.instance.execution_id)
                ),
                input=decision.input,
                version=state.started.version if decision.version is None else decision.version,
                # .NET sets both in the start message of a client only.
                scheduled_start_time=None,
                generation=None,
            )
        else:
            recorder.record(decision)
    # The events that the recorder has collected are dropped with the old history, but their messages are sent: an
    # activity that was scheduled before continue-as-new runs, and its result is ignored.
    if next_started is not None:
        return AppliedDecisions(_next_generation(state, next_started, carried, now), continues=True)
    # OrchestratorStarted is never marked, although the replay processes it. DurableTask.Core does the same.
    events = [
        replace(event, is_played=True) if number < played and not isinstance(event, OrchestratorStarted) else event
        for number, event in enumerate(state.new)
    ]
    events += recorder.events
    # A continued generation begins with an OrchestratorCompleted, and does not get a second one if it decided nothing.
    if not isinstance(events[-1], OrchestratorCompleted):
        events.append(OrchestratorCompleted(timestamp=now))
    return AppliedDecisions(replace(state, new=events), continues=False)


def outcome_of(state: RuntimeState, outbox: Outbox, custom_status: str | None) -> EpisodeOutcome:
    """Return the outcome of a work item after its last generation."""
    return EpisodeOutcome(
        instance=state.instance,
        past_count=len(state.past),
        new_events=state.new,
        custom_status=custom_status,
        activities=outbox.activities,
        control=outbox.control,
        timers=outbox.timers,
    )


# The current time moves with every generation, so that an orchestrator may continue as new until a point in time.
_GENERATION = timedelta(milliseconds=1)


class _DecisionRecorder:
    """Appends a history event for each decision to `events`, and its message to the outbox."""

    def __init__(self, state: RuntimeState, outbox: Outbox, *, now: Instant, store_inputs: bool) -> None:
        self.events: list[HistoryEvent] = []
        self._state = state
        self._outbox = outbox
        self._now = now
        self._clock = state.clock
        # The receiver's episode has the time of its oldest message.
        self._sent_at = state.sent_at or state.clock
        self._store_inputs = store_inputs
        self._tags: Tags = state.started.tags or {}

    def record(self, decision: ScheduleTask | CreateTimer | StartSubOrchestration | SendEvent | Complete) -> None:
        match decision:
            case ScheduleTask():
                self.schedule_task(decision)
            case CreateTimer(id=timer_id, fire_at=fire_at):
                self.events.append(TimerCreated(timestamp=self._clock, event_id=timer_id, fire_at=fire_at))
                fired = TimerFired(timestamp=self._clock, timer_id=timer_id, fire_at=fire_at)
                self._outbox.timers.append(TaskMessage(fired, self._state.instance))
            case StartSubOrchestration():
                self.start_sub_orchestration(decision)
            case SendEvent():
                self.send_event(decision)
            case Complete():
                self.complete(decision)
            case _:
                assert_never(decision)

    def schedule_task(self, decision: ScheduleTask) -> None:
        sent = TaskScheduled(
            timestamp=self._clock,
            event_id=decision.id,
            name=decision.name,
            version=decision.version,
            input=decision.input,
            tags=decision.tags,
            parent_trace_context=task_trace(self._state.started, decision.id),
        )
        # The activity reads its input from the message. In the history it would be transferred in every episode.
        self.events.append(sent if self._store_inputs else replace(sent, input=None))
        self._outbox.activities.append(TaskMessage(sent, self._state.instance, self._tags))

    def start_sub_orchestration(self, decision: StartSubOrchestration) -> None:
        trace = task_trace(self._state.started, decision.id)
        client_span = context_of(trace)
        self.events.append(
            SubOrchestrationInstanceCreated(
                timestamp=self._clock,
                event_id=decision.id,
                name=decision.name,
                instance_id=decision.instance_id,
                version=decision.version,
                input=decision.input if self._store_inputs else None,
                client_span_id=None if client_span is None else client_span.span_id,
                tags=decision.tags,
            )
        )
        started = self._state.started
        execution_id = derived_id("child", started.instance.execution_id, decision.id, decision.instance_id)
        child = OrchestrationInstance(decision.instance_id, execution_id)
        # A child has the tags of its parent; its own take precedence. FireAndForget is not inherited, because it
        # concerns the parent's result only: the parent waits for this child.
        inherited = {name: value for name, value in self._tags.items() if name != FIRE_AND_FORGET}
        start = ExecutionStarted(
            timestamp=self._sent_at,
            instance=child,
            name=decision.name,
            input=decision.input,
            parent=ParentInstance(started.name, started.instance, decision.id, started.version),
            version=decision.version,
            parent_trace_context=trace,
            tags={**inherited, **(decision.tags or {})} or None,
        )
        self._outbox.control.append(TaskMessage(start, child, self._tags))

    def send_event(self, decision: SendEvent) -> None:
        # An EventSent makes the replay recognise that this event was sent. Entities have no replay.
        if decision.recorded:
            self.events.append(
                EventSent(
                    timestamp=self._clock,
                    event_id=decision.id,
                    instance_id=decision.target.instance_id,
                    name=decision.name,
                    input=decision.input,
                )
            )
        raised = EventRaised(timestamp=self._sent_at, name=decision.name, input=decision.input)
        self._outbox.control.append(TaskMessage(raised, decision.target))

    def complete(self, decision: Complete) -> None:
        self.events.append(
            ExecutionCompleted(
                timestamp=self._now,
                event_id=decision.id,
                status=decision.status,
                result=decision.result,
                failure=decision.failure,
            )
        )
        parent = self._state.started.parent
        if parent is None or not self._state.has_waiting_parent:
            return
        result: HistoryEvent
        if decision.status is RuntimeStatus.COMPLETED:
            result = SubOrchestrationInstanceCompleted(
                timestamp=self._sent_at, task_scheduled_id=parent.task_schedule_id, result=decision.result
            )
        else:
            # For its parent a terminated child has failed, with the reason of its termination.
            result = SubOrchestrationInstanceFailed(
                timestamp=self._sent_at,
                task_scheduled_id=parent.task_schedule_id,
                reason=decision.result,
                details=decision.details,
                failure=decision.failure,
            )
        self._outbox.control.append(TaskMessage(result, parent.instance))


def _next_generation(
    state: RuntimeState, started: ExecutionStarted, carried: Sequence[EventRaised], now: Instant
) -> RuntimeState:
    """Return the state in which the first episode of a continued execution calls the function."""
    return RuntimeState(
        started=started,
        past=(),
        new=[
            OrchestratorStarted(timestamp=started.timestamp),
            started,
            # Events that the last generation did not take. They were processed once, so they are marked as played, and
            # keep their times.
            *(replace(event, is_played=True) for event in carried),
            # This event belongs to the last generation. In .NET the history is replaced before this event is appended,
            # so that it becomes part of the new execution.
            OrchestratorCompleted(timestamp=now),
        ],
        sent_at=None if state.sent_at is None else state.sent_at + _GENERATION,
    )
